//! How a node fails, as recorded beside the frames.
//!
//! Each slot has a record, a [`Note`] about the node in it.

use std::sync::atomic::AtomicU64;

use super::names::NodeId;
use super::note::{Note, printable};
use crate::layout::frame;
use crate::protocol::{Head, PAYLOAD_MASK};

/// How a node fails the owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeHealth {
    /// The number of consecutive passes in which it did not answer; 0 = it
    /// answered in the last one.
    pub failures: u32,
    /// The last error, even if the node has recovered: printable, truncated to
    /// 174 bytes. `None` = no error yet.
    pub last_error: Option<String>,
    /// The time of the last error, CLOCK_BOOTTIME in ms; 0 = not known.
    pub last_error_ms: u64,
}

impl NodeHealth {
    /// A health as it is published: an empty text means no error, unprintable
    /// characters are escaped, and a text that is too long is truncated.
    #[must_use]
    pub fn new(failures: u32, last_error: &str) -> NodeHealth {
        let text = printable(last_error, frame::HEALTH_WORDS);
        let last_error = (!text.is_empty()).then_some(text);
        NodeHealth { failures, last_error, last_error_ms: 0 }
    }

    /// The same, with the time of the last error.
    #[must_use]
    pub fn at(self, last_error_ms: u64) -> NodeHealth {
        NodeHealth { last_error_ms: last_error_ms.min(PAYLOAD_MASK), ..self }
    }

    internal! {
        /// The payloads of a node's record; words beyond them are unused.
        fn payloads(&self, id: NodeId) -> Vec<u64> {
            let text = self.last_error.clone().unwrap_or_default();
            Note { number: self.failures, at_ms: self.last_error_ms, text }.payloads(id.as_str())
        }
    }

    internal! {
        /// Reads a node's record; `None` if it is torn, damaged, another
        /// node's, or not of the current owner.
        fn read(record: &[AtomicU64], head: Head, id: NodeId) -> Option<NodeHealth> {
            let record = record.get(..record.len().min(frame::HEALTH_WORDS))?;
            let note = Note::read(record, id.as_str(), |tag| tag == head.term())?;
            let last_error = (!note.text.is_empty()).then_some(note.text);
            Some(NodeHealth { failures: note.number, last_error, last_error_ms: note.at_ms })
        }
    }
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
        let mut words = vec![0; frame::HEALTH_WORDS];
        for (word, &payload) in words.iter_mut().zip(payloads) {
            *word = Word::new(TERM, payload).bits();
        }
        words.into_iter().map(AtomicU64::new).collect()
    }

    proptest! {
        #[test]
        fn a_record_reads_as_it_was_written(failures in any::<u32>(), text in ".{0,200}") {
            let health = NodeHealth::new(failures, &text).at(77);
            let record = record(&health.payloads(id("A")));
            let head = Head::new(TERM, 1);
            prop_assert_eq!(NodeHealth::read(&record, head, id("A")), Some(health));
            prop_assert_eq!(NodeHealth::read(&record, head, id("B")), None, "another node's");
            let later = Head::new(TERM.after(1).unwrap(), 1);
            prop_assert_eq!(NodeHealth::read(&record, later, id("A")), None, "another owner's");
        }

        /// A record with any flipped bit is read as it was, or not at all.
        #[test]
        fn h43_a_flipped_bit_is_found(text in ".{0,200}", at in 0usize..frame::HEALTH_WORDS, bit in 0u32..64) {
            let health = NodeHealth::new(7, &text);
            let payloads = health.payloads(id("A"));
            let mut record = record(&payloads);
            *record[at].get_mut() ^= 1 << bit;
            let read = NodeHealth::read(&record, Head::new(TERM, 1), id("A"));
            prop_assert_eq!(read, (at >= payloads.len()).then_some(health));
        }

        #[test]
        fn h43_arbitrary_words_are_harmless(words in proptest::collection::vec(any::<u64>(), 0..40)) {
            let record: Vec<_> = words.iter().map(|word| AtomicU64::new(word & PAYLOAD_MASK | 1 << 48)).collect();
            prop_assert_eq!(NodeHealth::read(&record, Head::new(TERM, 1), id("A")), None);
        }
    }

    #[test]
    fn h43_a_right_checksum_lets_nothing_unprintable_through() {
        let forged =
            NodeHealth { failures: 1, last_error: Some("\u{1b}[31m".into()), last_error_ms: 1 };
        let record = record(&forged.payloads(id("A")));
        assert_eq!(NodeHealth::read(&record, Head::new(TERM, 1), id("A")), None);
    }

    #[test]
    fn a_text_is_escaped_and_cut() {
        assert_eq!(NodeHealth::new(1, "a\nb").last_error.unwrap(), "a\\nb");
        assert_eq!(NodeHealth::new(1, &"ä".repeat(500)).last_error.unwrap(), "\\u{e4}".repeat(29));
        assert_eq!(NodeHealth::new(0, "").last_error, None);
    }
}
