//! The partitions of a namespace as a grid: one model for the screen of `watch` and
//! for `map --svg`.

pub mod palette;
pub mod svg;

use std::collections::HashMap;

use tendmap::map::{ClusterMap, Namespace, NodeId, Slot};

/// The seats of nodes, which decide their colours and symbols.
///
/// Nodes sit in the order of their ids. A node that joins later sits behind the others,
/// and a node that leaves keeps its seat, so that a picture that changes keeps its
/// colours.
#[derive(Clone, Debug, Default)]
pub struct Roster {
    ids: Vec<NodeId>,
    seats: HashMap<NodeId, usize>,
}

impl Roster {
    /// The roster of one map.
    pub fn of(map: &ClusterMap) -> Roster {
        let mut roster = Roster::default();
        roster.admit(map);
        roster
    }

    /// Gives a seat to every node of a map that has none.
    pub fn admit(&mut self, map: &ClusterMap) {
        let nodes = map.nodes.iter().map(|(_, node)| node.id);
        let mut new: Vec<NodeId> = nodes.filter(|id| !self.seats.contains_key(id)).collect();
        new.sort_unstable();
        for id in new {
            self.seats.insert(id, self.ids.len());
            self.ids.push(id);
        }
    }

    /// The seat of a node.
    pub fn seat(&self, id: &NodeId) -> Option<usize> {
        self.seats.get(id).copied()
    }

    /// The node in a seat.
    pub fn id(&self, seat: usize) -> Option<&NodeId> {
        self.ids.get(seat)
    }

    /// The seats of a map's nodes by slot.
    fn by_slot(&self, map: &ClusterMap) -> Vec<Option<u16>> {
        let mut seats = vec![None; map.nodes.slots()];
        for (slot, node) in map.nodes.iter() {
            seats[slot.index()] = self.seat(&node.id).and_then(|seat| u16::try_from(seat).ok());
        }
        seats
    }
}

/// What happened to a partition within the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Change {
    /// Nothing.
    #[default]
    None,
    /// Another node holds one of its replicas.
    Replica,
    /// Another node became its master some seconds ago.
    Master,
    /// Another node has just become its master.
    NewMaster,
}

/// How many replicas a node holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Partitions of which it is the master.
    pub masters: usize,
    /// Partitions of which it holds another replica.
    pub replicas: usize,
}

/// A namespace's partitions, with the seats of their holders.
#[derive(Clone, Debug)]
pub struct Grid {
    /// The namespace's name.
    pub namespace: String,
    /// The replication factor that the servers report.
    pub replication_factor: u8,
    /// How many of the replicas can be routed to.
    pub replicas: usize,
    /// Whether the namespace has strong consistency.
    pub strong_consistency: bool,
    /// What the nodes hold, by seat.
    pub held: Vec<Held>,
    /// The number of partitions without a master.
    pub holes: usize,
    /// The number of other replicas without a holder.
    pub missing: usize,
    /// What happened to each partition.
    pub changes: Vec<Change>,
    /// The rack of each node, by seat.
    pub racks: Vec<Option<i32>>,
    partitions: usize,
    /// The seats of all replicas of a partition, then those of the next one.
    seats: Vec<Option<u16>>,
}

impl Grid {
    /// The grid of a namespace. Every node of the map has a seat.
    pub fn of(map: &ClusterMap, namespace: &Namespace, roster: &Roster) -> Grid {
        let by_slot = roster.by_slot(map);
        let partitions = namespace.partitions.len();
        // A hole is a hole also if no replica can be routed to.
        let replicas = namespace.routable_replicas().max(1);
        let mut grid = Grid {
            namespace: namespace.name.to_string(),
            replication_factor: namespace.replication_factor,
            replicas,
            strong_consistency: namespace.strong_consistency,
            held: vec![Held::default(); roster.ids.len()],
            holes: 0,
            missing: 0,
            changes: vec![Change::None; partitions],
            racks: vec![None; roster.ids.len()],
            partitions,
            seats: Vec::with_capacity(partitions * replicas),
        };
        for partition in 0..partitions {
            for replica in 0..replicas {
                let holder = namespace.partitions.holder(partition, replica);
                let seat = holder.and_then(|slot: Slot| *by_slot.get(slot.index())?);
                match (seat, replica) {
                    (None, 0) => grid.holes += 1,
                    (None, _) => grid.missing += 1,
                    (Some(seat), 0) => grid.held[usize::from(seat)].masters += 1,
                    (Some(seat), _) => grid.held[usize::from(seat)].replicas += 1,
                }
                grid.seats.push(seat);
            }
        }
        for (slot, node) in map.nodes.iter() {
            if let Some(seat) = roster.seat(&node.id) {
                grid.racks[seat] = namespace.rack(slot);
            }
        }
        grid
    }

    /// The number of partitions.
    pub fn len(&self) -> usize {
        self.partitions
    }

    /// The seats of a partition's holders; the master is the first.
    pub fn holders(&self, partition: usize) -> &[Option<u16>] {
        &self.seats[partition * self.replicas..][..self.replicas]
    }

    /// The seat of a partition's master; `None` = a hole.
    pub fn master(&self, partition: usize) -> Option<usize> {
        self.holders(partition)[0].map(usize::from)
    }

    /// Whether the node in a seat holds a replica of a partition, beside its master.
    pub fn holds_replica(&self, partition: usize, seat: usize) -> bool {
        self.holders(partition)[1..].iter().flatten().any(|&held| usize::from(held) == seat)
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use tendmap::map::{Capacity, NamespaceName, Node};

    /// A map of this many nodes with one namespace of two replicas: partition `p` is
    /// that of node `p % nodes`, its replica that of the next one.
    pub fn map_of(nodes: usize, namespace: &str) -> ClusterMap {
        let mut map = ClusterMap::new(Capacity { max_nodes: 512, ..Capacity::DEFAULT });
        for node in 0..nodes {
            let id = NodeId::new(&format!("BB9{node:012X}")).unwrap();
            let address = format!("10.0.{}.{}:3000", node / 200, node % 200 + 1);
            let mut node = Node::new(id, address.parse().unwrap());
            node.build = Some("8.1.2.0".parse().unwrap());
            map.nodes.insert(node).unwrap();
        }
        let found = map.namespace_entry(NamespaceName::new(namespace).unwrap()).unwrap();
        found.replication_factor = 2;
        for partition in 0..4096 {
            for replica in 0..2 {
                let slot = Slot::new((partition + replica) % nodes);
                found.partitions.set_holder(partition, replica, slot);
            }
        }
        map
    }

    #[test]
    fn a_grid_counts_what_nodes_hold_and_what_nobody_holds() {
        let mut map = map_of(3, "test");
        let partitions = &mut map.namespaces_mut()[0].partitions;
        partitions.set_holder(7, 0, None);
        partitions.set_holder(8, 1, None);
        let grid = Grid::of(&map, &map.namespaces()[0], &Roster::of(&map));
        assert_eq!((grid.len(), grid.holes, grid.missing), (4096, 1, 1));
        assert_eq!(grid.holes, map.namespaces()[0].holes());
        let masters: Vec<usize> = grid.held.iter().map(|held| held.masters).collect();
        assert_eq!(masters, [1366, 1364, 1365]);
        let replicas: usize = grid.held.iter().map(|held| held.replicas).sum();
        assert_eq!(replicas, 4095);
        assert_eq!((grid.master(7), grid.master(8)), (None, Some(2)));
        assert!(grid.holds_replica(7, 2) && !grid.holds_replica(8, 0));
    }

    #[test]
    fn h143_a_node_keeps_its_colour_when_another_leaves_or_joins() {
        let mut map = map_of(3, "test");
        let mut roster = Roster::of(&map);
        let ids: Vec<NodeId> = map.nodes.iter().map(|(_, node)| node.id).collect();
        map.remove_node(Slot::new(0).unwrap());
        let early = NodeId::new("AA0").unwrap();
        map.nodes.insert(Node::new(early, "10.0.0.9:3000".parse().unwrap())).unwrap();
        roster.admit(&map);
        let seats: Vec<_> = ids.iter().map(|id| roster.seat(id)).collect();
        assert_eq!(seats, [Some(0), Some(1), Some(2)]);
        assert_eq!(roster.seat(&early), Some(3));
        // Another process that looks now sees them in the order of their ids.
        assert_eq!(Roster::of(&map).seat(&early), Some(0));
        assert_eq!(Roster::of(&map).id(1), Some(&ids[1]));
    }

    #[test]
    fn a_namespace_without_replicas_is_all_holes() {
        let mut map = map_of(1, "test");
        map.namespaces_mut()[0].replication_factor = 0;
        map.remove_node(Slot::new(0).unwrap());
        let grid = Grid::of(&map, &map.namespaces()[0], &Roster::of(&map));
        assert_eq!((grid.holes, grid.missing, grid.replicas), (4096, 0, 1));
    }
}
