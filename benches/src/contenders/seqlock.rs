//! A plain seqlock around one table. A reader can't use data that it reads during a
//! write, so it waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

use super::{Contender, Lookup, Reader, Table, states};

struct Shared {
    sequence: AtomicU64,
    owners: Vec<AtomicUsize>,
}

pub struct Seqlock {
    shared: Arc<Shared>,
    table: Table,
}

impl Seqlock {
    pub fn new() -> Seqlock {
        let table = Table::new();
        let owners = table.owners.iter().map(|&slot| AtomicUsize::new(slot)).collect();
        Seqlock { shared: Arc::new(Shared { sequence: AtomicU64::new(0), owners }), table }
    }
}

struct SeqlockReader(Arc<Shared>, Vec<u64>);

impl Lookup for SeqlockReader {
    #[inline(always)]
    fn state(&mut self, partition: usize) -> u64 {
        loop {
            // Acquire: pairs with the Release at the end of a write.
            let before = self.0.sequence.load(Ordering::Acquire);
            if before & 1 == 1 {
                core::hint::spin_loop();
                continue;
            }
            let slot = self.0.owners[partition].load(Ordering::Relaxed);
            // Pairs with the writer's fence after its first store.
            fence(Ordering::Acquire);
            if self.0.sequence.load(Ordering::Relaxed) == before {
                return self.1[slot];
            }
        }
    }
}

impl Contender for Seqlock {
    fn name(&self) -> &'static str {
        "plain seqlock"
    }
    fn reader(&self) -> Box<dyn Reader> {
        Box::new(SeqlockReader(self.shared.clone(), states()))
    }
    fn publish(&mut self) {
        self.table.change();
        let sequence = self.shared.sequence.load(Ordering::Relaxed);
        self.shared.sequence.store(sequence + 1, Ordering::Relaxed);
        // Pairs with the reader's fence: a reader that saw a new slot sees the odd
        // number.
        fence(Ordering::Release);
        // The whole table, as for a writer that copies in a new one.
        for (to, &from) in self.shared.owners.iter().zip(&self.table.owners) {
            to.store(from, Ordering::Relaxed);
        }
        // Release: pairs with the reader's Acquire.
        self.shared.sequence.store(sequence + 2, Ordering::Release);
    }
}
