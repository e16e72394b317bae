//! The cluster for the lookups of all contenders.

use tendmap::client::Reader;
use tendmap::map::{Capacity, ClusterMap, Slot};
use tendmap::route::{Router, SharedRouter};
pub use tendmap_harness::shape::{NAMESPACE, PARTITIONS, order, state};
use tendmap_harness::shape::{Shape, number};

use crate::place::Owned;

/// The number of nodes.
pub const NODES: usize = SHAPE.nodes as usize;
/// The number of partitions that one publication changes: 1 %.
pub const CHANGED: usize = PARTITIONS / 100;
/// The size of the map.
const SHAPE: Shape = Shape { namespaces: 1, ..Shape::DEFAULT };

/// The slot of a partition's master after `turn` publications of 1 %.
pub fn owner(partition: usize, turn: usize) -> usize {
    let changes = turn / 100 + usize::from(partition / CHANGED < turn % 100);
    SHAPE.holder(0, partition, changes)
}

/// The partitions that publication number `turn` changes.
pub fn changed(turn: usize) -> core::ops::Range<usize> {
    let first = (turn - 1) % 100 * CHANGED;
    first..first + CHANGED
}

/// The whole map before any publication.
pub fn map(capacity: Capacity, replicas: u8) -> ClusterMap {
    let mut map = Shape { replicas, ..SHAPE }.map_in(capacity);
    let namespace = &mut map.namespaces_mut()[0];
    for slot in 0..NODES {
        namespace.set_rack(Slot::new(slot).expect("a slot"), Some(slot as i32 % 3));
    }
    map
}

/// A segment with its publisher.
pub struct Segment {
    owned: Owned,
    map: ClusterMap,
    turn: usize,
}

impl Segment {
    /// A new segment with this map published in it.
    pub fn new(map: ClusterMap) -> Segment {
        let mut owned = Owned::new(map.capacity());
        owned.ownership.publish(&map).expect("the first publication");
        Segment { owned, map, turn: 0 }
    }

    /// Publishes the map with another 1 % of its masters changed.
    pub fn publish(&mut self) {
        self.turn += 1;
        let partitions = &mut self.map.namespaces_mut()[0].partitions;
        for partition in changed(self.turn) {
            partitions.set_holder(partition, 0, Slot::new(owner(partition, self.turn)));
        }
        self.owned.ownership.publish(&self.map).expect("nobody else owns it");
    }

    /// A router over the segment, with [`state`] as local state.
    pub fn router(&self) -> Router<u64> {
        self.reader().router_with(|node| state(number(node)))
    }

    /// The same for all threads.
    pub fn shared_router(&self) -> SharedRouter<u64> {
        self.reader().shared_router(|node| state(number(node)))
    }

    fn reader(&self) -> Reader {
        Reader::attach(&self.owned.place).expect("it was just made")
    }
}
