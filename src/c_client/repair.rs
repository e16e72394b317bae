//! Locks in a segment that dead processes have left.
//!
//! A client holds one for microseconds. A mirror takes none and waits for none: what it
//! stores is one word each. A lock that stays held makes every client spin.

use super::header;
use super::layout::Shape;
use super::mend::{free_take_over_lock, repair};
use super::store::Store;
use super::words::u32_at;
use crate::layout::ForeignSegment;

/// How long a lock may be held by a client that lives.
const PATIENCE_MS: u64 = 1_000;

/// The stores that free what is held in a copy of the segment.
fn held(shape: Shape, image: &[u8]) -> Vec<Store> {
    let mut stores = repair(shape, image);
    if u32_at(image, header::TAKE_OVER_LOCK) != 0 {
        stores.push(free_take_over_lock());
    }
    stores
}

/// Frees all locks, in a segment whose owner is gone; returns how many were held.
pub fn free_all(segment: &ForeignSegment, shape: Shape, image: &[u8]) -> usize {
    let stores = held(shape, image);
    stores.iter().for_each(|store| store.apply(segment));
    stores.len()
}

/// Which locks are held, and since when.
#[derive(Debug, Default)]
pub struct Repair {
    /// By offset.
    since: Vec<(usize, u64)>,
}

impl Repair {
    /// Frees locks that have been held in every pass for a second; returns how many.
    pub fn pass(
        &mut self,
        segment: &ForeignSegment,
        shape: Shape,
        image: &[u8],
        now: u64,
    ) -> usize {
        let stores = held(shape, image);
        self.since.retain(|&(lock, _)| stores.iter().any(|store| store.offset == lock));
        let mut freed = 0;
        for store in stores {
            match self.since.iter().position(|&(lock, _)| lock == store.offset) {
                None => self.since.push((store.offset, now)),
                Some(index) if now.saturating_sub(self.since[index].1) >= PATIENCE_MS => {
                    store.apply(segment);
                    self.since.swap_remove(index);
                    freed += 1;
                }
                Some(_) => {}
            }
        }
        freed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::c_client::internals::{Capacity, Layout};
    use crate::layout::{shm_create, shm_remove};

    const SHAPE: Shape = Shape::new(Layout::F, Capacity::DEFAULT);

    fn segment() -> ForeignSegment {
        let id = shm_create(0, SHAPE.bytes(), 0o600).unwrap();
        let segment = ForeignSegment::attach(id, true).unwrap();
        shm_remove(id).unwrap();
        segment
    }

    fn copy(segment: &ForeignSegment) -> Vec<u8> {
        let mut copy = Vec::new();
        segment.copy(usize::MAX, &mut copy);
        copy
    }

    #[test]
    fn a_lock_is_freed_once_it_has_been_held_for_a_second() {
        let (segment, mut repair) = (segment(), Repair::default());
        let lock = SHAPE.slot_lock(3);
        segment.store_u32(lock, 1 << 31 | 2);
        segment.store_u32(header::TAKE_OVER_LOCK, 1);
        for (now, freed) in [(0, 0), (999, 0), (1_000, 2), (2_000, 0)] {
            assert_eq!(repair.pass(&segment, SHAPE, &copy(&segment), now), freed, "at {now}");
        }
        assert_eq!(segment.load_u32(lock), 2, "readers stay counted");
        assert_eq!(segment.load_u32(header::TAKE_OVER_LOCK), 0);
    }

    #[test]
    fn a_lock_that_was_free_in_between_is_another_one() {
        let (segment, mut repair) = (segment(), Repair::default());
        for (now, word) in [(0, 1 << 30), (900, 0), (1_000, 1 << 30), (1_900, 1 << 30)] {
            segment.store_u32(SHAPE.slot_lock(0), word);
            assert_eq!(repair.pass(&segment, SHAPE, &copy(&segment), now), 0, "at {now}");
        }
        assert_eq!(repair.pass(&segment, SHAPE, &copy(&segment), 2_000), 1);
    }

    #[test]
    fn a_takeover_frees_all_locks_and_keeps_readers() {
        let segment = segment();
        segment.store_u32(SHAPE.slot_lock(0), 3 << 30 | 1);
        segment.store_u32(SHAPE.slot_lock(15), 1 << 31);
        assert_eq!(free_all(&segment, SHAPE, &copy(&segment)), 2);
        assert_eq!(segment.load_u32(SHAPE.slot_lock(0)), 1);
        assert_eq!(free_all(&segment, SHAPE, &copy(&segment)), 0);
    }
}
