//! Which slot an entry names.

use super::slots::Book;
use super::wanted::{NOBODY, REPLICAS, WantedNode};

/// The slots that may serve, as entries name them: slot + 1, or 0 for none.
pub(super) struct Serving {
    /// By node: its established slot.
    established: Vec<u32>,
    /// By node: whether its slot is in its grace.
    in_grace: Vec<bool>,
    /// By node in its grace: the established slot that it had before.
    former: Vec<u32>,
    /// By slot: whether it may go on serving during the grace of another.
    may_stay: Vec<bool>,
}

impl Serving {
    pub fn new(book: &Book, nodes: &[WantedNode], slots: &[Option<usize>]) -> Serving {
        let mut serving = Serving {
            established: vec![0; nodes.len()],
            in_grace: vec![false; nodes.len()],
            former: vec![0; nodes.len()],
            may_stay: vec![false; book.size()],
        };
        for (index, (node, slot)) in nodes.iter().zip(slots).enumerate() {
            let &Some(slot) = slot else { continue };
            if book.is_established(slot) {
                serving.established[index] = slot as u32 + 1;
                serving.may_stay[slot] = true;
                continue;
            }
            serving.in_grace[index] = true;
            if let Some(former) = book.former(node.identity.id, slot) {
                serving.former[index] = former as u32 + 1;
                serving.may_stay[former] = true;
            }
        }
        serving
    }

    /// What an entry names for a replica of these holders, if it names `now`.
    pub fn choose(&self, now: u32, holders: &[u16; REPLICAS], replica: usize) -> u32 {
        let holder = usize::from(holders[replica]);
        match self.established.get(holder) {
            // Nobody's.
            None => 0,
            Some(0) => self.instead(now, holders, holder),
            Some(&slot) => slot,
        }
    }

    #[cold]
    fn instead(&self, now: u32, holders: &[u16; REPLICAS], holder: usize) -> u32 {
        let slot = (now as usize).checked_sub(1);
        let stays = slot.and_then(|slot| self.may_stay.get(slot)).is_some_and(|&stays| stays);
        if self.in_grace[holder] && stays {
            return now;
        }
        let others = holders.iter().filter(|&&other| other != NOBODY);
        let mut others = others.filter_map(|&other| self.established.get(usize::from(other)));
        others.find(|&&slot| slot != 0).copied().unwrap_or(self.former[holder])
    }
}
