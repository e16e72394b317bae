//! Bad entries of replies: they are skipped, counted and reported, and the
//! others are used.

use std::collections::BTreeSet;

use super::Tender;
use crate::tend::transport::Transport;
use crate::tend::{Condition, TendEvent, Turn};
use crate::wire::info::{BadEntries, BadEntry};

/// Entries of a node's latest replies that could not be used.
#[derive(Clone, Debug, Default)]
pub(super) struct BadLists {
    pub(super) peers: BadEntries,
    pub(super) service: BadEntries,
    pub(super) replicas: BadEntries,
    pub(super) racks: BadEntries,
    pub(super) build: BadEntries,
}

impl BadLists {
    fn all(&self) -> [&BadEntries; 5] {
        [&self.peers, &self.service, &self.replicas, &self.racks, &self.build]
    }
}

impl<T: Transport> Tender<T> {
    /// Counts the current bad entries, and reports each once until it is gone:
    /// several nodes may list the same one.
    pub(super) fn report_bad_entries(&mut self, turn: &mut dyn Turn) {
        let mut there: BTreeSet<BadEntry> = BTreeSet::new();
        let mut more = 0;
        for node in &self.nodes {
            for bad in node.bad_lists.all() {
                more += bad.count() - bad.kept().len();
                for entry in bad.kept() {
                    if there.insert(entry.clone()) && !self.bad_entries.contains(entry) {
                        let BadEntry { what, entry, problem } = entry.clone();
                        turn.event(TendEvent::BadEntry { id: node.id, what, entry, problem });
                    }
                }
            }
        }
        self.conditions.add(Condition::BadEntries, there.len() + more);
        self.bad_entries = there;
    }
}
