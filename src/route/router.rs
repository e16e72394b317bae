//! The router: from a partition to a node, at the cost of three loads.
//!
//! The hot path is head, routing word, head again, and an index into the
//! router's own table of nodes. It takes no lock, allocates nothing, compares
//! no string, makes no system call, reads no clock and writes no shared memory.
//! All else happens only when the head's stamp is not the one seen before.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as StdOrdering};

use super::error::RouteError;
use super::nodes::{LocalNodes, MakeState, Route};
use super::policy::{Attempt, Policy, Starts, select};
use super::target::Target;
use crate::layout::{ForkCell, Lineage, frame};
use crate::map::{
    Namespace, NamespaceName, Node, REPLICAS_A_WORD, RoutingWord, Slot, SnapshotError, tables,
};
use crate::protocol::{RETRIES, Stamp, Word, begin, unchanged};
use crate::segment::{Current, Segment};
use crate::sync::Ordering;

/// Set in the seen stamp, so that it is zero only in a forked child.
const SEEN: u64 = 1 << 63;

/// A namespace as resolved by one router. It stays good while the namespace
/// comes, goes and comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceHandle {
    router: u32,
    index: u32,
}

/// A namespace that was asked for.
struct Resolved {
    name: NamespaceName,
    /// Replicas that are routable; 0 = the namespace is not there.
    replicas: usize,
    there: bool,
    /// First word of its routing planes in either frame, from the segment's
    /// start.
    base: [usize; 2],
}

/// Routes keys to nodes, for one thread. Cheap to make; it holds for each node
/// what its user wants to keep there.
///
/// In a forked child it makes the local state anew; what it inherited is
/// dropped, which must do no more to a connection than close it.
pub struct Router<S = ()> {
    current: Arc<Current>,
    segment: Arc<Segment>,
    id: u32,
    /// `SEEN |` the stamp for which tables and namespaces are known to be
    /// good; never that of a retired head.
    seen: ForkCell,
    /// The table generation read last, as its whole tagged word; 0 = none.
    generation: u64,
    nodes: LocalNodes<S>,
    resolved: Vec<Resolved>,
    namespaces: Vec<NamespaceName>,
    pub(super) partitions: usize,
    pub(super) starts: Starts,
    lineage: Lineage,
}

impl<S> Router<S> {
    pub(crate) fn new(current: Arc<Current>, make: MakeState<S>) -> Router<S> {
        static ROUTERS: AtomicU64 = AtomicU64::new(0);
        let segment = current.get();
        let partitions = segment.geometry().capacity().partitions;
        Router {
            current,
            segment,
            id: ROUTERS.fetch_add(1, StdOrdering::Relaxed) as u32,
            seen: ForkCell::new(),
            generation: 0,
            nodes: LocalNodes::new(make),
            resolved: Vec::new(),
            namespaces: Vec::new(),
            partitions,
            starts: Starts::new(),
            lineage: Lineage::current(),
        }
    }

    /// Resolves a namespace, once for many lookups.
    ///
    /// # Errors
    /// [`RouteError::NamespaceUnknown`], [`RouteError::ClusterEmpty`],
    /// [`RouteError::NoMap`].
    pub fn namespace(&mut self, name: &str) -> Result<NamespaceHandle, RouteError> {
        self.settle()?;
        let parsed = NamespaceName::new(name).ok();
        let there = parsed.filter(|parsed| self.namespaces.contains(parsed));
        let Some(parsed) = there else {
            return Err(self.unknown(name));
        };
        let known = self.resolved.iter().position(|resolved| resolved.name == parsed);
        let index = match known {
            Some(index) => index,
            None => {
                let fresh = Resolved { name: parsed, replicas: 0, there: false, base: [0; 2] };
                self.resolved.push(fresh);
                // Resolving is part of reading the tables.
                self.generation = 0;
                self.seen.set(0);
                self.settle()?;
                self.resolved.len() - 1
            }
        };
        Ok(NamespaceHandle { router: self.id, index: index as u32 })
    }

    /// The node of a target's partition under a policy: the first try of a
    /// command.
    ///
    /// # Errors
    /// [`RouteError`] says what is not there.
    #[inline]
    pub fn route(
        &mut self,
        namespace: NamespaceHandle,
        target: impl Target,
        policy: Policy,
    ) -> Result<Route<'_, S>, RouteError> {
        let attempt = self.attempt(policy);
        self.route_attempt(namespace, target, &attempt)
    }

    /// The state of a command that may be tried several times.
    #[inline]
    pub fn attempt(&mut self, policy: Policy) -> Attempt {
        match policy {
            Policy::Master | Policy::Sequence => Attempt::new(policy, 0),
            _ => self.starts.attempt(policy),
        }
    }

    /// The node of a target's partition for this try of a command. When it has
    /// failed, note it with [`Attempt::fail`] and ask again.
    ///
    /// # Errors
    /// As [`route`](Self::route).
    #[inline]
    pub fn route_attempt(
        &mut self,
        namespace: NamespaceHandle,
        target: impl Target,
        attempt: &Attempt,
    ) -> Result<Route<'_, S>, RouteError> {
        for _ in 0..RETRIES {
            let Some(stamp) = self.open()? else { continue };
            let partition = target.partition(self.partitions);
            let pinned = Pinned { router: self, stamp };
            let chosen = pinned.select(namespace, partition, attempt)?;
            if !unchanged(self.segment.mapping().head(), stamp) {
                continue;
            }
            return match chosen {
                Some((replica, slot)) => {
                    let local = self.nodes.get_mut(slot.index()).expect("it was there");
                    let sequence = stamp.sequence();
                    Ok(Route { local, slot, replica, partition, sequence })
                }
                None => Err(self.no_node(namespace, partition, attempt.policy())),
            };
        }
        Err(SnapshotError::Disturbed.into())
    }

    /// Runs `look` with one head check around all of its lookups. Its result is
    /// handed out only if no publication completed meanwhile; else it runs
    /// again, so that it must not do anything that can't be done twice.
    ///
    /// # Errors
    /// [`RouteError`] of the map itself, and what `look` answers.
    pub fn pin<T>(
        &mut self,
        mut look: impl FnMut(&Pinned<'_, S>) -> Result<T, RouteError>,
    ) -> Result<T, RouteError> {
        for _ in 0..RETRIES {
            let Some(stamp) = self.open()? else { continue };
            let result = look(&Pinned { router: self, stamp });
            if unchanged(self.segment.mapping().head(), stamp) {
                return result;
            }
        }
        Err(SnapshotError::Disturbed.into())
    }

    /// The node in a slot, as of the last lookup.
    pub fn node(&self, slot: Slot) -> Option<&Node> {
        self.nodes.get(slot).map(|local| &local.node)
    }

    /// How often a node moved into a slot that has one now.
    pub fn incarnation(&self, slot: Slot) -> Option<u32> {
        self.nodes.get(slot).map(|local| local.incarnation)
    }

    /// What is kept for the node in a slot.
    pub fn state(&mut self, slot: Slot) -> Option<&mut S> {
        self.nodes.get_mut(slot.index()).map(|local| &mut local.state)
    }

    /// How many partitions a namespace has.
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    /// Opens a read: the stamp, for which the tables are good; `None` = again.
    #[inline(always)]
    fn open(&mut self) -> Result<Option<Stamp>, RouteError> {
        let stamp = begin(self.segment.mapping().head());
        if stamp.bits() | SEEN == self.seen.get() {
            return Ok(Some(stamp));
        }
        self.refresh(stamp)
    }

    /// Brings tables and namespaces to the present.
    fn settle(&mut self) -> Result<(), RouteError> {
        for _ in 0..RETRIES {
            if self.open()?.is_some() {
                return Ok(());
            }
        }
        Err(SnapshotError::Disturbed.into())
    }

    /// The stamp is another one than before, the segment is retired, or this is
    /// a forked child.
    #[cold]
    fn refresh(&mut self, stamp: Stamp) -> Result<Option<Stamp>, RouteError> {
        if self.lineage != Lineage::current() {
            self.lineage = Lineage::current();
            self.seen = ForkCell::new();
            self.starts = Starts::new();
            self.nodes.clear();
            self.generation = 0;
        }
        if stamp.retired() {
            if let Some(successor) = self.current.successor(&self.segment) {
                self.segment = successor;
                // Another segment may be at the very stamp that was seen in
                // this one: everything is to be read anew.
                self.seen.set(0);
                self.partitions = self.segment.geometry().capacity().partitions;
                self.generation = 0;
                return Ok(None);
            }
        }
        if stamp.sequence() == 0 {
            return Err(RouteError::NoMap);
        }
        let mapping = self.segment.mapping();
        let word = &mapping.frame(stamp.frame())[frame::TABLE_GENERATION];
        let generation = word.load(Ordering::Relaxed);
        if !unchanged(mapping.head(), stamp) {
            return Ok(None);
        }
        if generation != self.generation || Word::from_bits(generation).tag() == 0 {
            let tables = tables(mapping)?;
            self.nodes.update(&tables.nodes);
            self.resolve(&tables.namespaces);
            self.generation = tables.generation;
            if tables.stamp != stamp {
                return Ok(None);
            }
        }
        // A retired head is never noted as seen: the successor is looked for
        // at later calls.
        self.seen.set(if stamp.retired() { 0 } else { stamp.bits() | SEEN });
        Ok(Some(stamp))
    }

    fn resolve(&mut self, namespaces: &[Namespace]) {
        let geometry = *self.segment.geometry();
        self.namespaces = namespaces.iter().map(|namespace| namespace.name).collect();
        for resolved in &mut self.resolved {
            let index = namespaces.iter().position(|namespace| namespace.name == resolved.name);
            resolved.there = index.is_some();
            resolved.replicas = index.map_or(0, |index| {
                let rf = usize::from(namespaces[index].replication_factor);
                rf.min(geometry.capacity().max_replicas)
            });
            let start = |frame| geometry.frame_start(frame);
            let base = index.map_or(0, |index| geometry.routing(index, 0));
            resolved.base = [start(0) + base, start(1) + base];
        }
    }

    fn unknown(&self, name: &str) -> RouteError {
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
        let resolved = &self.resolved[namespace.index as usize];
        if !resolved.there || self.nodes.is_empty() {
            return self.unknown(resolved.name.as_str());
        }
        let wanted =
            if policy == Policy::Master { "master" } else { "replica whose node is there" };
        RouteError::NoNode { namespace: resolved.name.to_string(), partition, wanted }
    }
}

impl<S> core::fmt::Debug for Router<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Router")
            .field("segment", &self.segment.identity())
            .field("namespaces", &self.namespaces)
            .finish_non_exhaustive()
    }
}

/// Lookups under one head check, see [`Router::pin`].
pub struct Pinned<'a, S> {
    pub(super) router: &'a Router<S>,
    stamp: Stamp,
}

impl<S> Pinned<'_, S> {
    /// The publication that is read.
    pub fn sequence(&self) -> u64 {
        self.stamp.sequence()
    }

    /// How many replicas of a partition can be routed to: the replication
    /// factor, at most what the segment has room for; 0 of a namespace that is
    /// gone.
    ///
    /// # Errors
    /// [`RouteError::ForeignHandle`].
    pub fn replicas(&self, namespace: NamespaceHandle) -> Result<usize, RouteError> {
        self.resolved(namespace).map(|resolved| resolved.replicas)
    }

    fn resolved(&self, namespace: NamespaceHandle) -> Result<&Resolved, RouteError> {
        match self.router.resolved.get(namespace.index as usize) {
            Some(resolved) if namespace.router == self.router.id => Ok(resolved),
            _ => Err(RouteError::ForeignHandle),
        }
    }

    /// The slot of a partition's master; `None` if it has none.
    ///
    /// # Errors
    /// [`RouteError::ForeignHandle`], [`RouteError::OutOfRange`].
    #[inline]
    pub fn master(
        &self,
        namespace: NamespaceHandle,
        target: impl Target,
    ) -> Result<Option<Slot>, RouteError> {
        let partition = target.partition(self.router.partitions);
        let attempt = Attempt::new(Policy::Master, 0);
        Ok(self.select(namespace, partition, &attempt)?.map(|(_, slot)| slot))
    }

    /// The replica that an attempt goes to and its slot; `None` if there is
    /// none that the policy allows.
    ///
    /// # Errors
    /// [`RouteError::ForeignHandle`], [`RouteError::OutOfRange`].
    #[inline]
    pub fn select(
        &self,
        namespace: NamespaceHandle,
        partition: usize,
        attempt: &Attempt,
    ) -> Result<Option<(usize, Slot)>, RouteError> {
        let router = self.router;
        let resolved = self.resolved(namespace)?;
        let partitions = router.partitions;
        if partition >= partitions {
            return Err(RouteError::OutOfRange { partition, partitions });
        }
        let words = router.segment.mapping().words();
        let base = resolved.base[self.stamp.frame()] + partition;
        Ok(select(attempt, resolved.replicas, |replica| {
            let plane = replica / REPLICAS_A_WORD;
            // Relaxed: between the two fences of the head check.
            let word = words[base + plane * partitions].load(Ordering::Relaxed);
            let word = RoutingWord::from_payload(Word::from_bits(word).payload());
            let index = word.raw(replica % REPLICAS_A_WORD);
            if router.nodes.has(index) { Slot::new(index) } else { None }
        }))
    }
}
