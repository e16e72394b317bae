//! What a lookup reads: the head, and the routing words of one namespace.
//!
//! Both point directly to their words and keep the segment mapped: a lookup
//! follows no chain of owners.

use core::num::NonZeroU64;
use core::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::mapping::Mapping;

/// The head word of a segment.
#[derive(Clone, Debug)]
pub struct HeadRef {
    word: NonNull<AtomicU64>,
    _mapping: Arc<Mapping>,
}

// SAFETY: it is a shared reference to an atomic, which the mapping, itself
// `Send` and `Sync`, keeps alive.
unsafe impl Send for HeadRef {}
// SAFETY: as above.
unsafe impl Sync for HeadRef {}

impl HeadRef {
    /// The head of that mapping.
    pub fn new(mapping: &Arc<Mapping>) -> HeadRef {
        HeadRef { word: mapping.head().into(), _mapping: mapping.clone() }
    }
}

impl core::ops::Deref for HeadRef {
    type Target = AtomicU64;
    #[inline(always)]
    fn deref(&self) -> &AtomicU64 {
        // SAFETY: the word lies in the mapping, which never moves and lives as
        // long as `self`; all access to it is atomic.
        unsafe { self.word.as_ref() }
    }
}

/// The routing planes of one namespace, in one frame at a time.
#[derive(Clone, Debug)]
pub struct Planes {
    /// Readers must present this number. Its lowest bits hold the partition
    /// count, so a match also proves the index bound of the first plane without
    /// another load.
    token: u64,
    /// The first word of the first plane in the live frame; the other planes
    /// follow it.
    live: NonNull<AtomicU64>,
    /// The same for each frame.
    frames: [NonNull<AtomicU64>; 2],
    /// The number of words of all planes together.
    words: usize,
    _mapping: Option<Arc<Mapping>>,
}

// SAFETY: it is a set of shared references to atomics, which the mapping,
// itself `Send` and `Sync`, keeps alive.
unsafe impl Send for Planes {}
// SAFETY: as above.
unsafe impl Sync for Planes {}

/// The bits of a token that hold the number of partitions, up to 65,536.
const PARTITIONS_BITS: u32 = 17;

/// The number that readers of [`Planes`] must present: a nonzero number
/// combined with the partition count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token(NonZeroU64);

impl Token {
    /// The number of bits of a token's number.
    pub const NUMBER_BITS: u32 = u64::BITS - PARTITIONS_BITS;

    /// The token of that number for that many partitions.
    ///
    /// # Panics
    /// If the number is 0 or has more than [`NUMBER_BITS`](Self::NUMBER_BITS), or there are more
    /// than 65,536 partitions.
    pub fn new(number: u64, partitions: usize) -> Token {
        assert!(number >> Token::NUMBER_BITS == 0, "number {number} is too large");
        assert!(partitions <= 1 << 16, "{partitions} partitions");
        let bits = number << PARTITIONS_BITS | partitions as u64;
        assert!(number != 0, "a token's number must not be zero");
        Token(NonZeroU64::new(bits).expect("a number that is not zero"))
    }

    /// The number, without the partition count.
    #[inline(always)]
    pub const fn number(self) -> u64 {
        self.0.get() >> PARTITIONS_BITS
    }

    /// The partition count.
    #[inline(always)]
    pub const fn partitions(self) -> usize {
        (self.0.get() & ((1 << PARTITIONS_BITS) - 1)) as usize
    }
}

impl Planes {
    /// The planes of the namespace with that index; frame 0 is live.
    ///
    /// # Panics
    /// If the segment has no room for such a namespace, or its partition count is not the
    /// token's.
    pub fn new(mapping: &Arc<Mapping>, namespace: usize, token: Token) -> Planes {
        let geometry = mapping.geometry();
        let capacity = geometry.capacity();
        assert!(namespace < capacity.max_namespaces, "namespace {namespace} of {capacity:?}");
        assert_eq!(capacity.partitions, token.partitions());
        let words = geometry.planes() * capacity.partitions;
        assert!(words >= capacity.partitions, "there is no plane in {capacity:?}");
        let frames = [0, 1].map(|frame| {
            let start = geometry.routing(namespace, 0);
            // One slice for all planes: their bounds are checked here.
            NonNull::from(&mapping.frame(frame)[start..start + words]).cast()
        });
        let (token, live) = (token.0.get(), frames[0]);
        Planes { token, live, frames, words, _mapping: Some(mapping.clone()) }
    }

    /// Empty planes: no token gives access to a partition.
    pub fn none() -> Planes {
        let live = NonNull::dangling();
        Planes { token: 0, live, frames: [live; 2], words: 0, _mapping: None }
    }

    /// Switches to the planes of that frame; only the lowest bit of the number
    /// is used.
    #[inline]
    pub fn turn_to(&mut self, frame: usize) {
        self.live = self.frames[frame & 1];
    }

    /// The word of a partition in the first plane; `None` if there is no such
    /// partition, or the token does not match.
    #[inline(always)]
    pub fn first(&self, token: Token, partition: usize) -> Option<&AtomicU64> {
        if self.token != token.0.get() || partition >= token.partitions() {
            return None;
        }
        // SAFETY: the token is the one of `new`, where the partition count was
        // compared with the geometry's and a slice of at least that many words
        // was taken in each frame. The mapping never moves and lives as long as
        // `self`; all access to it is atomic.
        Some(unsafe { self.live.add(partition).as_ref() })
    }

    /// The words of all planes, one plane after the other; empty if there are
    /// none.
    #[inline(always)]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: as in `first`: `new` took a slice of exactly this many words.
        // Without planes the slice is empty.
        unsafe { core::slice::from_raw_parts(self.live.as_ptr(), self.words) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{Capacity, Geometry, WriteMapping};
    use crate::sync::Ordering;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn planes_are_where_the_geometry_says(
            max_namespaces in 1usize..5, max_replicas in 1usize..8, log in 0u32..6, number in 1u64..1 << 46,
        ) {
            let partitions = 1 << log;
            let capacity = Capacity { max_nodes: 2, max_namespaces, max_replicas, partitions };
            let mapping = WriteMapping::private(Geometry::new(capacity).unwrap()).unwrap();
            let geometry = *mapping.geometry();
            for (number, word) in (0..).zip(mapping.words()) {
                word.store(number, Ordering::Relaxed);
            }
            let token = Token::new(number, partitions);
            prop_assert_eq!((token.number(), token.partitions()), (number, partitions));
            for (namespace, frame) in (0..max_namespaces).flat_map(|n| [(n, 0), (n, 1)]) {
                let mut planes = Planes::new(mapping.mapping(), namespace, token);
                planes.turn_to(frame);
                prop_assert_eq!(planes.words().len(), geometry.planes() * partitions);
                for (at, word) in planes.words().iter().enumerate() {
                    let (plane, partition) = (at / partitions, at % partitions);
                    let index = geometry.routing(namespace, plane) + partition;
                    let wanted = (geometry.frame_start(frame) + index) as u64;
                    prop_assert_eq!(word.load(Ordering::Relaxed), wanted);
                    if plane == 0 {
                        let first = planes.first(token, partition).unwrap();
                        prop_assert_eq!(first.load(Ordering::Relaxed), wanted);
                    }
                }
                prop_assert!(planes.first(token, partitions).is_none());
                prop_assert!(planes.first(token, usize::MAX).is_none());
                let others = [Token::new(number ^ 2 | 1 << 46, partitions), Token::new(number, 2 * partitions)];
                prop_assert!(others.iter().all(|&other| other == token || planes.first(other, 0).is_none()));
            }
        }
    }

    #[test]
    fn planes_outlive_what_they_were_made_of() {
        let mapping = WriteMapping::private(Geometry::new(Capacity::DEFAULT).unwrap()).unwrap();
        let token = Token::new(1, 4096);
        let (head, planes) =
            (HeadRef::new(mapping.mapping()), Planes::new(mapping.mapping(), 7, token));
        mapping.head().store(5, Ordering::Relaxed);
        drop(mapping);
        assert_eq!(head.load(Ordering::Relaxed), 5);
        assert_eq!(planes.first(token, 4095).unwrap().load(Ordering::Relaxed), 0);
        assert!(Planes::none().first(token, 0).is_none());
        assert!(Planes::none().words().is_empty());
    }
}
