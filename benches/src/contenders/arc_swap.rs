//! `arc-swap` with a cache in each reader: the fastest way to share a table between
//! threads. It does not work between processes.

use std::sync::Arc;

use arc_swap::ArcSwap;
use arc_swap::cache::Cache;

use super::{Contender, Lookup, Reader, Table, states};

pub struct Cached(Arc<ArcSwap<Table>>);

impl Cached {
    pub fn new() -> Cached {
        Cached(Arc::new(ArcSwap::from_pointee(Table::new())))
    }
}

struct CachedReader(Cache<Arc<ArcSwap<Table>>, Arc<Table>>, Vec<u64>);

impl Lookup for CachedReader {
    #[inline(always)]
    fn state(&mut self, partition: usize) -> u64 {
        self.1[self.0.load().owners[partition]]
    }
}

impl Contender for Cached {
    fn name(&self) -> &'static str {
        "arc-swap, cache"
    }
    fn reader(&self) -> Box<dyn Reader> {
        Box::new(CachedReader(Cache::new(self.0.clone()), states()))
    }
    fn publish(&mut self) {
        let mut table = Table::clone(&self.0.load());
        table.change();
        self.0.store(Arc::new(table));
    }
}
