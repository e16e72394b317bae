//! Maps of given sizes.

use std::fmt;

use tendmap::map::{Capacity, ClusterMap, Node, NodeId, Slot};

/// The size of a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The number of nodes.
    pub nodes: usize,
    /// The number of namespaces, of 4096 partitions each.
    pub namespaces: usize,
    /// The number of replicas of each partition.
    pub replicas: usize,
}

impl Shape {
    /// 12 nodes, 8 namespaces, 3 replicas.
    pub const DEFAULT: Shape = Shape { nodes: 12, namespaces: 8, replicas: 3 };

    /// The capacity of exactly this size.
    pub fn capacity(self) -> Capacity {
        Capacity {
            max_nodes: self.nodes.max(16),
            max_namespaces: self.namespaces,
            max_replicas: self.replicas,
            ..Capacity::DEFAULT
        }
    }

    /// The number of words of its routing and regime arrays.
    pub fn words(self) -> usize {
        self.namespaces * 4096 * (self.replicas.div_ceil(3) + 1)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { nodes, namespaces, replicas } = self;
        write!(f, "{nodes} nodes, {namespaces} ns, RF {replicas}")
    }
}

/// A map of this size in which every replica has a holder.
pub fn map(shape: Shape) -> ClusterMap {
    let mut map = ClusterMap::new(shape.capacity());
    let slots: Vec<Slot> = (0..shape.nodes)
        .map(|number| {
            let id = NodeId::new(&format!("BB9{number:04}")).expect("a valid id");
            let address = ([127, 0, 0, 1], 3000 + number as u16).into();
            map.nodes.insert(Node::new(id, address)).expect("there is room")
        })
        .collect();
    for number in 0..shape.namespaces {
        let name = if number == 0 { "test".into() } else { format!("test{number}") };
        let namespace = map.namespace_entry(name.parse().expect("valid")).expect("there is room");
        namespace.replication_factor = shape.replicas as u8;
        for partition in 0..4096 {
            for replica in 0..shape.replicas {
                let slot = slots[(partition * 7 + replica + number) % slots.len()];
                namespace.partitions.set_holder(partition, replica, Some(slot));
            }
        }
    }
    map
}
