//! A cluster without a network, and the map for all measurements.

use core::ops::ControlFlow;

use tendmap::map::{Capacity, ClusterMap, Node, NodeId, Slot};
use tendmap::tend::{ClusterSource, TendError, TendReport, Turn};

/// Partitions of each namespace.
pub const PARTITIONS: usize = Capacity::DEFAULT.partitions;

/// The size of the map.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct Shape {
    /// Number of nodes.
    #[arg(long, value_name = "N", default_value_t = 12,
        value_parser = clap::value_parser!(u16).range(2..=4096))]
    nodes: u16,
    /// Number of namespaces, of 4096 partitions each.
    #[arg(long, value_name = "N", default_value_t = 8,
        value_parser = clap::value_parser!(u16).range(1..=256))]
    namespaces: u16,
    /// Replicas of each partition.
    #[arg(long, value_name = "N", default_value_t = 3,
        value_parser = clap::value_parser!(u8).range(1..=255))]
    replicas: u8,
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

    /// A map in which every replica of every partition has a holder.
    pub fn map(self) -> ClusterMap {
        let mut map = ClusterMap::new(self.capacity());
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
                    let slot = Slot::new((partition * 7 + replica + number) % self.nodes());
                    namespace.partitions.set_holder(partition, replica, slot);
                }
            }
        }
        map
    }
}

/// The first node's port. The others use the ports after it.
const FIRST_PORT: u16 = 3000;

/// The number of a node of the map.
pub fn number(node: &Node) -> usize {
    usize::from(node.address.port().saturating_sub(FIRST_PORT))
}

/// The name of a namespace of the map.
pub fn namespace(number: usize) -> String {
    format!("bench{number}")
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

/// A cluster that never changes and answers at once.
pub struct Fixed(pub ClusterMap);

impl ClusterSource for Fixed {
    fn start(&mut self, _: ClusterMap) {}

    fn tend(&mut self, turn: &mut dyn Turn) -> Result<TendReport, TendError> {
        match turn.beat() {
            ControlFlow::Continue(()) => Ok(TendReport::default()),
            ControlFlow::Break(()) => Err(TendError::Interrupted),
        }
    }

    fn map(&self) -> &ClusterMap {
        &self.0
    }

    fn stop(&mut self) {}
}
