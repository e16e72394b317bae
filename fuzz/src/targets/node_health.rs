//! The record of a node's health: valid, forged under a correct checksum, torn or
//! damaged, of any length. The text that is read is always printable.

use std::sync::atomic::AtomicU64;

use tendmap::internals::layout::frame::HEALTH_WORDS;
use tendmap::internals::protocol::{Head, Term, Word};
use tendmap::map::{NodeHealth, NodeId};

/// The longest text that fits.
const LONGEST: usize = 174;

pub fn run(data: &[u8]) {
    let id = NodeId::new("BB9000000003100").unwrap();
    let other = NodeId::new("BB9000000003200").unwrap();
    let head = Head::new(Term::FIRST, 7);
    let read = |words: &[u64]| {
        let record: Vec<AtomicU64> = words.iter().copied().map(AtomicU64::new).collect();
        let found = NodeHealth::read(&record, head, id);
        if let Some(health) = &found {
            let text = health.last_error.as_deref().unwrap_or_default();
            assert!(health.last_error.is_none() || !text.is_empty(), "{health:?}");
            assert!(text.len() <= LONGEST, "{health:?}");
            // Printable, and unchanged by a second escaping and truncation.
            assert_eq!(NodeHealth::new(health.failures, text).at(health.last_error_ms), *health);
        }
        found
    };
    // The input as a record.
    let whole: Vec<u64> =
        data.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap())).collect();
    read(&whole);

    // Failures, the time, the length of a text, the text, then changes: positions
    // and values.
    let Some((failures, rest)) = data.split_first_chunk::<4>() else { return };
    let Some((at, rest)) = rest.split_first_chunk::<8>() else { return };
    let Some((&len, rest)) = rest.split_first() else { return };
    let (text, changes) = rest.split_at(rest.len().min(len.into()));
    let (failures, text) = (u32::from_le_bytes(*failures), String::from_utf8_lossy(text));
    let record_of = |health: &NodeHealth, id: NodeId| {
        let mut record = vec![0; HEALTH_WORDS];
        for (word, payload) in record.iter_mut().zip(health.payloads(id)) {
            *word = Word::new(Term::FIRST, payload).bits();
        }
        record
    };
    let honest = NodeHealth::new(failures, &text).at(u64::from_le_bytes(*at));
    let record = record_of(&honest, id);
    assert_eq!(read(&record).as_ref(), Some(&honest));
    assert_eq!(read(&record_of(&honest, other)), None, "another node's");

    let mut forged = honest.clone();
    forged.last_error = Some(text.into_owned());
    for mut record in [record, record_of(&forged, id)] {
        read(&record);
        for change in changes.chunks_exact(9) {
            let word = u64::from_le_bytes(change[1..].try_into().unwrap());
            record[usize::from(change[0]) % HEALTH_WORDS] = word;
        }
        read(&record);
        record.truncate(changes.len() % (HEALTH_WORDS + 1));
        read(&record);
    }
}
