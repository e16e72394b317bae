//! The cluster for the lookups of all contenders.

use tendmap::client::Reader;
use tendmap::map::{Capacity, ClusterMap, Node, NodeId, Slot};
use tendmap::route::Router;

use crate::place::Owned;

/// The number of partitions of the namespace.
pub const PARTITIONS: usize = 4096;
/// The number of nodes.
pub const NODES: usize = 12;
/// The number of partitions that one publication changes: 1 %.
pub const CHANGED: usize = PARTITIONS / 100;
/// The namespace.
pub const NAMESPACE: &str = "test";

/// The local state of a node: an odd number, so that a chain of lookups that adds
/// them up reaches every partition.
pub fn state(slot: usize) -> u64 {
    1655 + 2 * slot as u64
}

/// The slot of a partition's master after `turn` publications of 1 %.
pub fn owner(partition: usize, turn: usize) -> usize {
    let changes = turn / 100 + usize::from(partition / CHANGED < turn % 100);
    (partition * 7 + changes) % NODES
}

/// The partitions that publication number `turn` changes.
pub fn changed(turn: usize) -> core::ops::Range<usize> {
    let first = (turn - 1) % 100 * CHANGED;
    first..first + CHANGED
}

/// The whole map before any publication.
pub fn map(capacity: Capacity, replicas: u8) -> ClusterMap {
    let mut map = ClusterMap::new(capacity);
    for number in 0..NODES {
        let id = NodeId::new(&format!("BB9{number:04}")).expect("a valid id");
        let address = ([127, 0, 0, 1], 3000 + number as u16).into();
        map.nodes.insert(Node::new(id, address)).expect("there is room");
    }
    let namespace = map.namespace_entry(NAMESPACE.parse().expect("valid")).expect("room");
    namespace.replication_factor = replicas;
    for slot in 0..NODES {
        namespace.set_rack(Slot::new(slot).expect("a slot"), Some(slot as i32 % 3));
    }
    for partition in 0..PARTITIONS {
        for replica in 0..replicas.into() {
            let slot = Slot::new((owner(partition, 0) + replica) % NODES);
            namespace.partitions.set_holder(partition, replica, slot);
        }
    }
    map
}

/// The partitions in an order that no prefetcher predicts.
pub fn order() -> Vec<usize> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state as usize >> 8 & (PARTITIONS - 1)
    };
    (0..PARTITIONS).map(|_| next()).collect()
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
        let reader = Reader::attach(&self.owned.place).expect("it was just made");
        let mut slot = 0;
        reader.router_with(move |_| {
            slot += 1;
            state(slot - 1)
        })
    }
}
