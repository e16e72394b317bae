//! What an owner writes about its passes in words: why they fail, and which
//! nodes left.

use std::sync::atomic::AtomicU64;

use super::names::NodeId;
use super::note::{Note, printable};
use crate::layout::{Mapping, notes};
use crate::protocol::Head;

/// The subject of an owner's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The error of the last failed pass.
    Pass,
    /// The local resource that the owner lacks.
    Shortage,
}

static_assertions::const_assert!(Reason::Shortage as usize + 1 == notes::REASONS);

impl Reason {
    const fn about(self) -> &'static str {
        match self {
            Reason::Pass => "pass",
            Reason::Shortage => "shortage",
        }
    }

    /// The payloads of the text's record.
    pub fn payloads(self, text: &str, at_ms: u64) -> Vec<u64> {
        let text = printable(text, notes::REASON_WORDS);
        Note { number: 0, at_ms, text }.payloads(self.about())
    }

    /// The text that the owner of that head wrote, and when (CLOCK_BOOTTIME in
    /// ms).
    pub fn read(self, mapping: &Mapping, head: Head) -> Option<(String, u64)> {
        let record = mapping.reason(self as usize);
        let note = Note::read(record, self.about(), |tag| tag == head.term())?;
        (!note.text.is_empty()).then_some((note.text, note.at_ms))
    }
}

/// A node that left the map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The node's id.
    pub id: NodeId,
    /// The time at which it left, CLOCK_BOOTTIME in ms.
    pub at_ms: u64,
    /// The reason, in a few words.
    pub reason: String,
}

const DEPARTED: &str = "departed";

impl Departure {
    /// The payloads of the departure's record.
    pub fn payloads(&self) -> Vec<u64> {
        let text = printable(&format!("{} {}", self.id, self.reason), notes::DEPARTURE_WORDS);
        Note { number: 0, at_ms: self.at_ms, text }.payloads(DEPARTED)
    }

    /// Decodes a record, whichever owner wrote it: a takeover does not bring a
    /// departed node back.
    fn read(record: &[AtomicU64]) -> Option<Departure> {
        let note = Note::read(record, DEPARTED, |_| true)?;
        let (id, reason) = note.text.split_once(' ')?;
        let id = NodeId::new(id).ok()?;
        Some(Departure { id, at_ms: note.at_ms, reason: reason.to_owned() })
    }

    /// All departures in a segment, latest first.
    pub fn read_all(mapping: &Mapping) -> Vec<Departure> {
        let records = (0..notes::DEPARTURES).map(|index| mapping.departure(index));
        let mut found: Vec<Departure> = records.filter_map(Departure::read).collect();
        found.sort_by_key(|departure| (core::cmp::Reverse(departure.at_ms), departure.id));
        // Two owners may have written the same departure to different records.
        found.dedup();
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Capacity, Geometry, WriteMapping};
    use crate::map::ConditionRecords;
    use crate::protocol::{PAYLOAD_MASK, Term, Word};
    use crate::sync::Ordering;
    use proptest::prelude::*;

    fn memory() -> WriteMapping {
        WriteMapping::private(Geometry::new(Capacity::DEFAULT).unwrap()).unwrap()
    }

    fn put(record: &[AtomicU64], payloads: &[u64]) {
        for (word, &payload) in record.iter().zip(payloads) {
            word.store(Word::new(Term::FIRST, payload).bits(), Ordering::Relaxed);
        }
    }

    proptest! {
        #[test]
        fn texts_and_departures_read_as_they_were_written(text in ".{0,500}", at in 1u64..1 << 48) {
            let (memory, head) = (memory(), Head::new(Term::FIRST, 1));
            for reason in [Reason::Pass, Reason::Shortage] {
                put(memory.reason(reason as usize), &reason.payloads(&text, at));
                let wanted = printable(&text, notes::REASON_WORDS);
                let wanted = (!wanted.is_empty()).then_some((wanted, at));
                prop_assert_eq!(reason.read(&memory, head), wanted);
                let later = Head::new(Term::FIRST.after(1).unwrap(), 1);
                prop_assert_eq!(reason.read(&memory, later), None, "another owner's");
            }
            let id = NodeId::new("A").unwrap();
            let gone = |at_ms| Departure { id, at_ms, reason: "it left".into() };
            put(memory.departure(3), &gone(at).payloads());
            put(memory.departure(4), &gone(at + 1).payloads());
            prop_assert_eq!(Departure::read_all(&memory), [gone((at + 1) & PAYLOAD_MASK), gone(at)]);
        }

        #[test]
        fn h43_arbitrary_notes_are_harmless(words in proptest::collection::vec(any::<u64>(), 700)) {
            let memory = memory();
            let all = memory.words().iter().skip(memory.geometry().notes());
            for (word, bits) in all.zip(words) {
                word.store(bits, Ordering::Relaxed);
            }
            let head = Head::new(Term::FIRST, 1);
            prop_assert!(Departure::read_all(&memory).is_empty());
            prop_assert_eq!(Reason::Pass.read(&memory, head), None);
            let _ = ConditionRecords::read(&memory, head).found().count();
        }
    }
}
