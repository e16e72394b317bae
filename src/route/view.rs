//! The view: everything that a router knows of one publication, and how it is
//! brought up to date.

use std::sync::Arc;

use super::error::RouteError;
use super::namespace_cache::{NamespaceCache, NamespaceCaches, NamespaceHandle};
use super::nodes::{LocalNodes, MakeState, Route};
use super::policy::{Attempt, Policy};
use super::rank::{RankedSlot, with_nodes};
use super::target::Target;
use crate::layout::{ForkCell, HeadRef, Lineage, frame};
use crate::map::{Namespace, NamespaceName, Slot, tables};
use crate::protocol::{Admit, Cached, Check, Stamp, Word, validate};
use crate::segment::{Current, Segment};
use crate::sync::Ordering;

/// Everything that is true of one publication: the one whose stamp `cached`
/// has.
///
/// Lookups borrow it. Only [`refresh`](Self::refresh) moves it to another
/// publication; [`forget`](Self::forget) makes the next lookup do so.
pub(super) struct View<S> {
    segment: Arc<Segment>,
    /// The head of `segment`.
    head: HeadRef,
    /// The stamp and the table generation for which the fields below are valid.
    cached: Cached<ForkCell>,
    nodes: LocalNodes<S>,
    partitions: usize,
    /// The namespaces of the publication.
    namespaces: Vec<NamespaceName>,
    /// The namespaces that were resolved, and what lookups need of each.
    resolved: Vec<ResolvedNamespace>,
    caches: NamespaceCaches,
    /// The process that the view belongs to.
    lineage: Lineage,
}

/// A namespace that was resolved.
#[derive(Clone)]
struct ResolvedNamespace {
    name: NamespaceName,
    there: bool,
    strong_consistency: bool,
}

/// The result of a lookup.
#[derive(Clone, Copy)]
pub(super) struct LookupResult {
    /// The slot, which has a state.
    pub index: usize,
    pub replica: usize,
    pub partition: usize,
    pub sequence: u64,
}

/// Lookups.
impl<S> View<S> {
    /// The fast path to the node of a partition, for a namespace in one of the
    /// near caches: the routing word is loaded before the head. `None` = take
    /// the slow path, whatever the reason.
    #[inline(always)]
    pub fn find(
        &self,
        namespace: NamespaceHandle,
        target: &impl Target,
        attempt: &Attempt,
    ) -> Option<LookupResult> {
        self.find_in(self.caches.near(namespace), namespace, target, attempt)
    }

    /// Like [`find`](Self::find), for a namespace in one of the far caches.
    pub fn find_far(
        &self,
        namespace: NamespaceHandle,
        target: &impl Target,
        attempt: &Attempt,
    ) -> Option<LookupResult> {
        self.find_in(self.caches.far(namespace)?, namespace, target, attempt)
    }

    #[inline(always)]
    fn find_in(
        &self,
        cache: &NamespaceCache,
        namespace: NamespaceHandle,
        target: &impl Target,
        attempt: &Attempt,
    ) -> Option<LookupResult> {
        let partition = target.partition(namespace.partitions());
        let (replica, index) = cache.likely(namespace, partition, attempt)?;
        let stamp = self.cached.validate(&self.head)?;
        if !self.nodes.has(index) {
            return None;
        }
        Some(LookupResult { index, replica, partition, sequence: stamp.sequence() })
    }

    /// The route to the result of a lookup.
    #[inline(always)]
    pub fn route_to(&mut self, found: LookupResult) -> Route<'_, S> {
        let LookupResult { index, replica, partition, sequence } = found;
        let (state, nodes) = self.nodes.split_mut(index).expect("a state was found there");
        let slot = Slot::below_limit(index);
        Route { state, nodes, slot, replica, partition, sequence }
    }

    /// Opens a read. After [`Check::Stale`] call [`refresh`](Self::refresh).
    #[inline(always)]
    pub fn check(&self) -> Check {
        self.cached.check(&self.head)
    }

    /// Closes a read: whether no publication completed since it was opened.
    #[inline(always)]
    pub fn validate(&self, stamp: Stamp) -> bool {
        validate(&self.head, stamp)
    }

    #[inline(always)]
    pub fn cache(&self, namespace: NamespaceHandle) -> Result<&NamespaceCache, RouteError> {
        match self.caches.get(namespace) {
            Some(cache) => Ok(cache),
            None => Err(RouteError::ForeignHandle),
        }
    }

    #[inline(always)]
    pub fn nodes(&self) -> &LocalNodes<S> {
        &self.nodes
    }

    #[inline(always)]
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    pub fn segment(&self) -> &Segment {
        &self.segment
    }

    pub fn namespaces(&self) -> &[NamespaceName] {
        &self.namespaces
    }

    /// The local state of the node in a slot.
    pub fn state_mut(&mut self, slot: Slot) -> Option<&mut S> {
        self.nodes.split_mut(slot.index()).map(|(state, _)| state)
    }

    pub fn strong_consistency(&self, namespace: NamespaceHandle) -> Result<bool, RouteError> {
        let index = self.caches.index(namespace).ok_or(RouteError::ForeignHandle)?;
        Ok(self.resolved[index].strong_consistency)
    }

    /// Why a namespace of that name can't be used for routing.
    pub fn unknown(&self, name: &str) -> RouteError {
        if self.nodes.is_empty() {
            return RouteError::ClusterEmpty;
        }
        let known = self.namespaces.iter().map(ToString::to_string).collect();
        RouteError::NamespaceUnknown { name: name.to_owned(), known }
    }

    /// Why a partition has no node.
    #[cold]
    pub fn no_node(
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
        RouteError::NoNode { namespace: resolved.name.to_string(), partition, policy }
    }
}

/// Updates.
impl<S> View<S> {
    /// An empty view, for the router of that number.
    pub fn new(segment: Arc<Segment>, router: u64) -> View<S> {
        View {
            head: HeadRef::new(segment.mapping()),
            cached: Cached::new(ForkCell::new()),
            nodes: LocalNodes::new(),
            partitions: segment.geometry().capacity().partitions,
            namespaces: Vec::new(),
            resolved: Vec::new(),
            caches: NamespaceCaches::new(router),
            segment,
            lineage: Lineage::current(),
        }
    }

    /// A copy, with clones of the states.
    pub fn copy(&self) -> View<S>
    where
        S: Clone,
    {
        View {
            segment: self.segment.clone(),
            head: self.head.clone(),
            cached: self.cached.copy(ForkCell::new()),
            nodes: self.nodes.clone(),
            partitions: self.partitions,
            namespaces: self.namespaces.clone(),
            resolved: self.resolved.clone(),
            caches: self.caches.clone(),
            lineage: self.lineage,
        }
    }

    /// Adds a namespace that was not resolved before.
    pub fn add(&mut self, name: NamespaceName) -> NamespaceHandle {
        self.resolved.push(ResolvedNamespace { name, there: false, strong_consistency: false });
        self.forget();
        self.caches.add(self.partitions)
    }

    /// Invalidates the view: the next lookup reads tables and namespaces again.
    pub fn forget(&mut self) {
        self.cached.forget();
    }

    /// Whether the view was created by the parent of this process.
    pub fn is_inherited(&self) -> bool {
        self.lineage != Lineage::current()
    }

    /// Brings a stale view to the publication of this stamp: the stamp has
    /// changed, the segment is retired, or this is a forked child. `None` =
    /// start again.
    pub fn refresh(
        &mut self,
        mut stamp: Stamp,
        current: &Current,
        racks: &[i32],
        make: &mut MakeState<S>,
    ) -> Result<Option<Stamp>, RouteError> {
        if self.is_inherited() {
            self.lineage = Lineage::current();
            self.cached = Cached::new(ForkCell::new());
            self.nodes.clear();
        }
        if stamp.retired() {
            if let Some(successor) = self.successor(stamp, current) {
                self.move_to(successor);
                return Ok(None);
            }
        }
        if stamp.sequence() == 0 || current.bars(&self.segment) {
            return Err(RouteError::NoMap);
        }
        let mapping = self.segment.mapping();
        let word = &mapping.frame(stamp.frame())[frame::TABLE_GENERATION];
        // Relaxed: between the two fences of the head check.
        let generation = Word::from_bits(word.load(Ordering::Relaxed));
        match self.cached.admit(&self.head, stamp, generation) {
            Admit::Raced => return Ok(None),
            Admit::Same => {}
            Admit::Reread => {
                // Nothing is kept until all of it has been taken over: this
                // calls the user's code, which may panic.
                let tables = tables(mapping)?;
                self.nodes.update(&tables.nodes, make);
                self.resolve(&tables.namespaces, racks);
                let generation = Word::from_bits(tables.generation);
                let Some(read) = self.cached.keep(stamp, tables.stamp, generation) else {
                    return Ok(None);
                };
                stamp = read;
            }
        }
        self.caches.turn_to(stamp.frame());
        Ok(Some(stamp))
    }

    /// The successor of the retired segment, if it should be read.
    fn successor(&self, stamp: Stamp, current: &Current) -> Option<Arc<Segment>> {
        // An empty successor appears after a removal by force, or if its
        // creator died half-way: until the cluster is tended again, the current
        // map is the best one. A barred segment may be of another cluster.
        let better = |successor: &Arc<Segment>| {
            let has_map = stamp.sequence() == 0 || successor.head().sequence() > 0;
            has_map && !current.is_barred()
        };
        current.successor(&self.segment).filter(better)
    }

    fn move_to(&mut self, segment: Arc<Segment>) {
        // Another segment may have the very stamp that was seen in this one:
        // everything must be read again.
        self.forget();
        // Nothing may keep the old segment mapped after it was released.
        self.caches.clear();
        self.head = HeadRef::new(segment.mapping());
        self.partitions = segment.geometry().capacity().partitions;
        self.segment = segment;
    }

    fn resolve(&mut self, namespaces: &[Namespace], racks: &[i32]) {
        let mapping = self.segment.mapping();
        let max_replicas = mapping.geometry().capacity().max_replicas;
        let (_, nodes) = self.nodes.split();
        let racks = with_nodes(racks, namespaces, nodes.len());
        self.namespaces = namespaces.iter().map(|namespace| namespace.name).collect();
        for (resolved, (handle, cache)) in self.resolved.iter_mut().zip(self.caches.iter_mut()) {
            let found = namespaces.iter().enumerate().find(|(_, n)| n.name == resolved.name);
            resolved.there = found.is_some();
            resolved.strong_consistency = found.is_some_and(|(_, n)| n.strong_consistency);
            let none = || NamespaceCache::none(Some(handle));
            *cache = found.map_or_else(none, |(index, namespace)| {
                let replicas = usize::from(namespace.replication_factor).min(max_replicas);
                let ranks = (0..).map_while(Slot::new).zip(nodes).map(|(slot, node)| match node {
                    Some(_) => RankedSlot::new(slot, namespace, &racks),
                    None => RankedSlot::absent(slot),
                });
                NamespaceCache::new(handle, mapping, index, replicas, ranks.collect())
            });
        }
    }
}
