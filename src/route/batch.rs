//! Routes many keys in one call.

use std::collections::TryReserveError;

use super::digest::{Digest, Keys, Lanes};
use super::error::RouteError;
use super::namespace_cache::NamespaceHandle;
use super::pinned::{Pinned, PinnedRoute};
use super::policy::Policy;
use super::rotation::Steps;
use crate::map::Slot;

/// The routes of many keys: filled by
/// [`Router::route_batch`](super::Router::route_batch), to be reused for
/// further calls. It allocates only when it must hold more keys than ever
/// before.
///
/// Slots are those of the router's table as of that call: look up a node's
/// state with [`Router::state`](super::Router::state) before the next call of
/// the router.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use tendmap::route::InSet;
/// use tendmap::sim::{Sim, SimConfig};
/// use tendmap::{Batch, Client, Config, Policy};
///
/// let sim = Sim::start(SimConfig::fast(3))?;
/// let client = Client::connect(Config::new(vec![sim.seeds()[0].into()]))?;
/// let mut router = client.router_with(|_| Vec::new());
/// let mut batch = Batch::new(); // reused for further calls
/// let ids = [17_i64, 42, 4711];
/// router.route_batch("test", &InSet::new("users", &ids), Policy::Sequence, &mut batch)?;
/// assert_eq!((batch.len(), batch.unrouted().count()), (3, 0));
/// for group in batch.groups() {
///     // One request for each node, with all of its keys.
///     let queue = router.state_mut(group.slot()).expect("a node was found there");
///     queue.extend(group.keys().map(|key| ids[key.index]));
/// }
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Batch {
    lanes: Lanes,
    digests: Vec<Digest>,
    chosen: Vec<Option<ReplicaChoice>>,
    /// Indexes of keys by slot, and the end of each slot's range. Both are
    /// empty until they are needed.
    order: Vec<u32>,
    ends: Vec<u32>,
    partitions: usize,
    sequence: u64,
    /// The error for keys without a node, except for its partition.
    missing: Option<RouteError>,
}

#[derive(Clone, Copy, Debug)]
struct ReplicaChoice {
    slot: Slot,
    /// Below the replication factor, which has eight bits.
    replica: u8,
}

/// The route of one key of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchRoute {
    /// The index of the key, counted from 0.
    pub index: usize,
    /// The key's digest.
    pub digest: Digest,
    /// The key's partition.
    pub partition: usize,
    /// The replica that was chosen, 0 = the master.
    pub replica: usize,
    /// The node's slot in the router's table.
    pub slot: Slot,
}

impl Batch {
    /// An empty one, for the fastest lanes of the machine.
    #[must_use]
    pub fn new() -> Batch {
        Batch::with_lanes(Lanes::best())
    }

    internal! {
        /// An empty batch that computes digests in those lanes.
        fn with_lanes(lanes: Lanes) -> Batch {
            Batch {
                lanes,
                digests: Vec::new(),
                chosen: Vec::new(),
                order: Vec::new(),
                ends: Vec::new(),
                partitions: 1,
                sequence: 0,
                missing: None,
            }
        }
    }

    /// Reserves memory for that many keys; a batch of no more keys then allocates nothing.
    ///
    /// # Errors
    /// [`TryReserveError`] if there is not enough memory; the batch is then unchanged.
    pub fn try_reserve(&mut self, keys: usize) -> Result<(), TryReserveError> {
        // Both are refilled by each call, so their present content counts as
        // room.
        self.digests.try_reserve_exact(keys.saturating_sub(self.digests.len()))?;
        self.chosen.try_reserve_exact(keys.saturating_sub(self.chosen.len()))
    }

    /// How many keys were routed; 0 after an error.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chosen.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chosen.is_empty()
    }

    /// The publication that all were read from.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The digests of all keys, in their order.
    #[must_use]
    pub fn digests(&self) -> &[Digest] {
        &self.digests[..self.len()]
    }

    /// The route of a key, by the index of the key; `None` if there is no such key.
    ///
    /// The error is [`RouteError::NoNode`], as [`Router::route`](super::Router::route)
    /// returns it for that key.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Result<BatchRoute, RouteError>> {
        let chosen = *self.chosen.get(index)?;
        Some(chosen.map(|chosen| self.route(index, chosen)).ok_or_else(|| self.no_node(index)))
    }

    /// The slot of each key's node, in the order of the keys; `None` = it has
    /// none.
    #[must_use]
    pub fn slots(&self) -> impl ExactSizeIterator<Item = Option<Slot>> {
        self.chosen.iter().map(|chosen| chosen.map(|chosen| chosen.slot))
    }

    /// The indexes of the keys without a node.
    pub fn unrouted(&self) -> impl Iterator<Item = usize> {
        let all = self.chosen.iter().enumerate();
        all.filter(|(_, chosen)| chosen.is_none()).map(|(index, _)| index)
    }

    /// The keys of each node: nodes in slot order, keys in their own order.
    /// Keys without a node are in no group.
    pub fn groups(&mut self) -> impl Iterator<Item = Group<'_>> {
        if self.ends.is_empty() {
            self.sort();
        }
        let batch = &*self;
        let slots = (0..).map_while(Slot::new).zip(&batch.ends);
        let groups = slots.scan(0, |start, (slot, end)| {
            let order = &batch.order[core::mem::replace(start, *end as usize)..*end as usize];
            Some(Group { batch, slot, order })
        });
        groups.filter(|group| !group.order.is_empty())
    }

    /// A counting sort.
    fn sort(&mut self) {
        let slots = || self.chosen.iter().map(|chosen| chosen.map(|chosen| chosen.slot.index()));
        self.ends.clear();
        for slot in slots().flatten() {
            if slot >= self.ends.len() {
                self.ends.resize(slot + 1, 0);
            }
            self.ends[slot] += 1;
        }
        let mut total = 0;
        for end in &mut self.ends {
            // The position of the slot's first key. It advances with each key,
            // and so becomes the end.
            total += core::mem::replace(end, total);
        }
        self.order.clear();
        self.order.resize(total as usize, 0);
        for (index, slot) in slots().enumerate() {
            if let Some(slot) = slot {
                self.order[self.ends[slot] as usize] = index as u32;
                self.ends[slot] += 1;
            }
        }
    }

    /// Computes the digests of other keys. No replicas are chosen for them yet.
    ///
    /// This happens before the head is read: a publication during the call
    /// repeats only the lookups.
    pub(super) fn begin(&mut self, keys: &(impl Keys + ?Sized)) {
        let len = keys.len();
        assert!(u32::try_from(len).is_ok(), "{len} keys in a batch; at most 2^32 - 1 fit");
        self.clear();
        self.ends.clear();
        self.missing = None;
        self.digests.resize(len, Digest::ZERO);
        Digest::many_in(self.lanes, keys, &mut self.digests);
    }

    /// Clears all choices.
    pub(super) fn clear(&mut self) {
        self.chosen.clear();
    }

    /// Chooses for each digest. It stands apart: within the loop around a pinned
    /// look the compiler spent an instruction more on each key.
    #[inline(never)]
    pub(super) fn choose<S>(
        &mut self,
        pinned: &Pinned<'_, S>,
        namespace: NamespaceHandle,
        policy: Policy,
        steps: &mut Steps,
    ) -> Result<(), RouteError> {
        // An unknown namespace is an error even without keys.
        let namespace = pinned.namespace(namespace)?;
        (self.partitions, self.sequence) = (pinned.partitions(), pinned.sequence());
        self.chosen.clear();
        let (digests, chosen) = (&self.digests, &mut self.chosen);
        // A loop for each policy: it is known within. Those that always start at
        // the same replica need one attempt for all keys.
        match policy {
            Policy::Master => each(digests, chosen, |digest| namespace.master(digest)),
            Policy::Sequence => {
                let attempt = steps.attempt(Policy::Sequence);
                each(digests, chosen, |digest| namespace.route(digest, &attempt))
            }
            Policy::PreferRack => {
                let attempt = steps.attempt(Policy::PreferRack);
                each(digests, chosen, |digest| namespace.route(digest, &attempt))
            }
            Policy::Any => {
                each(digests, chosen, |digest| namespace.route(digest, &steps.attempt(Policy::Any)))
            }
            Policy::Random => each(digests, chosen, |digest| {
                namespace.route(digest, &steps.attempt(Policy::Random))
            }),
        }
    }

    /// The partition of the first key without a node.
    pub(super) fn first_unrouted(&self) -> Option<usize> {
        self.unrouted().next().map(|index| self.partition(index))
    }

    /// Records the error for keys without a node; returns an error that applies
    /// to all keys.
    pub(super) fn note_missing(&mut self, error: RouteError) -> Result<(), RouteError> {
        if !matches!(error, RouteError::NoNode { .. }) {
            return Err(error);
        }
        self.missing = Some(error);
        Ok(())
    }

    fn route(&self, index: usize, chosen: ReplicaChoice) -> BatchRoute {
        let ReplicaChoice { slot, replica } = chosen;
        let (digest, partition) = (self.digests[index], self.partition(index));
        BatchRoute { index, digest, partition, replica: replica.into(), slot }
    }

    fn partition(&self, index: usize) -> usize {
        self.digests[index].partition(self.partitions)
    }

    #[cold]
    fn no_node(&self, index: usize) -> RouteError {
        let mut error = self.missing.clone().expect("it is noted where a key has no node");
        if let RouteError::NoNode { partition, .. } = &mut error {
            *partition = self.partition(index);
        }
        error
    }
}

impl Default for Batch {
    fn default() -> Batch {
        Batch::new()
    }
}

/// The keys of a batch that go to one node.
#[derive(Clone, Copy, Debug)]
pub struct Group<'a> {
    batch: &'a Batch,
    slot: Slot,
    order: &'a [u32],
}

impl<'a> Group<'a> {
    /// The node's slot in the router's table.
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// The indexes of its keys, in ascending order; at least one.
    #[must_use]
    pub fn indexes(&self) -> &'a [u32] {
        self.order
    }

    /// The routes of its keys.
    pub fn keys(&self) -> impl Iterator<Item = BatchRoute> + use<'a> {
        let batch = self.batch;
        self.order.iter().filter_map(|&index| {
            let index = index as usize;
            Some(batch.route(index, batch.chosen[index]?))
        })
    }
}

/// The result of `choose` for each digest, or the first error.
#[inline(always)]
fn each<'a, S: 'a>(
    digests: &[Digest],
    chosen: &mut Vec<Option<ReplicaChoice>>,
    mut choose: impl FnMut(Digest) -> Result<Option<PinnedRoute<'a, S>>, RouteError>,
) -> Result<(), RouteError> {
    chosen.resize(digests.len(), None);
    for (&digest, chosen) in digests.iter().zip(chosen) {
        let found = choose(digest)?;
        *chosen =
            found.map(|found| ReplicaChoice { slot: found.slot(), replica: found.replica() as u8 });
    }
    Ok(())
}
