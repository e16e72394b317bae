//! What an owner records of its passes: the matters that are not in order, for
//! how many passes each has lasted, why, and which nodes left.

use std::sync::atomic::AtomicU64;

use super::names::NodeId;
use super::note::{Note, printable};
use crate::layout::{Mapping, notes};
use crate::protocol::{Head, Word, load_owner};
use crate::sync::Ordering;

/// A matter that is not in order after a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Matter {
    /// The pass failed.
    FailedPass,
    /// Nodes gave no answer, or an invalid one.
    FailingNodes,
    /// Nodes answered, but their replies could not be used.
    BadReplies,
    /// Nodes and namespaces did not fit in the map.
    Refused,
    /// The map is larger than the segment, and a larger one can't be created.
    NoRoom,
    /// The owner's process lacks a local resource.
    Shortage,
    /// Nodes that peers list could not be added to the map.
    MissingPeers,
    /// Entries of replies were skipped because they could not be used.
    BadEntries,
    /// The `replicas` or `peers` of nodes could not be read.
    UnreadNodes,
    /// Nodes make contradicting claims to partitions.
    ContradictingClaims,
    /// Nodes advertise no alternate address although these are wanted.
    NoAlternateAddress,
    /// Nodes report the name of another cluster.
    OtherCluster,
}

impl Matter {
    /// The number of matters.
    pub const COUNT: usize = 12;

    /// Every matter, in the order of declaration.
    pub const ALL: [Matter; Matter::COUNT] = [
        Matter::FailedPass,
        Matter::FailingNodes,
        Matter::BadReplies,
        Matter::Refused,
        Matter::NoRoom,
        Matter::Shortage,
        Matter::MissingPeers,
        Matter::BadEntries,
        Matter::UnreadNodes,
        Matter::ContradictingClaims,
        Matter::NoAlternateAddress,
        Matter::OtherCluster,
    ];

    /// Its name in JSON.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Matter::FailedPass => "failed_pass",
            Matter::FailingNodes => "failing_nodes",
            Matter::BadReplies => "bad_replies",
            Matter::Refused => "refused",
            Matter::NoRoom => "no_room",
            Matter::Shortage => "shortage",
            Matter::MissingPeers => "missing_peers",
            Matter::BadEntries => "bad_entries",
            Matter::UnreadNodes => "unread_nodes",
            Matter::ContradictingClaims => "contradicting_claims",
            Matter::NoAlternateAddress => "no_alternate_address",
            Matter::OtherCluster => "other_cluster",
        }
    }
}

static_assertions::const_assert!(Matter::COUNT <= notes::MATTERS);

const FIELD: u32 = 24;
const FIELD_MASK: u64 = (1 << FIELD) - 1;

/// `passes:24 | count:24`: the number of consecutive passes that found a
/// matter, and how often the last one found it. Both saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lasting(u64);

impl Lasting {
    /// A matter that was found in this many consecutive passes, and this often
    /// in the last one.
    pub fn new(passes: u64, count: u64) -> Lasting {
        Lasting(passes.min(FIELD_MASK) << FIELD | count.min(FIELD_MASK))
    }

    /// Decodes a word's payload; every pattern is valid.
    pub const fn from_payload(payload: u64) -> Lasting {
        Lasting(payload)
    }

    /// The word's payload.
    pub const fn payload(self) -> u64 {
        self.0
    }

    /// The number of consecutive passes; 0 = the last pass did not find it.
    pub const fn passes(self) -> u64 {
        self.0 >> FIELD & FIELD_MASK
    }

    /// How often the last pass found it.
    pub const fn count(self) -> u64 {
        self.0 & FIELD_MASK
    }

    /// The value after one more pass that found the matter `count` times.
    pub fn next(self, count: u64) -> Lasting {
        match count {
            0 => Lasting::default(),
            _ => Lasting::new(self.passes() + 1, count),
        }
    }
}

/// The [`Lasting`] of every matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Matters([Lasting; Matter::COUNT]);

impl Matters {
    /// The value of one matter.
    pub fn get(&self, matter: Matter) -> Lasting {
        self.0[matter as usize]
    }

    /// Sets the value of one matter.
    pub fn set(&mut self, matter: Matter, lasting: Lasting) {
        self.0[matter as usize] = lasting;
    }

    /// The matters that were found in the last pass.
    pub fn found(&self) -> impl Iterator<Item = (Matter, Lasting)> {
        let all = Matter::ALL.into_iter().map(|matter| (matter, self.get(matter)));
        all.filter(|(_, lasting)| lasting.passes() > 0)
    }

    /// The last record, of whichever owner wrote it.
    pub fn last(mapping: &Mapping) -> Matters {
        let mut matters = Matters::default();
        for (matter, word) in Matter::ALL.into_iter().zip(mapping.matters()) {
            // Relaxed: the words are independent of each other.
            let word = Word::from_bits(word.load(Ordering::Relaxed));
            matters.set(matter, Lasting::from_payload(word.payload()));
        }
        matters
    }

    /// The record of the owner of that head; a matter that it has not written
    /// yet counts as not found.
    pub fn read(mapping: &Mapping, head: Head) -> Matters {
        let mut matters = Matters::default();
        for (matter, word) in Matter::ALL.into_iter().zip(mapping.matters()) {
            let payload = load_owner(word, head).unwrap_or(0);
            matters.set(matter, Lasting::from_payload(payload));
        }
        matters
    }
}

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
    use crate::protocol::{PAYLOAD_MASK, Term};
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
        fn lasting_keeps_its_fields(passes in 0u64..1 << 24, count in 0u64..1 << 24, payload: u64) {
            let lasting = Lasting::new(passes, count);
            prop_assert!(lasting.payload() <= PAYLOAD_MASK);
            prop_assert_eq!((lasting.passes(), lasting.count()), (passes, count));
            prop_assert_eq!(Lasting::from_payload(lasting.payload()), lasting);
            let next = Lasting::from_payload(payload).next(1);
            prop_assert!(next.payload() <= PAYLOAD_MASK && next.passes() > 0);
            prop_assert_eq!(next.next(0), Lasting::default());
        }

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
            let _ = Matters::read(&memory, head).found().count();
        }
    }

    #[test]
    fn every_matter_has_a_place_of_its_own() {
        for (place, matter) in Matter::ALL.into_iter().enumerate() {
            assert_eq!(matter as usize, place);
            let mut matters = Matters::default();
            matters.set(matter, Lasting::new(2, 5));
            let found: Vec<_> = matters.found().map(|(found, _)| found).collect();
            assert_eq!(found, [matter]);
        }
    }
}
