//! Bringing a router to the present: what happens when the head's stamp is not
//! the one that was seen last.

use std::sync::Arc;

use super::error::RouteError;
use super::namespace_cache::{NamespaceCache, NamespaceHandle, Ranked};
use super::policy::Policy;
use super::router::Router;
use super::starts::Starts;
use crate::layout::{ForkCell, HeadRef, Lineage, frame};
use crate::map::{Namespace, NamespaceName, Slot, SnapshotError, tables};
use crate::protocol::{CachedStamp, RETRIES, Stamp, Word, begin_read, validate};
use crate::segment::Segment;
use crate::sync::Ordering;

/// A namespace that was asked for.
pub(super) struct Resolved {
    name: NamespaceName,
    there: bool,
    strong_consistency: bool,
}

impl Resolved {
    pub fn new(name: NamespaceName) -> Resolved {
        Resolved { name, there: false, strong_consistency: false }
    }

    pub fn strong_consistency(&self) -> bool {
        self.strong_consistency
    }
}

impl<S> Router<S> {
    /// Opens a read: the stamp, for which the tables are good; `None` = again.
    #[inline(always)]
    pub(super) fn open(&mut self) -> Result<Option<Stamp>, RouteError> {
        let stamp = begin_read(&self.head);
        if CachedStamp::of(stamp) == CachedStamp::from_bits(self.seen.get()) {
            return Ok(Some(stamp));
        }
        self.refresh(stamp)
    }

    /// Brings tables and namespaces to the present.
    pub(super) fn settle(&mut self) -> Result<(), RouteError> {
        for _ in 0..RETRIES {
            if self.open()?.is_some() {
                return Ok(());
            }
        }
        Err(SnapshotError::Disturbed.into())
    }

    /// The next lookup reads tables and namespaces, whatever it finds.
    pub(super) fn read_anew(&mut self) {
        self.generation = 0;
        self.seen.set(CachedStamp::NONE.bits());
    }

    /// The stamp is another one than before, the segment is retired, or this is
    /// a forked child.
    #[cold]
    #[inline(never)]
    fn refresh(&mut self, mut stamp: Stamp) -> Result<Option<Stamp>, RouteError> {
        if self.lineage != Lineage::current() {
            self.lineage = Lineage::current();
            self.seen = ForkCell::new();
            self.starts = Starts::new();
            self.nodes.clear();
            self.generation = 0;
        }
        if stamp.retired() {
            // An empty one comes after a removal by force, or after a maker that
            // died half-way: until the cluster was tended anew this map is the
            // best there is.
            // And one that was not shown to be of this cluster is none.
            let better = |successor: &Arc<Segment>| {
                let has_map = stamp.sequence() == 0 || successor.head().sequence() > 0;
                has_map && !self.current.is_barred()
            };
            if let Some(successor) = self.current.successor(&self.segment).filter(better) {
                // Another segment may be at the very stamp that was seen in
                // this one: everything is to be read anew.
                self.read_anew();
                // Nothing keeps the old one mapped after it was let go.
                self.caches
                    .iter_mut()
                    .for_each(|(handle, cache)| *cache = NamespaceCache::none(Some(handle)));
                self.head = HeadRef::new(successor.mapping());
                self.partitions = successor.geometry().capacity().partitions;
                self.segment = successor;
                return Ok(None);
            }
        }
        if stamp.sequence() == 0 || self.current.bars(&self.segment) {
            return Err(RouteError::NoMap);
        }
        let mapping = self.segment.mapping();
        let word = &mapping.frame(stamp.frame())[frame::TABLE_GENERATION];
        // Relaxed: between the two fences of the head check.
        let generation = word.load(Ordering::Relaxed);
        if !validate(mapping.head(), stamp) {
            return Ok(None);
        }
        if generation != self.generation || Word::from_bits(generation).tag() == 0 {
            let tables = tables(mapping)?;
            // Until all of it is taken over nothing counts as seen: the user's
            // code is called, and may panic.
            self.read_anew();
            self.nodes.update(&tables.nodes);
            self.resolve(&tables.namespaces);
            self.generation = tables.generation;
            if tables.stamp.retired() != stamp.retired() {
                return Ok(None);
            }
            // A later publication by now: the read of the tables has opened another
            // read, which goes on. (Tables are large: where heads follow each other
            // without an end they must not be read for each.)
            stamp = tables.stamp;
        }
        self.caches.iter_mut().for_each(|(_, cache)| cache.turn_to(stamp.frame()));
        // A retired head is never noted as seen: the successor is looked for
        // at later calls.
        let seen = if stamp.retired() { CachedStamp::NONE } else { CachedStamp::of(stamp) };
        self.seen.set(seen.bits());
        Ok(Some(stamp))
    }

    fn resolve(&mut self, namespaces: &[Namespace]) {
        let mapping = self.segment.mapping();
        let max_replicas = mapping.geometry().capacity().max_replicas;
        let racks = with_nodes(&self.racks, namespaces, self.nodes.split().1.len());
        self.namespaces = namespaces.iter().map(|namespace| namespace.name).collect();
        for (resolved, (handle, cache)) in self.resolved.iter_mut().zip(self.caches.iter_mut()) {
            let found = namespaces.iter().enumerate().find(|(_, n)| n.name == resolved.name);
            resolved.there = found.is_some();
            resolved.strong_consistency = found.is_some_and(|(_, n)| n.strong_consistency);
            let none = || NamespaceCache::none(Some(handle));
            *cache = found.map_or_else(none, |(index, namespace)| {
                let replicas = usize::from(namespace.replication_factor).min(max_replicas);
                let (_, nodes) = self.nodes.split();
                let ranks = (0..).map_while(Slot::new).zip(nodes).map(|(slot, node)| match node {
                    Some(_) => rank(slot, namespace, &racks),
                    None => Ranked::absent(slot),
                });
                NamespaceCache::new(handle, mapping, index, replicas, ranks.collect())
            });
        }
    }

    pub(super) fn unknown(&self, name: &str) -> RouteError {
        if self.nodes.is_empty() {
            return RouteError::ClusterEmpty;
        }
        let known = self.namespaces.iter().map(ToString::to_string).collect();
        RouteError::NamespaceUnknown { name: name.to_owned(), known }
    }

    #[cold]
    pub(super) fn no_node(
        &self,
        namespace: NamespaceHandle,
        partition: usize,
        policy: Policy,
    ) -> RouteError {
        let resolved = self.caches.index(namespace).and_then(|index| self.resolved.get(index));
        let Some(resolved) = resolved else { return RouteError::ForeignHandle };
        if !resolved.there || self.nodes.is_empty() {
            return self.unknown(resolved.name.as_str());
        }
        let wanted =
            if policy == Policy::Master { "master" } else { "replica whose node is there" };
        RouteError::NoNode { namespace: resolved.name.to_string(), partition, wanted }
    }
}

/// The preferred racks that any node is in, in their order, each once.
fn with_nodes(preferred: &[i32], namespaces: &[Namespace], slots: usize) -> Vec<i32> {
    let mut racks = Vec::new();
    let used = |rack| {
        let of = |namespace: &Namespace, slot| namespace.rack(slot) == Some(rack);
        let mut slots = (0..slots).map_while(Slot::new);
        slots.any(|slot| namespaces.iter().any(|namespace| of(namespace, slot)))
    };
    for &rack in preferred {
        if !racks.contains(&rack) && used(rack) {
            racks.push(rack);
        }
    }
    racks
}

fn rank(slot: Slot, namespace: &Namespace, preferred: &[i32]) -> Ranked {
    let place = |rack| preferred.iter().position(|&wanted| wanted == rack);
    match namespace.rack(slot).and_then(place) {
        Some(before) => Ranked::preferred(slot, before),
        None => Ranked::elsewhere(slot),
    }
}
