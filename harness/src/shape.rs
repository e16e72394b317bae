//! The map for all measurements, its changes, and the order of the lookups.

use core::fmt;

use tendmap::map::{Capacity, ClusterMap, Node, NodeId, Slot};

/// Partitions of each namespace.
pub const PARTITIONS: usize = Capacity::DEFAULT.partitions;

/// The size of the map.
#[derive(clap::Args, Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Number of nodes.
    #[arg(long, value_name = "N", default_value_t = 12,
        value_parser = clap::value_parser!(u16).range(2..=4096))]
    pub nodes: u16,
    /// Number of namespaces, of 4096 partitions each.
    #[arg(long, value_name = "N", default_value_t = 8,
        value_parser = clap::value_parser!(u16).range(1..=256))]
    pub namespaces: u16,
    /// Replicas of each partition.
    #[arg(long, value_name = "N", default_value_t = 3,
        value_parser = clap::value_parser!(u8).range(1..=255))]
    pub replicas: u8,
}

impl Shape {
    /// The default size.
    pub const DEFAULT: Shape = Shape { nodes: 12, namespaces: 8, replicas: 3 };

    /// Nodes.
    pub fn nodes(self) -> usize {
        self.nodes.into()
    }

    /// Namespaces.
    pub fn namespaces(self) -> usize {
        self.namespaces.into()
    }

    /// The capacity of exactly this size.
    pub fn capacity(self) -> Capacity {
        Capacity {
            max_nodes: self.nodes(),
            max_namespaces: self.namespaces(),
            max_replicas: self.replicas.into(),
            ..Capacity::DEFAULT
        }
    }

    /// The number of words of its routing and regime arrays.
    pub fn words(self) -> usize {
        self.namespaces() * PARTITIONS * (usize::from(self.replicas).div_ceil(3) + 1)
    }

    /// The slot of the first holder of a replica.
    pub fn holder(self, namespace: usize, partition: usize, replica: usize) -> usize {
        (partition * 7 + replica + namespace) % self.nodes()
    }

    /// A map in which every replica of every partition has a holder.
    pub fn map(self) -> ClusterMap {
        self.map_in(self.capacity())
    }

    /// The same map with another capacity.
    ///
    /// # Panics
    /// If the map does not fit.
    pub fn map_in(self, capacity: Capacity) -> ClusterMap {
        let mut map = ClusterMap::new(capacity);
        for number in 0..self.nodes {
            let id = NodeId::new(&format!("BB9{number:04}")).expect("a valid id");
            let address = ([127, 0, 0, 1], FIRST_PORT + number).into();
            let node = Node::new(id, address);
            map.nodes.insert(node).expect("as many as there is room for");
        }
        for number in 0..self.namespaces() {
            let name = namespace(number).parse().expect("a valid name");
            let namespace = map.namespace_entry(name).expect("as many as there is room for");
            namespace.replication_factor = self.replicas;
            for partition in 0..PARTITIONS {
                for replica in 0..self.replicas.into() {
                    let slot = Slot::new(self.holder(number, partition, replica));
                    namespace.partitions.set_holder(partition, replica, slot);
                }
            }
        }
        map
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { nodes, namespaces, replicas } = self;
        write!(f, "{nodes} nodes, {namespaces} ns, RF {replicas}")
    }
}

/// The first node's port. The others use the ports after it.
const FIRST_PORT: u16 = 3000;

/// The number of a node of the map.
pub fn number(node: &Node) -> usize {
    usize::from(node.address.port().saturating_sub(FIRST_PORT))
}

/// The name of the first namespace of the map.
pub const NAMESPACE: &str = "test";

/// The name of a namespace of the map.
pub fn namespace(number: usize) -> String {
    if number == 0 { NAMESPACE.into() } else { format!("{NAMESPACE}{number}") }
}

/// The local state of a node: an odd number, so that a chain of lookups that adds
/// them up reaches every partition.
pub fn state(slot: usize) -> u64 {
    1655 + 2 * slot as u64
}

/// Partitions in an order that no prefetcher foresees.
pub fn order() -> Vec<usize> {
    let mut random = fastrand::Rng::with_seed(1);
    (0..PARTITIONS).map(|_| random.usize(..PARTITIONS)).collect()
}

/// Gives a partition's replicas to the nodes after those that hold them.
fn turn(map: &mut ClusterMap, namespace: usize, partition: usize) {
    let nodes = map.nodes.len();
    let namespace = &mut map.namespaces_mut()[namespace];
    for replica in 0..namespace.routable_replicas() {
        let slot = namespace.partitions.holder(partition, replica);
        let next = slot.and_then(|slot| Slot::new((slot.index() + 1) % nodes));
        namespace.partitions.set_holder(partition, replica, next);
    }
}

/// Gives every partition to other nodes.
pub fn turn_all(map: &mut ClusterMap) {
    for namespace in 0..map.namespaces().len() {
        (0..PARTITIONS).for_each(|partition| turn(map, namespace, partition));
    }
}

/// Gives every hundredth partition, anywhere, to other nodes.
pub fn turn_one_percent(map: &mut ClusterMap, random: &mut fastrand::Rng) {
    for namespace in 0..map.namespaces().len() {
        for _ in 0..PARTITIONS.div_ceil(100) {
            turn(map, namespace, random.usize(..PARTITIONS));
        }
    }
}
