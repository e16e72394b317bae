//! `arc-swap`, which works between threads, not between processes: with a cache in each
//! reader, the fastest way to share a table; and loaded at each lookup, by readers that
//! share all they have, as those of a shared router do.

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

/// A table in an `ArcSwap`, with one pool for each node that all threads share.
pub struct Loaded(Arc<ArcSwap<Pools>>);

#[derive(Clone)]
struct Pools {
    table: Table,
    pools: Vec<Arc<u64>>,
}

impl Loaded {
    pub fn new() -> Loaded {
        let pools = states().into_iter().map(Arc::new).collect();
        Loaded(Arc::new(ArcSwap::from_pointee(Pools { table: Table::new(), pools })))
    }
}

struct LoadedReader(Arc<ArcSwap<Pools>>);

impl Lookup for LoadedReader {
    #[inline(always)]
    fn state(&mut self, partition: usize) -> u64 {
        let live = self.0.load();
        *live.pools[live.table.owners[partition]]
    }
}

impl Contender for Loaded {
    fn name(&self) -> &'static str {
        "arc-swap, load"
    }
    fn reader(&self) -> Box<dyn Reader> {
        Box::new(LoadedReader(self.0.clone()))
    }
    fn publish(&mut self) {
        let mut pools = Pools::clone(&self.0.load());
        pools.table.change();
        self.0.store(Arc::new(pools));
    }
}
