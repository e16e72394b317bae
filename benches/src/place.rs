//! A temporary segment.

use std::sync::atomic::{AtomicU32, Ordering};

use tendmap::internals::segment::Ownership;
use tendmap::map::Capacity;
use tendmap::segment::Place;
use tendmap_harness::fixed::own;

/// A segment that this process owns. Dropping it removes the segment.
pub struct Owned {
    /// The ownership of the segment.
    pub ownership: Box<Ownership>,
    /// The place of the segment.
    pub place: Place,
}

impl Owned {
    /// A new segment with this capacity, under an unused key.
    pub fn new(capacity: Capacity) -> Owned {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed) & 0xff;
        let key = 0xBE00_0000 | (std::process::id() & 0xffff) << 8 | number;
        let place = Place::of_key(key);
        let ownership = own(&place, capacity).expect("a segment of its own");
        Owned { ownership, place }
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        let _ = tendmap::segment::remove(&self.place, true);
    }
}
