//! The conditions that passes find, and for how many passes each has lasted.

use crate::layout::{Mapping, notes};
use crate::protocol::{Head, Word, load_owner};
use crate::sync::Ordering;

/// Declares the conditions: their order is that of their words in a segment.
macro_rules! conditions {
    ($($(#[$doc:meta])* $name:ident $text:literal,)*) => {
        /// A condition that is not in order after a pass.
        ///
        /// The source of the maps reports some of them in every pass in which they last; the
        /// owner finds the others itself.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Condition {
            $($(#[$doc])* $name,)*
        }

        impl Condition {
            /// Every condition, in the order of declaration.
            pub const ALL: [Condition; Condition::COUNT] = [$(Condition::$name,)*];

            /// The number of conditions.
            pub const COUNT: usize = [$($text,)*].len();

            /// Its name in JSON.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Condition::$name => $text,)*
                }
            }
        }
    };
}

conditions! {
    /// The pass failed.
    FailedPass "failed_pass",
    /// Nodes gave no answer, or an invalid one.
    FailingNodes "failing_nodes",
    /// Nodes answered, but their replies could not be used.
    BadReplies "bad_replies",
    /// Nodes and namespaces did not fit in the map.
    Refused "refused",
    /// The map is larger than the segment, and a larger one can't be created.
    NoRoom "no_room",
    /// Servers were not asked because the owner's process lacks something of its
    /// own machine: descriptors, memory, ports.
    Shortage "shortage",
    /// Nodes that peers list could not be added to the map.
    MissingPeers "missing_peers",
    /// Entries of replies (peers, services, racks, replicas, namespaces) were
    /// skipped because they could not be used.
    BadEntries "bad_entries",
    /// The `replicas` or `peers` of nodes could not be read.
    UnreadNodes "unread_nodes",
    /// Nodes make contradicting claims to partitions.
    ContradictingClaims "contradicting_claims",
    /// Nodes advertise no alternate address although these are wanted.
    NoAlternateAddress "no_alternate_address",
    /// Nodes report the name of another cluster.
    OtherCluster "other_cluster",
}

impl Condition {
    /// Whether a source reports it. The owner derives the others from the
    /// result of the pass and from what it publishes.
    #[must_use]
    pub const fn is_reported_by_source(self) -> bool {
        !matches!(
            self,
            Condition::FailedPass
                | Condition::FailingNodes
                | Condition::BadReplies
                | Condition::Refused
                | Condition::NoRoom
        )
    }
}

static_assertions::const_assert!(Condition::COUNT <= notes::CONDITIONS);

const FIELD: u32 = 24;
const FIELD_MASK: u64 = (1 << FIELD) - 1;

/// `passes:24 | count:24`: the number of consecutive passes that found a
/// condition, and how often the last one found it. Both saturate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streak(u64);

impl Streak {
    /// A condition that was found in this many consecutive passes, and this often
    /// in the last one.
    pub fn new(passes: u64, count: u64) -> Streak {
        Streak(passes.min(FIELD_MASK) << FIELD | count.min(FIELD_MASK))
    }

    /// Decodes a word's payload; every pattern is valid.
    pub const fn from_payload(payload: u64) -> Streak {
        Streak(payload)
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

    /// The value after one more pass that found the condition `count` times.
    pub fn next(self, count: u64) -> Streak {
        match count {
            0 => Streak::default(),
            _ => Streak::new(self.passes() + 1, count),
        }
    }
}

/// The [`Streak`] of every condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ConditionRecords([Streak; Condition::COUNT]);

impl ConditionRecords {
    /// The value of one condition.
    pub fn get(&self, condition: Condition) -> Streak {
        self.0[condition as usize]
    }

    /// Sets the value of one condition.
    pub fn set(&mut self, condition: Condition, streak: Streak) {
        self.0[condition as usize] = streak;
    }

    /// The conditions that were found in the last pass.
    pub fn found(&self) -> impl Iterator<Item = (Condition, Streak)> {
        let all = Condition::ALL.into_iter().map(|condition| (condition, self.get(condition)));
        all.filter(|(_, streak)| streak.passes() > 0)
    }

    /// The last record, of whichever owner wrote it.
    pub fn last(mapping: &Mapping) -> ConditionRecords {
        let mut conditions = ConditionRecords::default();
        for (condition, word) in Condition::ALL.into_iter().zip(mapping.conditions()) {
            // Relaxed: the words are independent of each other.
            let word = Word::from_bits(word.load(Ordering::Relaxed));
            conditions.set(condition, Streak::from_payload(word.payload()));
        }
        conditions
    }

    /// The record of the owner of that head; a condition that it has not written
    /// yet counts as not found.
    pub fn read(mapping: &Mapping, head: Head) -> ConditionRecords {
        let mut conditions = ConditionRecords::default();
        for (condition, word) in Condition::ALL.into_iter().zip(mapping.conditions()) {
            let payload = load_owner(word, head).unwrap_or(0);
            conditions.set(condition, Streak::from_payload(payload));
        }
        conditions
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::PAYLOAD_MASK;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn streak_keeps_its_fields(passes in 0u64..1 << 24, count in 0u64..1 << 24, payload: u64) {
            let streak = Streak::new(passes, count);
            prop_assert!(streak.payload() <= PAYLOAD_MASK);
            prop_assert_eq!((streak.passes(), streak.count()), (passes, count));
            prop_assert_eq!(Streak::from_payload(streak.payload()), streak);
            let next = Streak::from_payload(payload).next(1);
            prop_assert!(next.payload() <= PAYLOAD_MASK && next.passes() > 0);
            prop_assert_eq!(next.next(0), Streak::default());
        }
    }

    #[test]
    fn every_condition_has_a_place_of_its_own() {
        for (place, condition) in Condition::ALL.into_iter().enumerate() {
            assert_eq!(condition as usize, place);
            let mut conditions = ConditionRecords::default();
            conditions.set(condition, Streak::new(2, 5));
            let found: Vec<_> = conditions.found().map(|(found, _)| found).collect();
            assert_eq!(found, [condition]);
        }
    }
}
