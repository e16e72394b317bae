//! How a segment differs from tendmap's own map.

use super::finding::Difference;
use super::picture::{NodeSlot, Picture, Table};
use crate::map::{ClusterMap, Namespace, NodeId};

/// The most replicas that C clients know.
const MOST_REPLICAS: usize = 3;

/// All differences; `None` if the two have no node in common, and so are not of the same
/// cluster.
pub fn differences(picture: &Picture, map: &ClusterMap) -> Option<Vec<Difference>> {
    let nodes: Vec<_> = map.nodes.iter().map(|(_, node)| node).collect();
    let active = || picture.nodes.iter().filter(|slot| slot.active);
    let known = |slot: &NodeSlot| nodes.iter().any(|node| node.id.as_str() == slot.name);
    if !active().any(known) {
        return None;
    }
    let mut found = Vec::new();
    let full = picture.active() >= picture.header.nodes_capacity as usize;
    for node in &nodes {
        let id = node.id.as_str().to_owned();
        let slots = || active().filter(|slot| slot.name == id);
        if slots().any(|slot| slot.address == Some(node.address)) {
            continue;
        }
        found.push(match slots().next() {
            Some(slot) => {
                Difference::Address { node: id, found: slot.address, wanted: node.address }
            }
            None => Difference::NodeMissing { node: id, address: node.address, full },
        });
    }
    let extra = active().filter(|slot| !known(slot));
    found.extend(extra.map(|slot| Difference::NodeExtra { node: slot.name.clone() }));
    for namespace in map.namespaces() {
        let name = namespace.name.as_str().to_owned();
        match picture.tables.iter().find(|table| table.name == name) {
            Some(table) => compare_table(picture, map, table, namespace, &mut found),
            None => found.push(Difference::NamespaceMissing { namespace: name }),
        }
    }
    Some(found)
}

fn compare_table(
    picture: &Picture,
    map: &ClusterMap,
    table: &Table,
    namespace: &Namespace,
    found: &mut Vec<Difference>,
) {
    let name = || namespace.name.as_str().to_owned();
    let room = picture.layout.map_or(MOST_REPLICAS, |layout| layout.replicas());
    let wanted = namespace.replication_factor.clamp(1, MOST_REPLICAS as u8);
    if let Some(size) = table.replicas.filter(|&size| size != wanted) {
        found.push(Difference::Replication { namespace: name(), found: size, wanted });
    }
    if table.strong != namespace.strong_consistency {
        let wanted = namespace.strong_consistency;
        found.push(Difference::Consistency { namespace: name(), wanted });
    }
    let held =
        |id: &NodeId| picture.nodes.iter().any(|slot| slot.active && slot.name == id.as_str());
    let room = room.min(namespace.routable_replicas());
    let partitions = namespace.partitions.len().min(table.holders.len());
    let (mut masters, mut replicas) = (0, 0);
    for (partition, holders) in table.holders.iter().enumerate().take(partitions) {
        let wanted = |replica| {
            let slot = namespace.partitions.holder(partition, replica)?;
            map.nodes.get(slot).map(|node| &node.id)
        };
        // A node that the segment does not have was reported already; the others take its
        // place in the entry.
        if (0..room).filter_map(wanted).any(|id| !held(id)) {
            continue;
        }
        let is_other = |replica: usize| {
            let name = picture.holder(holders[replica]).map(|node| node.name.as_str());
            name != wanted(replica).map(NodeId::as_str)
        };
        masters += usize::from(room > 0 && is_other(0));
        replicas += usize::from((1..room).any(is_other));
    }
    if masters + replicas != 0 {
        found.push(Difference::Partitions { namespace: name(), masters, replicas });
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::super::layout::{Layout, PARTITIONS};
    use super::super::picture::tests::{healthy, put};
    use super::*;
    use crate::c_client::header;
    use crate::map::{Capacity, Node, Slot};

    /// The map of what [`healthy`] shows.
    pub fn map() -> ClusterMap {
        let mut map = ClusterMap::new(Capacity::DEFAULT);
        let slots = [0, 1].map(|index| {
            let id = NodeId::new(&format!("BB9{index:012}")).unwrap();
            let address = format!("127.0.0.{}:3000", index + 1).parse().unwrap();
            map.nodes.insert(Node::new(id, address)).unwrap()
        });
        let namespace = map.namespace_entry("test".parse().unwrap()).unwrap();
        namespace.replication_factor = 2;
        for partition in 0..PARTITIONS {
            for replica in 0..2 {
                let slot: Slot = slots[(partition + replica) % 2];
                namespace.partitions.set_holder(partition, replica, Some(slot));
            }
        }
        map
    }

    #[test]
    fn the_same_cluster_does_not_differ_in_any_layout() {
        for layout in Layout::ALL {
            let (_, bytes) = healthy(layout);
            let picture = Picture::of(&bytes, bytes.len());
            assert_eq!(differences(&picture, &map()), Some(Vec::new()), "{layout}");
        }
    }

    #[test]
    fn each_difference_is_found() {
        let (shape, bytes) = healthy(Layout::F);
        let of = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = bytes.clone();
            change(&mut bytes);
            let found = differences(&Picture::of(&bytes, bytes.len()), &map());
            found.map(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let one = |change: &dyn Fn(&mut Vec<u8>)| {
            let found = of(change).unwrap();
            assert_eq!(found.len(), 1, "{found:?}");
            found[0].clone()
        };
        let text = one(&|bytes| bytes[shape.active(1)] = 0);
        assert_eq!(text, "the segment does not have node BB9000000000001 at 127.0.0.2:3000");
        let text = one(&|bytes| bytes[shape.address(0) + 3] += 1);
        assert_eq!(
            text,
            "the segment has node BB9000000000000 at 127.0.0.1:3001, wanted 127.0.0.1:3000"
        );
        let text = one(&|bytes| bytes[shape.address(0)] = 9);
        assert!(text.contains("at no address, wanted"), "{text}");
        let found = of(&|bytes| bytes[shape.name(1)] = b'X').unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[1].contains("node XB9000000000001, which is no longer"), "{found:?}");
        let text = one(&|bytes| bytes[shape.replica_size(0).unwrap()] = 1);
        assert_eq!(text, "the segment has replication factor 1 for namespace test, wanted 2");
        let text = one(&|bytes| bytes[shape.sc_mode(0)] = 1);
        assert!(text.contains("as strongly consistent, wanted available"), "{text}");
        let text = one(&|bytes| put(bytes, shape.holder(0, 5, 0), 1));
        assert!(text.starts_with("1 of 4096 partitions of namespace test have another"), "{text}");
        let text = one(&|bytes| put(bytes, shape.holder(0, 5, 1), 0));
        assert!(text.ends_with("0 of 4096 partitions of namespace test have another master in the segment, 1 another replica"), "{text}");
        let text = one(&|bytes| bytes[shape.table(0)] = b'T');
        assert_eq!(text, "the segment does not have namespace test");
        let none = of(&|bytes| put(bytes, header::NODES_SIZE, 0));
        assert_eq!(none, None, "another cluster");
    }
}
