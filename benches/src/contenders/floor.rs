//! The floor: an array without any protection.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Contender, Lookup, Reader, states};
use crate::rig::{PARTITIONS, changed, owner};

/// An array of slots, read as if there were no writer, and an array of states. The
/// words are relaxed atomics, which cost the same as plain words, so that a writer may
/// run at the same time.
pub struct Floor {
    owners: Arc<[AtomicUsize]>,
    turn: usize,
}

impl Floor {
    /// The array before any publication.
    pub fn new() -> Floor {
        let owners = (0..PARTITIONS).map(|p| AtomicUsize::new(owner(p, 0))).collect();
        Floor { owners, turn: 0 }
    }
}

impl Default for Floor {
    fn default() -> Floor {
        Floor::new()
    }
}

struct FloorReader {
    owners: Arc<[AtomicUsize]>,
    states: Vec<u64>,
}

impl Lookup for FloorReader {
    #[inline(always)]
    fn state(&mut self, partition: usize) -> u64 {
        self.states[self.owners[partition].load(Ordering::Relaxed)]
    }

    #[inline(always)]
    fn states(&mut self, partitions: &[usize]) -> u64 {
        // Keeps the arrays' addresses in registers, as in any loop over plain arrays.
        let (owners, states) = (&self.owners[..], &self.states[..]);
        let one = |&p: &usize| states[owners[core::hint::black_box(p)].load(Ordering::Relaxed)];
        partitions.iter().map(one).sum()
    }
}

impl Contender for Floor {
    fn name(&self) -> &'static str {
        "floor: unsynchronised array"
    }
    fn reader(&self) -> Box<dyn Reader> {
        Box::new(FloorReader { owners: self.owners.clone(), states: states() })
    }
    fn publish(&mut self) {
        self.turn += 1;
        for partition in changed(self.turn) {
            self.owners[partition].store(owner(partition, self.turn), Ordering::Relaxed);
        }
    }
}
