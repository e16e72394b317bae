//! The part of a map that fits in a segment which the map has outgrown.

use crate::map::{ClusterMap, Slot, snapshot};
use crate::segment::Segment;

/// The part of a map for which a segment has room.
///
/// Nodes that are already in it keep their slots, and new ones get the free
/// slots: the whole map may use slots that are too high although nodes have
/// left. A node without a slot is in no partition either; what it holds has no
/// holder. Everything else is as in the whole map.
#[derive(Debug)]
pub(super) struct Fit {
    map: ClusterMap,
}

impl Fit {
    /// Continues from the last published map.
    pub fn new(segment: &Segment) -> Fit {
        let empty = || ClusterMap::new(segment.geometry().capacity());
        let map = snapshot(segment.mapping()).map_or_else(|_| empty(), |last| last.map);
        Fit { map }
    }

    /// The map to publish.
    pub fn map(&self) -> &ClusterMap {
        &self.map
    }

    /// Takes as much of the map as there is room for. Returns the number of
    /// nodes and namespaces that do not fit, plus the namespaces with more
    /// replicas than fit.
    pub fn take(&mut self, whole: &ClusterMap) -> usize {
        let mut refused = 0;
        self.map.cluster_name = whole.cluster_name;
        let here: Vec<_> = self.map.nodes.iter().map(|(slot, node)| (slot, node.id)).collect();
        for (slot, id) in here {
            let there = whole.nodes.slot_of(&id).and_then(|slot| whole.nodes.get(slot));
            match there {
                None => drop(self.map.remove_node(slot)),
                Some(node) if self.map.nodes.get(slot) != Some(node) => {
                    self.map.nodes.relocate(slot, node.address, node.tls_name);
                    self.map.nodes.set_build(slot, node.build);
                }
                Some(_) => {}
            }
        }
        let mut slots: Vec<Option<Slot>> = vec![None; whole.nodes.slots()];
        for (slot, node) in whole.nodes.iter() {
            let here = self.map.nodes.slot_of(&node.id);
            let here = here.or_else(|| self.map.nodes.insert(*node).ok());
            refused += usize::from(here.is_none());
            slots[slot.index()] = here;
        }
        refused + self.take_namespaces(whole, &slots)
    }

    fn take_namespaces(&mut self, whole: &ClusterMap, slots: &[Option<Slot>]) -> usize {
        let mut refused = 0;
        let here: Vec<_> = self.map.namespaces().iter().map(|namespace| namespace.name).collect();
        for name in here {
            if whole.namespace(&name).is_none() {
                self.map.remove_namespace(&name);
            }
        }
        for from in whole.namespaces() {
            let Ok(to) = self.map.namespace_entry(from.name) else {
                refused += 1;
                continue;
            };
            to.replication_factor = from.replication_factor;
            to.strong_consistency = from.strong_consistency;
            refused += usize::from(to.routable_replicas() < from.held_replicas());
            for (slot, here) in (0..).map_while(Slot::new).zip(slots) {
                if let Some(here) = here {
                    to.set_rack(*here, from.rack(slot));
                }
            }
            for partition in 0..to.partitions.len().min(from.partitions.len()) {
                for replica in 0..to.partitions.max_replicas() {
                    let owner = from.partitions.holder(partition, replica);
                    let here = owner.and_then(|slot| slots.get(slot.index()).copied().flatten());
                    to.partitions.set_holder(partition, replica, here);
                }
                to.partitions.set_regime(partition, from.partitions.regime(partition));
            }
        }
        refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::{Build, Capacity, NamespaceName, Node, NodeId};

    const ROOM: Capacity =
        Capacity { max_nodes: 2, max_namespaces: 1, max_replicas: 2, partitions: 8 };

    fn node(name: &str) -> Node {
        let address = "127.0.0.1:3000".parse().unwrap();
        Node::new(NodeId::new(name).unwrap(), address)
    }

    fn fit() -> Fit {
        Fit { map: ClusterMap::new(ROOM) }
    }

    /// Partition p is held by the nodes p, p + 1 … of those in the map.
    fn whole(names: &[&str], replicas: u8) -> ClusterMap {
        let mut map = ClusterMap::new(Capacity { partitions: 8, ..Capacity::DEFAULT });
        let slots: Vec<Slot> =
            names.iter().map(|name| map.nodes.insert(node(name)).unwrap()).collect();
        let namespace = map.namespace_entry(NamespaceName::new("test").unwrap()).unwrap();
        namespace.replication_factor = replicas;
        for partition in 0..8 {
            for replica in 0..usize::from(replicas) {
                let slot = slots[(partition + replica) % slots.len()];
                namespace.partitions.set_holder(partition, replica, Some(slot));
            }
        }
        map
    }

    fn masters(map: &ClusterMap) -> Vec<String> {
        let id = |slot| map.nodes.get(slot).unwrap().id.to_string();
        let partitions = &map.namespaces()[0].partitions;
        (0..8).map(|p| partitions.holder(p, 0).map_or("-".into(), id)).collect()
    }

    #[test]
    fn h68_what_fits_is_as_in_the_whole_map_and_the_rest_is_nobodys() {
        let mut fit = fit();
        assert_eq!(fit.take(&whole(&["A", "B"], 2)), 0);
        assert_eq!(masters(fit.map()), ["A", "B", "A", "B", "A", "B", "A", "B"]);
        assert_eq!(fit.take(&whole(&["C", "A", "B"], 2)), 1, "C finds no place");
        assert_eq!(masters(fit.map()), ["-", "A", "B", "-", "A", "B", "-", "A"]);
        assert_eq!(fit.map().namespaces()[0].partitions.holder(0, 1), Slot::new(0));
    }

    #[test]
    fn h68_a_place_that_becomes_free_is_used_though_its_slot_is_another() {
        let mut fit = fit();
        let mut map = whole(&["A", "B", "C"], 1);
        assert_eq!(fit.take(&map), 1);
        map.remove_node(Slot::new(1).unwrap());
        assert_eq!(fit.take(&map), 0, "C has the slot that was B's");
        assert_eq!(masters(fit.map()), ["A", "-", "C", "A", "-", "C", "A", "-"]);
        let slot = fit.map().nodes.slot_of(&NodeId::new("C").unwrap()).unwrap();
        assert_eq!((slot.index(), fit.map().nodes.incarnation(slot)), (1, 2));
    }

    #[test]
    fn h68_namespaces_and_replicas_without_room_are_counted() {
        let mut fit = fit();
        let mut map = whole(&["A", "B"], 2);
        map.namespace_entry(NamespaceName::new("bar").unwrap()).unwrap();
        let namespace = &mut map.namespaces_mut()[0];
        namespace.replication_factor = 3;
        namespace.partitions.set_holder(0, 2, Slot::new(0));
        assert_eq!(fit.take(&map), 2, "bar, and a third replica of test");
        assert_eq!(fit.map().namespaces().len(), 1);
        map.remove_namespace(&NamespaceName::new("test").unwrap());
        assert_eq!(fit.take(&map), 0);
        assert_eq!(fit.map().namespaces()[0].name.as_str(), "bar");
    }

    #[test]
    fn h68_a_node_that_moves_is_moved() {
        let mut fit = fit();
        let mut map = whole(&["A", "B", "C"], 1);
        fit.take(&map);
        let address = "127.0.0.1:4000".parse().unwrap();
        map.nodes.relocate(Slot::new(0).unwrap(), address, None);
        map.nodes.set_build(Slot::new(1).unwrap(), Build::parse(b"8.1.2.0"));
        fit.take(&map);
        for slot in [0, 1].map(|index| Slot::new(index).unwrap()) {
            assert_eq!(fit.map().nodes.get(slot), map.nodes.get(slot));
        }
    }
}
