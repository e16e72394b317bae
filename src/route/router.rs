//! The router: from a partition to a node, at the cost of an array read.
//!
//! The hot path reads the routing word, the head, and an element of the
//! router's own table of states. The head is read only after the word, because
//! the stamp that it must still have is known from its last change. There is no
//! lock, no allocation, no string comparison, no system call, no clock and no
//! store to shared memory. Everything else happens only if the head's stamp is
//! not the last one seen, or if something is missing: then the slow path
//! decides, by the reference implementation.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as StdOrdering};

use super::batch::Batch;
use super::digest::Keys;
use super::error::RouteError;
use super::names::{Names, NamespaceArgument, NamespaceRef};
use super::namespace_cache::NamespaceHandle;
use super::nodes::{MakeState, Route};
use super::pinned::Pinned;
use super::policy::{Attempt, Policy};
use super::preferred::{PreferredRacks, RouterRacks};
use super::rotation::ReplicaRotation;
use super::target::Target;
use super::view::{LookupResult, View};
use crate::map::{NamespaceName, Node, Slot, SnapshotError};
use crate::protocol::{Check, RETRIES, Stamp};
use crate::segment::Current;

/// Routes keys to nodes, for one thread. It takes about 4 KiB, is cheap to create,
/// and holds local state for each node.
///
/// In a forked child it creates the local state again. The inherited state is
/// dropped there; for a connection, drop must do no more than close it.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use tendmap::sim::{Sim, SimConfig};
/// use tendmap::{Client, Config, Policy, Record};
///
/// let sim = Sim::start(SimConfig::fast(3))?;
/// let client = Client::connect(Config::new(vec![sim.seeds()[0].into()]))?;
/// let mut router = client.router();
/// let test = router.namespace("test")?; // looked up once
/// let mut attempt = router.attempt(Policy::Sequence);
/// let first = router.route_attempt(test, Record::new("users", 42), &attempt)?;
/// assert_eq!(first.replica(), 0);
/// // If the exchange with that node fails, the next replica is asked.
/// attempt.fail(first.replica(), first.slot());
/// let second = router.route_attempt(test, Record::new("users", 42), &attempt)?;
/// assert_eq!(second.replica(), 1);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Router<S = ()> {
    view: View<S>,
    names: Names,
    starts: ReplicaRotation,
    racks: RouterRacks,
    make: MakeState<S>,
    current: Arc<Current>,
}

/// A number for another router of this process.
pub(super) fn router_number() -> u64 {
    static ROUTERS: AtomicU64 = AtomicU64::new(1);
    ROUTERS.fetch_add(1, StdOrdering::Relaxed)
}

impl<S> Router<S> {
    pub(crate) fn new(current: Arc<Current>, make: MakeState<S>) -> Router<S> {
        Router {
            view: View::new(current.get(), router_number()),
            names: Names::new(),
            starts: ReplicaRotation::new(),
            racks: RouterRacks::none(),
            make,
            current,
        }
    }

    /// Opens a read; returns the stamp for which the view is valid. `None` =
    /// try again.
    #[inline(always)]
    fn open(&mut self) -> Result<Option<Stamp>, RouteError> {
        match self.view.check() {
            Check::Hit(stamp) => Ok(Some(stamp)),
            Check::Stale(stamp) => self.refresh(stamp),
        }
    }

    #[cold]
    #[inline(never)]
    fn refresh(&mut self, stamp: Stamp) -> Result<Option<Stamp>, RouteError> {
        if self.view.is_inherited() {
            self.starts = ReplicaRotation::new();
        }
        self.view.refresh(stamp, &self.current, self.racks.as_slice(), &mut self.make)
    }

    /// Brings the view up to date.
    fn settle(&mut self) -> Result<(), RouteError> {
        for _ in 0..RETRIES {
            if self.open()?.is_some() {
                return Ok(());
            }
        }
        Err(SnapshotError::ReadRaced.into())
    }

    /// Resolves a namespace once, for many lookups.
    ///
    /// # Errors
    /// [`RouteError::NamespaceUnknown`], [`RouteError::ClusterEmpty`], [`RouteError::NoMap`].
    pub fn namespace(&mut self, name: &str) -> Result<NamespaceHandle, RouteError> {
        self.settle()?;
        let parsed = NamespaceName::new(name).ok();
        let there = parsed.filter(|parsed| self.view.namespaces().contains(parsed));
        let Some(parsed) = there else {
            return Err(self.view.unknown(name));
        };
        if let Some(known) = self.names.get(name) {
            return Ok(known);
        }
        let handle = self.view.add(parsed);
        self.names.insert(&parsed, handle);
        self.settle()?;
        Ok(handle)
    }

    /// Sets the racks that [`Policy::PreferRack`] prefers, best first.
    /// Initially they are those of the router's client or reader; after this
    /// call the router uses its own. They may be changed at any time.
    pub fn set_preferred_racks(&mut self, racks: &[i32]) {
        if self.racks.prefer(racks) {
            self.view.forget();
        }
    }

    /// Uses these racks, which may change.
    pub(crate) fn follow_racks(mut self, preferred: Arc<PreferredRacks>) -> Router<S> {
        self.racks.follow(preferred);
        self
    }

    /// Checks whether the preferred racks have changed.
    #[inline]
    fn look_at_racks(&mut self) {
        if self.racks.are_behind() {
            self.renew_racks();
        }
    }

    #[cold]
    fn renew_racks(&mut self) {
        if self.racks.catch_up() {
            self.view.forget();
        }
    }

    /// The node of a target's partition under a policy: the first try of a command. The namespace
    /// is given as a handle, or by name, which costs slightly more.
    ///
    /// # Errors
    /// [`RouteError`] says what is missing.
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

    /// The node of a target's partition for this try of a command. If the node fails, report that
    /// with [`Attempt::fail`] and call this again.
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
        // A `Route` borrows the state. Each path makes its own; otherwise the
        // borrow of the fast path would conflict with the slow path.
        if let Some(handle) = self.names.find(namespace) {
            if let Some(found) = self.view.find(handle, &target, attempt) {
                return Ok(self.view.route_to(found));
            }
        }
        // Passed by value: a reference would force the value into memory on the
        // fast path too.
        let found = self.look_again(namespace, target, *attempt)?;
        Ok(self.view.route_to(found))
    }

    /// The slow path.
    #[cold]
    #[inline(never)]
    fn look_again(
        &mut self,
        namespace: impl NamespaceRef,
        target: impl Target,
        attempt: Attempt,
    ) -> Result<LookupResult, RouteError> {
        let namespace = self.resolve(namespace)?;
        if let Some(found) = self.view.find_far(namespace, &target, &attempt) {
            return Ok(found);
        }
        for _ in 0..RETRIES {
            let Some(stamp) = self.open()? else { continue };
            let partition = target.partition(self.view.partitions());
            let pinned = Pinned::new(&self.view, stamp);
            let chosen = pinned.namespace(namespace)?.plain(partition, &attempt)?;
            if !self.view.validate(stamp) {
                continue;
            }
            return match chosen {
                Some((replica, slot)) => {
                    let (index, sequence) = (slot.index(), stamp.sequence());
                    Ok(LookupResult { index, replica, partition, sequence })
                }
                None => Err(self.view.no_node(namespace, partition, attempt.policy())),
            };
        }
        Err(SnapshotError::ReadRaced.into())
    }

    /// Runs `look` with one head check around all of its lookups. The result is returned only if
    /// no publication completed during the run; otherwise `look` runs again, so it must tolerate
    /// being repeated.
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
    /// A [`RouteError`] of the map itself, or the error that `look` returns.
    #[inline]
    pub fn pin<T>(
        &mut self,
        mut look: impl FnMut(&Pinned<'_, S>) -> Result<T, RouteError>,
    ) -> Result<T, RouteError> {
        self.pin_with_starts(|pinned, _| look(pinned))
    }

    /// Like [`pin`](Self::pin); `look` also receives the starts as they are at
    /// each of its runs: a forked child draws its own as soon as it detects the
    /// fork.
    #[inline]
    fn pin_with_starts<T>(
        &mut self,
        mut look: impl FnMut(&Pinned<'_, S>, &ReplicaRotation) -> Result<T, RouteError>,
    ) -> Result<T, RouteError> {
        self.look_at_racks();
        for _ in 0..RETRIES {
            let Some(stamp) = self.open()? else { continue };
            let result = look(&Pinned::new(&self.view, stamp), &self.starts);
            if self.view.validate(stamp) {
                return result;
            }
        }
        Err(SnapshotError::ReadRaced.into())
    }

    /// The nodes of many keys under a policy: the same as [`route`](Self::route) for each key,
    /// but several digests are computed at once, and all lookups are of one publication.
    /// The namespace is a handle, or its name.
    ///
    /// ```no_run
    /// use tendmap::route::{Batch, InSet, NamespaceHandle, Policy, RouteError, Router};
    ///
    /// fn fetch(
    ///     router: &mut Router<Vec<i64>>,
    ///     namespace: NamespaceHandle,
    ///     ids: &[i64],
    ///     batch: &mut Batch,
    /// ) -> Result<(), RouteError> {
    ///     router.route_batch(namespace, &InSet::new("users", ids), Policy::Sequence, batch)?;
    ///     for group in batch.groups() {
    ///         let queue = router.state_mut(group.slot()).expect("a node was found there");
    ///         queue.extend(group.keys().map(|key| ids[key.index]));
    ///     }
    ///     Ok(())
    /// }
    /// ```
    ///
    /// A key whose partition has no node does not make the call fail: see [`Batch::get`] and
    /// [`Batch::unrouted`].
    ///
    /// # Errors
    /// [`RouteError`] if no key could be routed, whatever its partition; the batch is then empty.
    ///
    /// # Panics
    /// If there are 2^32 keys or more.
    pub fn route_batch(
        &mut self,
        namespace: impl NamespaceRef,
        keys: &(impl Keys + ?Sized),
        policy: Policy,
        batch: &mut Batch,
    ) -> Result<(), RouteError> {
        batch.begin(keys);
        let result = self.resolve(namespace).and_then(|namespace| {
            self.choose(namespace, policy, batch)?;
            let Some(partition) = batch.first_unrouted() else { return Ok(()) };
            batch.note_missing(self.view.no_node(namespace, partition, policy))
        });
        if result.is_err() {
            batch.clear();
        }
        result
    }

    /// The handle of a namespace that is given by its handle or its name.
    fn resolve(&mut self, namespace: impl NamespaceRef) -> Result<NamespaceHandle, RouteError> {
        match (self.names.find(namespace), namespace.wanted()) {
            (Some(handle), _) | (None, NamespaceArgument::Handle(handle)) => Ok(handle),
            (None, NamespaceArgument::Name(name)) => self.namespace(name),
        }
    }

    /// Chooses a replica for each key of a batch under one head check.
    fn choose(
        &mut self,
        namespace: NamespaceHandle,
        policy: Policy,
        batch: &mut Batch,
    ) -> Result<(), RouteError> {
        let mut steps = None;
        self.pin_with_starts(|pinned, starts| {
            batch.choose(pinned, namespace, policy, steps.insert(starts.steps()))
        })?;
        if let Some(steps) = steps {
            self.starts.go_on(steps);
        }
        Ok(())
    }

    /// The node in a slot, as of the last lookup.
    #[must_use]
    pub fn node(&self, slot: Slot) -> Option<&Node> {
        self.view.nodes().known(slot).map(|known| &known.node)
    }

    /// How often a node moved into a slot that has one now.
    #[must_use]
    pub fn incarnation(&self, slot: Slot) -> Option<u32> {
        self.view.nodes().known(slot).map(|known| known.incarnation)
    }

    /// The local state of the node in a slot, as of the last lookup.
    #[must_use]
    pub fn state(&self, slot: Slot) -> Option<&S> {
        self.view.nodes().split().0.get(slot.index())
    }

    /// Like [`state`](Self::state), to be changed.
    pub fn state_mut(&mut self, slot: Slot) -> Option<&mut S> {
        self.view.state_mut(slot)
    }

    /// The local state of each node, by slot, as of the last lookup.
    pub fn states(&self) -> impl Iterator<Item = (Slot, &S)> {
        self.view.nodes().states()
    }

    /// How many partitions a namespace has.
    #[must_use]
    pub fn partitions(&self) -> usize {
        self.view.partitions()
    }

    /// Whether a namespace uses strong consistency, which determines how its reads are routed:
    /// see [`Policy::for_read`]. `false` for a namespace that no longer exists.
    ///
    /// # Errors
    /// [`RouteError::ForeignHandle`], and errors of the map itself.
    pub fn strong_consistency(&mut self, namespace: NamespaceHandle) -> Result<bool, RouteError> {
        self.settle()?;
        self.view.strong_consistency(namespace)
    }
}

impl<S> core::fmt::Debug for Router<S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Router")
            .field("segment", &self.view.segment().identity())
            .field("namespaces", &self.view.namespaces())
            .finish_non_exhaustive()
    }
}
