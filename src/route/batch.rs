//! Many keys to their nodes at once.

use std::collections::TryReserveError;

use super::digest::{Digest, Keys, Lanes};
use super::error::RouteError;
use super::namespace_cache::NamespaceHandle;
use super::pinned::{Pinned, PinnedRoute};
use super::policy::Policy;
use super::rotation::Steps;
use crate::map::Slot;

/// Where many keys go: filled by [`Router::route_batch`](super::Router::route_batch), to be used again for
/// the next ones. It allocates only to hold more keys than ever before.
///
/// Slots are those of the router's table as of that call: take what is kept for
/// a node from [`Router::state`](super::Router::state) before the router's next one.
#[derive(Clone, Debug)]
pub struct Batch {
    lanes: Lanes,
    digests: Vec<Digest>,
    chosen: Vec<Option<Chosen>>,
    /// Indexes of keys by slot, and where those of each slot end. Both are
    /// empty until they are asked for.
    order: Vec<u32>,
    ends: Vec<u32>,
    partitions: usize,
    sequence: u64,
    /// What a key without a node is answered, but for its partition.
    missing: Option<RouteError>,
}

#[derive(Clone, Copy, Debug)]
struct Chosen {
    slot: Slot,
    /// Below the replication factor, which has eight bits.
    replica: u8,
}

/// Where one key of a batch goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchRoute {
    /// Which of the keys it is, counted from 0.
    pub index: usize,
    /// The key's digest.
    pub digest: Digest,
    /// Its partition.
    pub partition: usize,
    /// Which replica was chosen, 0 = the master.
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
        /// An empty one whose digests are computed in those lanes.
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

    /// Gets the memory for so many keys beforehand; a batch of no more keys
    /// allocates nothing then.
    ///
    /// # Errors
    /// [`TryReserveError`] if there is not so much; the batch is as it was.
    pub fn try_reserve(&mut self, keys: usize) -> Result<(), TryReserveError> {
        // Both are filled anew: what is in them now counts as room.
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

    /// Where a key goes, by its index.
    ///
    /// # Errors
    /// [`RouteError::NoNode`], as [`Router::route`](super::Router::route) of that key.
    ///
    /// # Panics
    /// If there are not so many keys.
    pub fn get(&self, index: usize) -> Result<BatchRoute, RouteError> {
        self.route(index).ok_or_else(|| self.no_node(index))
    }

    /// The slot of each key's node, in the order of the keys; `None` = it has
    /// none.
    #[must_use]
    pub fn slots(&self) -> impl ExactSizeIterator<Item = Option<Slot>> {
        self.chosen.iter().map(|chosen| chosen.map(|chosen| chosen.slot))
    }

    /// The keys for which there is no node, by their indexes.
    pub fn unrouted(&self) -> impl Iterator<Item = usize> {
        let all = self.chosen.iter().enumerate();
        all.filter(|(_, chosen)| chosen.is_none()).map(|(index, _)| index)
    }

    /// The keys of each node, nodes in the order of their slots, keys in their
    /// own. Those without a node are in none.
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

    /// Sorts by counting.
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
            // Where its first key goes: raised with each, it becomes the end.
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

    /// Takes the digests of other keys. Nothing is chosen for them yet.
    ///
    /// This is done before the head is looked at: a publication meanwhile
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

    /// Nothing is chosen.
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
        // Refused also without keys.
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

    /// Notes what keys without a node are answered; an error that all keys have
    /// in common is given back.
    pub(super) fn note_missing(&mut self, error: RouteError) -> Result<(), RouteError> {
        if !matches!(error, RouteError::NoNode { .. }) {
            return Err(error);
        }
        self.missing = Some(error);
        Ok(())
    }

    fn route(&self, index: usize) -> Option<BatchRoute> {
        let Chosen { slot, replica } = self.chosen[index]?;
        let (digest, partition) = (self.digests[index], self.partition(index));
        Some(BatchRoute { index, digest, partition, replica: replica.into(), slot })
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

    /// Its keys.
    pub fn keys(&self) -> impl Iterator<Item = BatchRoute> + use<'a> {
        let batch = self.batch;
        self.order.iter().filter_map(|index| batch.route(*index as usize))
    }
}

/// What `choose` chooses for each digest, or the first error.
#[inline(always)]
fn each<'a, S: 'a>(
    digests: &[Digest],
    chosen: &mut Vec<Option<Chosen>>,
    mut choose: impl FnMut(Digest) -> Result<Option<PinnedRoute<'a, S>>, RouteError>,
) -> Result<(), RouteError> {
    chosen.resize(digests.len(), None);
    for (&digest, chosen) in digests.iter().zip(chosen) {
        let found = choose(digest)?;
        *chosen = found.map(|found| Chosen { slot: found.slot(), replica: found.replica() as u8 });
    }
    Ok(())
}
