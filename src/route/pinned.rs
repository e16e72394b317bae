//! Lookups under one check of the head.

use core::fmt;

use super::error::RouteError;
use super::namespace_cache::{NamespaceCache, NamespaceHandle};
use super::nodes::KnownNode;
use super::policy::{Attempt, select};
use super::target::Target;
use super::view::View;
use crate::layout::SlotsRef;
use crate::map::{Node, RoutingWord, Slot};
use crate::protocol::Stamp;
use crate::sync::{AtomicU64, Ordering};

/// Lookups under one head check, see [`Router::pin`](super::Router::pin).
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use tendmap::sim::{Sim, SimConfig};
/// use tendmap::{Client, Config, Partition};
///
/// let sim = Sim::start(SimConfig::fast(3))?;
/// let client = Client::connect(Config::new(vec![sim.seeds()[0].into()]))?;
/// let mut router = client.router();
/// let test = router.namespace("test")?;
/// // How many partitions have no master, all in one publication.
/// let holes = router.pin(|pinned| {
///     let namespace = pinned.namespace(test)?;
///     let mut holes = 0;
///     for partition in 0..4096 {
///         holes += usize::from(namespace.master(Partition(partition))?.is_none());
///     }
///     Ok(holes)
/// })?;
/// assert_eq!(holes, 0);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Pinned<'a, S> {
    view: &'a View<S>,
    stamp: Stamp,
}

impl<'a, S> Pinned<'a, S> {
    /// Lookups in a view, in a read that was opened at this stamp.
    #[inline(always)]
    pub(super) fn new(view: &'a View<S>, stamp: Stamp) -> Pinned<'a, S> {
        Pinned { view, stamp }
    }

    #[inline(always)]
    pub(super) fn partitions(&self) -> usize {
        self.view.partitions()
    }

    /// The publication that is read.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.stamp.sequence()
    }

    /// The number of routable replicas of a partition: the replication factor, limited by the
    /// segment's capacity; 0 for a namespace that no longer exists.
    ///
    /// # Errors
    /// [`RouteError::ForeignHandle`].
    pub fn replicas(&self, namespace: NamespaceHandle) -> Result<usize, RouteError> {
        self.view.cache(namespace).map(NamespaceCache::replicas)
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
        self.namespace(namespace)?.master(target).map(|found| found.map(|found| found.slot))
    }

    /// One namespace, for many lookups in it; this is the fastest way.
    ///
    /// # Errors
    /// [`RouteError::ForeignHandle`].
    #[inline]
    pub fn namespace(
        &self,
        namespace: NamespaceHandle,
    ) -> Result<PinnedNamespace<'a, S>, RouteError> {
        let cache = self.view.cache(namespace)?;
        let (states, nodes) = self.view.nodes().split();
        let (words, partitions) = (cache.plane(), self.view.partitions());
        let states = states.view();
        Ok(PinnedNamespace { words, states, nodes, cache, handle: namespace, partitions })
    }

    /// The replica that an attempt goes to, and its slot; `None` if the policy allows none.
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
        self.namespace(namespace)?.select(partition, attempt)
    }
}

impl<S> fmt::Debug for Pinned<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned").field("sequence", &self.sequence()).finish_non_exhaustive()
    }
}

/// Lookups in one namespace under one head check, see [`Pinned::namespace`].
pub struct PinnedNamespace<'a, S> {
    /// The first plane: a word per partition; empty if the namespace no longer
    /// exists.
    words: &'a [AtomicU64],
    states: SlotsRef<'a, S>,
    nodes: &'a [Option<KnownNode>],
    cache: &'a NamespaceCache,
    handle: NamespaceHandle,
    partitions: usize,
}

impl<S> Clone for PinnedNamespace<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for PinnedNamespace<'_, S> {}

impl<S> fmt::Debug for PinnedNamespace<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedNamespace").field("handle", &self.handle).finish_non_exhaustive()
    }
}

impl<'a, S> PinnedNamespace<'a, S> {
    /// The master of a partition and its local state; `None` if it has none.
    ///
    /// # Errors
    /// [`RouteError::OutOfRange`].
    #[inline(always)]
    pub fn master(&self, target: impl Target) -> Result<Option<PinnedRoute<'a, S>>, RouteError> {
        let partition = target.partition(self.partitions);
        let Some(word) = self.words.get(partition) else {
            return self.no_word(partition).map(|()| None);
        };
        // Relaxed: between the two fences of the head check.
        let word = RoutingWord::from_word(word.load(Ordering::Relaxed));
        Ok(self.found(0, word.raw(0)))
    }

    /// Like [`master`](Self::master), for the replica that an attempt goes to.
    ///
    /// # Errors
    /// [`RouteError::OutOfRange`].
    #[inline]
    pub fn route(
        &self,
        target: impl Target,
        attempt: &Attempt,
    ) -> Result<Option<PinnedRoute<'a, S>>, RouteError> {
        let partition = target.partition(self.partitions);
        if let Some((replica, index)) = self.cache.likely(self.handle, partition, attempt) {
            if let found @ Some(_) = self.found(replica, index) {
                return Ok(found);
            }
        }
        let chosen = self.plain(partition, attempt)?;
        Ok(chosen.and_then(|(replica, slot)| self.found(replica, slot.index())))
    }

    /// The replica that an attempt goes to, and its slot; `None` if the policy allows none.
    ///
    /// # Errors
    /// [`RouteError::OutOfRange`].
    #[inline]
    pub fn select(
        &self,
        partition: usize,
        attempt: &Attempt,
    ) -> Result<Option<(usize, Slot)>, RouteError> {
        let found = self.route(super::target::Partition(partition), attempt)?;
        Ok(found.map(|found| (found.replica, found.slot)))
    }

    /// The reference implementation; the fast paths must agree with it.
    #[inline(never)]
    pub(super) fn plain(
        &self,
        partition: usize,
        attempt: &Attempt,
    ) -> Result<Option<(usize, Slot)>, RouteError> {
        if partition >= self.words.len() {
            return self.no_word(partition).map(|()| None);
        }
        let present = |replica| {
            let index = self.cache.raw(replica, partition)?;
            Slot::new(index).filter(|_| self.states.get(index).is_some())
        };
        let rank = |slot| self.cache.rank(slot);
        Ok(select(attempt, self.cache.replicas(), present, rank))
    }

    #[inline(always)]
    fn found(&self, replica: usize, index: usize) -> Option<PinnedRoute<'a, S>> {
        let state = self.states.get(index)?;
        let slot = Slot::below_limit(index);
        Some(PinnedRoute { state, nodes: self.nodes, slot, replica })
    }

    /// Handles a partition without a word: it is out of range, or the namespace
    /// no longer exists.
    #[cold]
    fn no_word(&self, partition: usize) -> Result<(), RouteError> {
        let partitions = self.partitions;
        if partition < partitions {
            return Ok(());
        }
        Err(RouteError::OutOfRange { partition, partitions })
    }
}

/// The route of a key as found under one head check. It is valid only once that
/// check has passed, when [`Router::pin`](super::Router::pin) returns its
/// result.
pub struct PinnedRoute<'a, S> {
    state: &'a S,
    nodes: &'a [Option<KnownNode>],
    slot: Slot,
    replica: usize,
}

impl<'a, S> PinnedRoute<'a, S> {
    /// The node.
    #[must_use]
    #[allow(clippy::missing_panics_doc, reason = "there is a node where there is a state")]
    pub fn node(&self) -> &'a Node {
        &self.nodes[self.slot.index()].as_ref().expect("a node where there is a state").node
    }

    /// The node's slot in the table.
    #[inline]
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The replica that was chosen, 0 = the master.
    #[inline]
    #[must_use]
    pub fn replica(&self) -> usize {
        self.replica
    }

    /// The local state that the router's user keeps for the node.
    #[inline]
    #[must_use]
    pub fn state(&self) -> &'a S {
        self.state
    }
}

impl<S> fmt::Debug for PinnedRoute<'_, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PinnedRoute")
            .field("node", self.node())
            .field("replica", &self.replica)
            .finish_non_exhaustive()
    }
}
