//! The router: from a partition to a node, at the cost of an array read.
//!
//! The hot path is the routing word, the head, and an index into the router's
//! own table of states. The head need be looked at only after the word: the
//! stamp that it must still have is known from the last time that it changed.
//! There is no lock, no allocation, no string compare, no system call, no clock
//! and no store to shared memory. All else happens only when the head's stamp
//! is not the one seen before, and whenever something is missing: then the long
//! way is taken, which decides by the very rules.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as StdOrdering};

use super::error::RouteError;
use super::names::Names;
use super::namespace_cache::{NamespaceCache, NamespaceCaches, NamespaceHandle};
use super::nodes::{LocalNodes, MakeState, Route};
use super::pinned::Pinned;
use super::policy::{Attempt, Policy};
use super::preferred::PreferredRacks;
use super::refresh::Resolved;
use super::starts::Starts;
use super::target::Target;
use crate::layout::{ForkCell, HeadRef, Lineage};
use crate::map::{NamespaceName, Node, Slot, SnapshotError};
use crate::protocol::{CachedStamp, RETRIES, validate, validate_cached};
use crate::segment::{Current, Segment};

/// Routes keys to nodes, for one thread. Cheap to make; it holds for each node
/// what its user wants to keep there.
///
/// In a forked child it makes the local state anew; what it inherited is
/// dropped, which must do no more to a connection than close it.
pub struct Router<S = ()> {
    /// The head of `segment`.
    pub(super) head: HeadRef,
    /// The stamp, as [`CachedStamp`], for which tables and namespaces are known to
    /// be good; never that of a retired head.
    pub(super) seen: ForkCell,
    /// One for each of `resolved`.
    pub(super) caches: NamespaceCaches,
    pub(super) nodes: LocalNodes<S>,
    pub(super) partitions: usize,
    pub(super) starts: Starts,
    names: Names,
    pub(super) resolved: Vec<Resolved>,
    /// All that there are.
    pub(super) namespaces: Vec<NamespaceName>,
    pub(super) racks: Vec<i32>,
    /// Where those are from, if they are not this router's own, and the version
    /// that was taken over.
    preferred: Option<Arc<PreferredRacks>>,
    preferred_seen: u64,
    pub(super) current: Arc<Current>,
    pub(super) segment: Arc<Segment>,
    /// The table generation read last, as its whole tagged word; 0 = none.
    pub(super) generation: u64,
    pub(super) lineage: Lineage,
}

/// What a lookup found.
#[derive(Clone, Copy)]
struct Found {
    /// The slot; there is a state.
    index: usize,
    replica: usize,
    partition: usize,
    sequence: u64,
}

impl<S> Router<S> {
    pub(crate) fn new(current: Arc<Current>, make: MakeState<S>) -> Router<S> {
        static ROUTERS: AtomicU64 = AtomicU64::new(1);
        let segment = current.get();
        Router {
            head: HeadRef::new(segment.mapping()),
            seen: ForkCell::new(),
            caches: NamespaceCaches::new(ROUTERS.fetch_add(1, StdOrdering::Relaxed)),
            nodes: LocalNodes::new(make),
            partitions: segment.geometry().capacity().partitions,
            starts: Starts::new(),
            names: Names::new(),
            resolved: Vec::new(),
            namespaces: Vec::new(),
            racks: Vec::new(),
            preferred: None,
            preferred_seen: 0,
            current,
            segment,
            generation: 0,
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
        if let Some(known) = self.names.get(name) {
            return Ok(known);
        }
        self.resolved.push(Resolved::new(parsed));
        let handle = self.caches.add(self.partitions);
        self.names.insert(&parsed, handle);
        self.read_anew();
        self.settle()?;
        Ok(handle)
    }

    /// The racks that [`Policy::PreferRack`] prefers, the best first; at the
    /// beginning those of its client or reader. It may be changed at any time;
    /// from then on this router goes by its own.
    pub fn prefer_racks(&mut self, racks: &[i32]) {
        self.preferred = None;
        self.take_racks(racks);
    }

    /// Goes by these, which may change.
    pub(crate) fn follow_racks(mut self, preferred: Arc<PreferredRacks>) -> Router<S> {
        self.preferred = Some(preferred);
        self
    }

    /// The preferred racks may have been changed.
    #[inline]
    pub(super) fn look_at_racks(&mut self) {
        if self.preferred.as_ref().is_some_and(|racks| racks.is_newer(self.preferred_seen)) {
            self.renew_racks();
        }
    }

    #[cold]
    fn renew_racks(&mut self) {
        if let Some((version, racks)) = self.preferred.as_ref().and_then(|racks| racks.get()) {
            self.preferred_seen = version;
            self.take_racks(&racks);
        }
    }

    fn take_racks(&mut self, racks: &[i32]) {
        if self.racks != racks {
            self.racks = racks.to_vec();
            self.read_anew();
        }
    }

    /// The node of a target's partition under a policy: the first try of a
    /// command. The namespace is a handle, or its name, which costs a little
    /// more.
    ///
    /// # Errors
    /// [`RouteError`] says what is not there.
    #[inline(always)]
    pub fn route(
        &mut self,
        namespace: impl NamespaceRef,
        target: impl Target,
        policy: Policy,
    ) -> Result<Route<'_, S>, RouteError> {
        let attempt = self.attempt(policy);
        self.route_attempt(namespace, target, &attempt)
    }

    /// The state of a command that may be tried several times.
    #[inline(always)]
    pub fn attempt(&mut self, policy: Policy) -> Attempt {
        if policy == Policy::PreferRack {
            self.look_at_racks();
        }
        self.starts.attempt(policy)
    }

    /// The node of a target's partition for this try of a command. When it has
    /// failed, note it with [`Attempt::fail`] and ask again.
    ///
    /// # Errors
    /// As [`route`](Self::route).
    #[inline(always)]
    pub fn route_attempt(
        &mut self,
        namespace: impl NamespaceRef,
        target: impl Target,
        attempt: &Attempt,
    ) -> Result<Route<'_, S>, RouteError> {
        // A `Route` borrows the state: one for each way, or the borrow checker
        // holds the short way's against the long way.
        if let Some(handle) = namespace.find(self) {
            if let Some(found) = self.look(handle, self.caches.near(handle), &target, attempt) {
                return Ok(self.route_to(found));
            }
        }
        // By value: what is passed by reference would have to lie in memory on
        // the short way too.
        let found = self.look_again(namespace, target, *attempt)?;
        Ok(self.route_to(found))
    }

    /// The short way, if this is the handle's cache; `None` = take the long one,
    /// whatever the reason.
    #[inline(always)]
    fn look(
        &self,
        handle: NamespaceHandle,
        cache: &NamespaceCache,
        target: &impl Target,
        attempt: &Attempt,
    ) -> Option<Found> {
        let partition = target.partition(handle.partitions());
        let (replica, index) = cache.likely(handle, partition, attempt)?;
        let seen = CachedStamp::from_bits(self.seen.get());
        if !validate_cached(&self.head, seen) || !self.nodes.has(index) {
            return None;
        }
        Some(Found { index, replica, partition, sequence: seen.stamp().sequence() })
    }

    /// The long way.
    #[cold]
    #[inline(never)]
    fn look_again(
        &mut self,
        namespace: impl NamespaceRef,
        target: impl Target,
        attempt: Attempt,
    ) -> Result<Found, RouteError> {
        let namespace = match namespace.find(self) {
            Some(handle) => handle,
            None => namespace.resolve(self)?,
        };
        if let Some(cache) = self.caches.far(namespace) {
            if let Some(found) = self.look(namespace, cache, &target, &attempt) {
                return Ok(found);
            }
        }
        for _ in 0..RETRIES {
            let Some(stamp) = self.open()? else { continue };
            let partition = target.partition(self.partitions);
            let pinned = Pinned { router: self, stamp };
            let chosen = pinned.namespace(namespace)?.plain(partition, &attempt)?;
            if !validate(&self.head, stamp) {
                continue;
            }
            return match chosen {
                Some((replica, slot)) => {
                    let (index, sequence) = (slot.index(), stamp.sequence());
                    Ok(Found { index, replica, partition, sequence })
                }
                None => Err(self.no_node(namespace, partition, attempt.policy())),
            };
        }
        Err(SnapshotError::Disturbed.into())
    }

    #[inline(always)]
    fn route_to(&mut self, found: Found) -> Route<'_, S> {
        let Found { index, replica, partition, sequence } = found;
        let (state, nodes) = self.nodes.split_mut(index).expect("a state was found there");
        let slot = Slot::below_limit(index);
        Route { state, nodes, slot, replica, partition, sequence }
    }

    /// Runs `look` with one head check around all of its lookups. Its result is
    /// handed out only if no publication completed meanwhile; else it runs
    /// again, so that it must not do anything that can't be done twice.
    ///
    /// ```no_run
    /// # use tendmap::route::{NamespaceHandle, Partition, RouteError, Router};
    /// # fn f(router: &mut Router<u64>, test: NamespaceHandle) -> Result<(), RouteError> {
    /// let sum = router.pin(|pinned| {
    ///     let namespace = pinned.namespace(test)?;
    ///     let mut sum = 0;
    ///     for partition in 0..4096 {
    ///         sum += namespace.master(Partition(partition))?.map_or(0, |master| *master.state());
    ///     }
    ///     Ok(sum)
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`RouteError`] of the map itself, and what `look` answers.
    #[inline]
    pub fn pin<T>(
        &mut self,
        mut look: impl FnMut(&Pinned<'_, S>) -> Result<T, RouteError>,
    ) -> Result<T, RouteError> {
        self.look_at_racks();
        for _ in 0..RETRIES {
            let Some(stamp) = self.open()? else { continue };
            let result = look(&Pinned { router: self, stamp });
            if validate(&self.head, stamp) {
                return result;
            }
        }
        Err(SnapshotError::Disturbed.into())
    }

    /// The node in a slot, as of the last lookup.
    pub fn node(&self, slot: Slot) -> Option<&Node> {
        self.nodes.known(slot).map(|known| &known.node)
    }

    /// How often a node moved into a slot that has one now.
    pub fn incarnation(&self, slot: Slot) -> Option<u32> {
        self.nodes.known(slot).map(|known| known.incarnation)
    }

    /// What is kept for the node in a slot.
    pub fn state(&mut self, slot: Slot) -> Option<&mut S> {
        self.nodes.split_mut(slot.index()).map(|(state, _)| state)
    }

    /// What is kept for each node, by slot, as of the last lookup.
    pub fn states(&self) -> impl Iterator<Item = (Slot, &S)> {
        self.nodes.states()
    }

    /// How many partitions a namespace has.
    pub fn partitions(&self) -> usize {
        self.partitions
    }

    /// Whether a namespace is a strong-consistency one, which decides how its
    /// reads are routed: see [`Policy::for_read`]. One that is gone is none.
    ///
    /// # Errors
    /// [`RouteError::ForeignHandle`], and those of the map itself.
    pub fn strong_consistency(&mut self, namespace: NamespaceHandle) -> Result<bool, RouteError> {
        self.settle()?;
        let index = self.caches.index(namespace).ok_or(RouteError::ForeignHandle)?;
        Ok(self.resolved[index].strong_consistency())
    }

    #[inline(always)]
    pub(super) fn cache(&self, namespace: NamespaceHandle) -> Result<&NamespaceCache, RouteError> {
        match self.caches.get(namespace) {
            Some(cache) => Ok(cache),
            None => Err(RouteError::ForeignHandle),
        }
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

/// A namespace as a lookup is given it: a handle, or its name.
pub trait NamespaceRef: Copy + by::Namespace {}

impl NamespaceRef for NamespaceHandle {}
impl NamespaceRef for &str {}
impl NamespaceRef for &NamespaceName {}

/// What [`NamespaceRef`] can do, out of its users' sight.
mod by {
    use super::*;

    pub trait Namespace: Copy {
        /// What the router knows already.
        fn find<S>(self, router: &Router<S>) -> Option<NamespaceHandle>;
        /// What it has to look up first.
        fn resolve<S>(self, router: &mut Router<S>) -> Result<NamespaceHandle, RouteError>;
    }

    impl Namespace for NamespaceHandle {
        #[inline(always)]
        fn find<S>(self, _: &Router<S>) -> Option<NamespaceHandle> {
            Some(self)
        }
        fn resolve<S>(self, _: &mut Router<S>) -> Result<NamespaceHandle, RouteError> {
            Ok(self)
        }
    }

    impl Namespace for &str {
        #[inline(always)]
        fn find<S>(self, router: &Router<S>) -> Option<NamespaceHandle> {
            router.names.get(self)
        }
        fn resolve<S>(self, router: &mut Router<S>) -> Result<NamespaceHandle, RouteError> {
            router.namespace(self)
        }
    }

    impl Namespace for &NamespaceName {
        #[inline(always)]
        fn find<S>(self, router: &Router<S>) -> Option<NamespaceHandle> {
            router.names.get(self.as_str())
        }
        fn resolve<S>(self, router: &mut Router<S>) -> Result<NamespaceHandle, RouteError> {
            router.namespace(self.as_str())
        }
    }
}
