//! What was last wrong with a node, as it lies beside the frames.
//!
//! A record is no part of any publication: it changes while nothing else does,
//! and only `status` reads it. It may therefore be torn, or another node's; its
//! checksum, which takes in the node's id, tells.

use std::sync::atomic::AtomicU64;

use super::names::NodeId;
use super::records::{pack, unpack};
use crate::layout::{frame, hash_words};
use crate::protocol::{Head, PAYLOAD_MASK, load_owner};

/// Words before the text: `failures:32 | text_len:8`, the checksum, and when it
/// was.
const PREFIX: usize = 3;
/// Bytes of a text that there is room for.
const TEXT_BYTES: usize = (frame::TROUBLE_WORDS - PREFIX) * 6;

/// How a node has failed its owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trouble {
    /// Passes in a row in which it did not answer; 0 = it answered in the last.
    pub failures: u32,
    /// What went wrong with it last, also if it is well again: printable, at
    /// most 132 bytes, longer ones are cut. `None` = nothing yet.
    pub last_error: Option<String>,
    /// When that was, in milliseconds since the machine started (CLOCK_BOOTTIME);
    /// 0 = not known.
    pub last_error_ms: u64,
}

impl Trouble {
    /// A trouble as it is published: a text that is empty is none, what is not
    /// printable is escaped, and what is too long is cut.
    pub fn new(failures: u32, last_error: &str) -> Trouble {
        let mut text = String::new();
        for character in last_error.chars() {
            let end = text.len();
            match character {
                ' '..='~' => text.push(character),
                other => text.extend(other.escape_default()),
            }
            if text.len() > TEXT_BYTES {
                text.truncate(end);
                break;
            }
        }
        Trouble { failures, last_error: (!text.is_empty()).then_some(text), last_error_ms: 0 }
    }

    /// The same with the time of the last error, in milliseconds since the
    /// machine started.
    pub fn at(self, last_error_ms: u64) -> Trouble {
        Trouble { last_error_ms: last_error_ms.min(PAYLOAD_MASK), ..self }
    }

    /// The payloads of the record of a node; words beyond them mean nothing.
    pub fn payloads(&self, id: NodeId) -> Vec<u64> {
        let text = self.last_error.as_deref().unwrap_or_default().as_bytes();
        let mut payloads = vec![0; PREFIX + text.len().div_ceil(6)];
        payloads[0] = u64::from(self.failures) << 8 | text.len() as u64;
        payloads[2] = self.last_error_ms & PAYLOAD_MASK;
        pack(text, &mut payloads[PREFIX..]);
        payloads[1] = checksum(id, &payloads);
        payloads
    }

    /// What a node's record says; `None` if it is torn, damaged, another
    /// node's, or not of the present owner.
    pub fn read(record: &[AtomicU64], head: Head, id: NodeId) -> Option<Trouble> {
        let first = load_owner(record.first()?, head)?;
        let len = (first & 0xff) as usize;
        let record = record.get(..PREFIX + len.div_ceil(6))?;
        let payloads: Option<Vec<u64>> = record.iter().map(|word| load_owner(word, head)).collect();
        let payloads = payloads?;
        if payloads[0] != first || payloads[1] != checksum(id, &payloads) {
            return None;
        }
        let mut bytes = [0; TEXT_BYTES];
        unpack(&payloads[PREFIX..], len, &mut bytes)?;
        let text = core::str::from_utf8(bytes.get(..len)?).ok()?;
        // A checksum keeps out accidents, not those who compute one.
        let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let failures = u32::try_from(first >> 8).ok().filter(|_| printable)?;
        let last_error = (len > 0).then(|| text.to_owned());
        Some(Trouble { failures, last_error, last_error_ms: payloads[2] })
    }
}

/// Over all but the word that it is put into, and whose record it is.
fn checksum(id: NodeId, payloads: &[u64]) -> u64 {
    let mut words = vec![0; 4];
    pack(id.as_str().as_bytes(), &mut words);
    words.push(payloads[0]);
    words.extend(&payloads[2..]);
    hash_words(&words) & PAYLOAD_MASK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Term, Word};
    use proptest::prelude::*;

    const TERM: Term = Term::FIRST;

    fn id(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    fn record(payloads: &[u64]) -> Vec<AtomicU64> {
        let mut words = vec![0; frame::TROUBLE_WORDS];
        for (word, &payload) in words.iter_mut().zip(payloads) {
            *word = Word::new(TERM, payload).bits();
        }
        words.into_iter().map(AtomicU64::new).collect()
    }

    proptest! {
        #[test]
        fn a_record_reads_as_it_was_written(failures in any::<u32>(), text in ".{0,200}", at in 0..=PAYLOAD_MASK) {
            let trouble = Trouble::new(failures, &text).at(at);
            let record = record(&trouble.payloads(id("A")));
            let head = Head::new(TERM, 1);
            prop_assert_eq!(Trouble::read(&record, head, id("A")), Some(trouble));
            prop_assert_eq!(Trouble::read(&record, head, id("B")), None, "another node's");
            let later = Head::new(TERM.after(1).unwrap(), 1);
            prop_assert_eq!(Trouble::read(&record, later, id("A")), None, "another owner's");
        }

        /// Whatever bit is flipped, nothing else is read.
        #[test]
        fn h43_a_flipped_bit_is_found(text in ".{0,200}", at in 0usize..frame::TROUBLE_WORDS, bit in 0u32..64) {
            let trouble = Trouble::new(7, &text).at(1_234_567);
            let payloads = trouble.payloads(id("A"));
            let mut record = record(&payloads);
            *record[at].get_mut() ^= 1 << bit;
            let read = Trouble::read(&record, Head::new(TERM, 1), id("A"));
            prop_assert_eq!(read, (at >= payloads.len()).then_some(trouble));
        }

        #[test]
        fn h43_arbitrary_words_are_harmless(words in proptest::collection::vec(any::<u64>(), 0..40)) {
            let record: Vec<_> = words.iter().map(|word| AtomicU64::new(word & PAYLOAD_MASK | 1 << 48)).collect();
            prop_assert_eq!(Trouble::read(&record, Head::new(TERM, 1), id("A")), None);
        }
    }

    #[test]
    fn h43_a_right_checksum_lets_nothing_unprintable_through() {
        let forged = Trouble { last_error: Some("\u{1b}[31m".into()), ..Trouble::new(1, "") };
        let record = record(&forged.payloads(id("A")));
        assert_eq!(Trouble::read(&record, Head::new(TERM, 1), id("A")), None);
    }

    #[test]
    fn a_text_is_escaped_and_cut() {
        assert_eq!(Trouble::new(1, "a\nb").last_error.unwrap(), "a\\nb");
        assert_eq!(Trouble::new(1, &"ä".repeat(500)).last_error.unwrap(), "\\u{e4}".repeat(22));
        assert_eq!(Trouble::new(0, "").last_error, None);
    }
}
