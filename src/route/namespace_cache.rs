//! What a router keeps of a namespace that it has resolved.

use std::sync::Arc;

use super::policy::{Attempt, Policy};
use super::rank::RankedSlot;
use crate::layout::{Mapping, Planes, REPLICAS_PER_WORD, Token};
use crate::map::{RoutingWord, Slot};
use crate::sync::{AtomicU64, Ordering};

/// A namespace as resolved by one router. It remains valid if the namespace
/// disappears and comes back.
///
/// It is the token of the namespace's planes: the router's number, then the
/// namespace's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceHandle(Token);

/// The bits of a handle's number that identify a namespace of one router.
const INDEX_BITS: u32 = 16;

impl NamespaceHandle {
    pub(super) fn new(router: u64, index: usize, partitions: usize) -> NamespaceHandle {
        // No cluster has that many namespaces.
        assert!(index < 1 << INDEX_BITS, "{index} namespaces were asked for");
        // Never zero, however many routers a process creates.
        let router = router % ((1 << (Token::NUMBER_BITS - INDEX_BITS)) - 1) + 1;
        NamespaceHandle(Token::new(router << INDEX_BITS | index as u64, partitions))
    }

    /// The index in the router that made the handle.
    #[inline(always)]
    fn index(self) -> usize {
        (self.0.number() & ((1 << INDEX_BITS) - 1)) as usize
    }

    /// The partition count when the handle was made.
    #[inline(always)]
    pub(super) fn partitions(self) -> usize {
        self.0.partitions()
    }
}

/// The cached routing data of one namespace.
#[derive(Clone, Debug)]
#[repr(align(128))]
pub(super) struct NamespaceCache {
    /// Empty while there is nothing to route to: lookups then take the slow
    /// path, which reports the reason.
    planes: Planes,
    /// The handle of the namespace; `None` if there is none yet.
    handle: Option<NamespaceHandle>,
    /// The number of words of a plane.
    partitions: usize,
    /// The number of routable replicas, at least 1 if there are planes.
    replicas: usize,
    /// `2^64 / replicas`, rounded up. With it, a start modulo `replicas` costs
    /// two multiplications (Lemire, Kaser, Kurz: Faster remainder by direct
    /// computation, 2019).
    reciprocal: u64,
    /// By slot. Slots beyond the end are empty.
    ranks: Box<[RankedSlot]>,
}

impl NamespaceCache {
    /// An empty cache: every lookup takes the slow path.
    pub fn none(handle: Option<NamespaceHandle>) -> NamespaceCache {
        let (planes, ranks) = (Planes::none(), Box::default());
        NamespaceCache { planes, handle, partitions: 0, replicas: 0, reciprocal: 0, ranks }
    }

    /// The cache of the namespace of that index, with that many routable
    /// replicas.
    pub fn new(
        handle: NamespaceHandle,
        mapping: &Arc<Mapping>,
        namespace: usize,
        replicas: usize,
        ranks: Box<[RankedSlot]>,
    ) -> NamespaceCache {
        if replicas == 0 {
            return NamespaceCache::none(Some(handle));
        }
        let partitions = mapping.geometry().capacity().partitions;
        // The handle's own token if the partition count is unchanged; otherwise
        // the fast path does not match.
        let token = Token::new(handle.0.number(), partitions);
        let planes = Planes::new(mapping, namespace, token);
        let reciprocal = (u64::MAX / replicas as u64).wrapping_add(1);
        NamespaceCache { planes, handle: Some(handle), partitions, replicas, reciprocal, ranks }
    }

    /// Switches to the live frame.
    fn turn_to(&mut self, frame: usize) {
        self.planes.turn_to(frame);
    }

    /// The number of routable replicas of a partition.
    #[inline(always)]
    pub fn replicas(&self) -> usize {
        self.replicas
    }

    /// The index of the node's rack among the preferred ones; `None` if it is
    /// in none of them.
    pub fn rank(&self, slot: Slot) -> Option<usize> {
        self.ranks.get(slot.index())?.rank()
    }

    /// The words of the first three replicas, one per partition.
    #[inline(always)]
    pub fn plane(&self) -> &[AtomicU64] {
        self.planes.words().get(..self.partitions).unwrap_or_default()
    }

    /// The routing word of the first three replicas.
    #[inline(always)]
    fn first(&self, handle: NamespaceHandle, partition: usize) -> Option<RoutingWord> {
        self.planes.first(handle.0, partition).map(load)
    }

    /// The slot of any replica as stored in its word.
    #[inline]
    pub fn raw(&self, replica: usize, partition: usize) -> Option<usize> {
        let plane = replica / REPLICAS_PER_WORD;
        let word = self.planes.words().get(plane * self.partitions + partition)?;
        Some(load(word).raw(replica % REPLICAS_PER_WORD))
    }

    /// The replica that a try goes to if its node is present, and the slot as
    /// stored in the word. If the node is not present, or the fast path can't
    /// decide, the slow path does.
    #[inline(always)]
    pub fn likely(
        &self,
        handle: NamespaceHandle,
        partition: usize,
        attempt: &Attempt,
    ) -> Option<(usize, usize)> {
        let word = self.first(handle, partition)?;
        match attempt.policy() {
            Policy::Master => Some((0, word.raw(0))),
            Policy::PreferRack => self.nearest(word, attempt),
            Policy::Sequence | Policy::Any | Policy::Random => {
                let replica = self.start(attempt);
                if replica < REPLICAS_PER_WORD {
                    return Some((replica, word.raw(replica)));
                }
                Some((replica, self.raw(replica, partition)?))
            }
        }
    }

    /// The start of an attempt, modulo the number of replicas.
    #[inline(always)]
    fn start(&self, attempt: &Attempt) -> usize {
        if attempt.raw_start() == 0 {
            return 0;
        }
        let fraction = self.reciprocal.wrapping_mul(u64::from(attempt.raw_start()));
        ((u128::from(fraction) * self.replicas as u128) >> 64) as usize
    }

    #[inline(always)]
    fn ranked(&self, word: RoutingWord, replica: usize) -> Option<u32> {
        let ranked = self.ranks.get(word.raw(replica))?;
        Some(ranked.of_replica(replica))
    }

    /// The replica of the best rank, among up to three of which none has
    /// failed. It has no branches on the content of the words, which differs
    /// from partition to partition.
    #[inline(always)]
    fn nearest(&self, word: RoutingWord, attempt: &Attempt) -> Option<(usize, usize)> {
        if attempt.raw_start() != 0 || attempt.failed_node().is_some() {
            return None;
        }
        let best = match self.replicas {
            1 => self.ranked(word, 0)?,
            2 => self.ranked(word, 0)?.min(self.ranked(word, 1)?),
            3 => self.ranked(word, 0)?.min(self.ranked(word, 1)?).min(self.ranked(word, 2)?),
            _ => return None,
        };
        Some(((best >> 16 & 3) as usize, (best & 0xffff) as usize))
    }
}

/// The caches of a router. The first ones are stored inline: a lookup finds
/// them without loading a pointer and a length.
#[derive(Clone, Debug)]
pub(super) struct NamespaceCaches {
    near: [NamespaceCache; NamespaceCaches::NEAR],
    far: Vec<NamespaceCache>,
    len: usize,
    router: u64,
}

impl NamespaceCaches {
    /// A power of two. (An Aerospike cluster has at most 32 namespaces.)
    const NEAR: usize = 32;

    /// No caches yet, for the router of that number.
    pub fn new(router: u64) -> NamespaceCaches {
        let near = core::array::from_fn(|_| NamespaceCache::none(None));
        NamespaceCaches { near, far: Vec::new(), len: 0, router }
    }

    /// Adds an empty cache for a namespace with that many partitions.
    pub fn add(&mut self, partitions: usize) -> NamespaceHandle {
        let handle = NamespaceHandle::new(self.router, self.len, partitions);
        let cache = NamespaceCache::none(Some(handle));
        match self.near.get_mut(self.len) {
            Some(place) => *place = cache,
            None => self.far.push(cache),
        }
        self.len += 1;
        handle
    }

    /// The cache of a handle if it is one of the first; otherwise another
    /// cache, which does not accept the handle's token.
    #[inline(always)]
    pub fn near(&self, handle: NamespaceHandle) -> &NamespaceCache {
        &self.near[handle.index() % NamespaceCaches::NEAR]
    }

    /// The cache of a handle that is not one of the first.
    pub fn far(&self, handle: NamespaceHandle) -> Option<&NamespaceCache> {
        self.get(handle).filter(|_| handle.index() >= NamespaceCaches::NEAR)
    }

    /// The cache of a handle; `None` if another router made it.
    #[inline]
    pub fn get(&self, handle: NamespaceHandle) -> Option<&NamespaceCache> {
        let index = handle.index();
        let cache = match self.near.get(index) {
            Some(cache) => cache,
            None => self.far.get(index - NamespaceCaches::NEAR)?,
        };
        if cache.handle == Some(handle) { Some(cache) } else { None }
    }

    /// The index of a handle's cache.
    pub fn index(&self, handle: NamespaceHandle) -> Option<usize> {
        self.get(handle).map(|_| handle.index())
    }

    /// Switches all caches to the live frame.
    pub fn turn_to(&mut self, frame: usize) {
        self.iter_mut().for_each(|(_, cache)| cache.turn_to(frame));
    }

    /// Empties all caches.
    pub fn clear(&mut self) {
        self.iter_mut().for_each(|(handle, cache)| *cache = NamespaceCache::none(Some(handle)));
    }

    /// All caches, with the handles under which they were added.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (NamespaceHandle, &mut NamespaceCache)> {
        let all = self.near.iter_mut().chain(&mut self.far);
        all.map_while(|cache| Some((cache.handle?, cache)))
    }
}

#[inline(always)]
fn load(word: &AtomicU64) -> RoutingWord {
    // Relaxed: between the two fences of the head check.
    RoutingWord::from_word(word.load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_start_is_the_remainder(start: u32, replicas in 1usize..=255) {
            let reciprocal = (u64::MAX / replicas as u64).wrapping_add(1);
            let cache = NamespaceCache { replicas, reciprocal, ..NamespaceCache::none(None) };
            let attempt = Attempt::new(Policy::Any, start);
            prop_assert_eq!(cache.start(&attempt), start as usize % replicas);
        }

        #[test]
        fn a_handle_leads_to_its_own_routers_cache_alone(
            router in 0u64..1 << 31, other in 0u64..1 << 31, count in 1usize..40,
        ) {
            let (mut caches, mut others) = (NamespaceCaches::new(router), NamespaceCaches::new(other));
            for index in 0..count {
                let handle = caches.add(4096);
                prop_assert_eq!(caches.index(handle), Some(index));
                prop_assert_eq!(others.index(handle), None, "it has no caches yet");
            }
            for index in 0..count {
                let handle = others.add(4096);
                let same = (router % 0x7fff_ffff) == (other % 0x7fff_ffff);
                let found = if same { Some(index) } else { None };
                prop_assert_eq!(caches.index(handle), found);
            }
            prop_assert_eq!(caches.iter_mut().count(), count);
        }
    }
}
