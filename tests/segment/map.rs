//! The map through a segment: a reader gets what was published, and hostile bytes are
//! refused without a panic.

use std::fs::File;
use std::net::SocketAddr;
use std::os::unix::fs::FileExt;

use proptest::prelude::*;
use tendmap::client::Reader;
use tendmap::internals::map::{snapshot, tables};
use tendmap::internals::segment::{CreateOutcome, Ownership, create, private};
use tendmap::map::{Build, Capacity, ClusterMap, Node, NodeId, Slot, TlsName};
use tendmap::segment::Place;
use tendmap_testkit::directory;

fn capacity() -> Capacity {
    Capacity { max_nodes: 6, max_namespaces: 3, max_replicas: 5, partitions: 16 }
}

/// Whether the node stays, its address, the length of its TLS name, its build.
type NodeParts = (bool, SocketAddr, Option<usize>, Option<[u16; 4]>);

fn nodes() -> impl Strategy<Value = Vec<NodeParts>> {
    let tls = proptest::option::of(1usize..=253);
    proptest::collection::vec(
        (any::<bool>(), any::<SocketAddr>(), tls, any::<Option<[u16; 4]>>()),
        0..=6,
    )
}

prop_compose! {
    fn maps()(
        name in proptest::option::of("[ -~]{1,64}"),
        nodes in nodes(),
        namespaces in proptest::collection::vec((0u8..8, any::<bool>()), 0..=3),
        owners in proptest::collection::vec(0usize..8, 3 * 5 * 16),
        regimes in proptest::collection::vec(any::<u32>(), 3 * 16),
        racks in proptest::collection::vec(any::<Option<i32>>(), 3 * 6),
    ) -> ClusterMap {
        let mut map = ClusterMap::new(capacity());
        map.cluster_name = name.map(|name| name.parse().unwrap());
        for (number, (_, address, tls, build)) in nodes.iter().enumerate() {
            // Frames keep no IPv6 scope or flow.
            let address = SocketAddr::new(address.ip(), address.port());
            let id = NodeId::new(&format!("N{number}")).unwrap();
            let tls_name = tls.map(|len| TlsName::new(&"t".repeat(len)).unwrap());
            let build = build.map(|[major, minor, patch, build]| Build { major, minor, patch, build });
            let mut node = Node::new(id, address);
            (node.tls_name, node.build) = (tls_name, build);
            map.nodes.insert(node).unwrap();
        }
        // Some nodes leave again: their slots keep their incarnations.
        for (number, _) in nodes.iter().enumerate().filter(|(_, (stays, ..))| !stays) {
            map.remove_node(Slot::new(number).unwrap());
        }
        for (index, &(rf, strong)) in namespaces.iter().enumerate() {
            let there: Vec<Slot> = map.nodes.iter().map(|(slot, _)| slot).collect();
            let namespace = map.namespace_entry(format!("ns{index}").parse().unwrap()).unwrap();
            (namespace.replication_factor, namespace.strong_consistency) = (rf, strong);
            for &slot in &there {
                namespace.set_rack(slot, racks[index * 6 + slot.index()]);
            }
            for partition in 0..16 {
                for replica in 0..5 {
                    let owner = owners[(index * 5 + replica) * 16 + partition];
                    let slot = there.get(owner).copied();
                    namespace.partitions.set_holder(partition, replica, slot);
                }
                namespace.partitions.set_regime(partition, regimes[index * 16 + partition]);
            }
        }
        map
    }
}

/// Racks and slots that belong to no node need not be read back as they were stored.
/// Only what a caller can ask for is compared.
fn assert_same(a: &ClusterMap, b: &ClusterMap) {
    assert_eq!(a.cluster_name, b.cluster_name);
    assert_eq!(a.nodes, b.nodes);
    assert_eq!(a.namespaces().len(), b.namespaces().len());
    for (a, b) in a.namespaces().iter().zip(b.namespaces()) {
        assert_eq!((a.name, a.replication_factor), (b.name, b.replication_factor));
        assert_eq!(a.strong_consistency, b.strong_consistency);
        assert_eq!(a.partitions, b.partitions);
        for slot in (0..6).map_while(Slot::new) {
            assert_eq!(a.rack(slot), b.rack(slot));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn published_maps_come_back(first in maps(), second in maps(), checksums: bool) {
        let mut ownership = private(capacity(), 0).unwrap();
        ownership.set_checksums(checksums);
        for (index, map) in [&first, &second, &second].into_iter().enumerate() {
            let published = ownership.publish(map).unwrap();
            // The same map is not published again.
            prop_assert!(published.is_some() || index > 0);
            prop_assert!(published.is_none() || index < 2);
            let found = snapshot(ownership.segment().mapping()).unwrap();
            assert_same(&found.map, map);
            prop_assert_eq!(found.intact, checksums.then_some(true));
        }
    }

    /// Whatever the bits of a frame are, a read returns a map or an error.
    #[test]
    fn h30_hostile_frames_do_not_panic(
        map in maps(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u64>()), 1..40),
    ) {
        let directory = directory();
        let place = Place { directory: directory.path().into(), ..Place::of_key(1) };
        let mut ownership = owner(&place);
        ownership.set_checksums(true);
        ownership.publish(&map).unwrap();
        let segment = ownership.segment().clone();
        let file = File::options().write(true).open(place.segment(1)).unwrap();
        let words = segment.geometry().total_bytes() / 8;
        let first = segment.geometry().frame_start(0);
        for (index, bits) in damage {
            let word = first + index.index(words - first);
            file.write_all_at(&bits.to_ne_bytes(), word as u64 * 8).unwrap();
        }
        let _ = (tables(segment.mapping()), snapshot(segment.mapping()));
        let reader = Reader::attach(&place).unwrap();
        let mut router = reader.router();
        if let Ok(namespace) = router.namespace("ns0") {
            for partition in 0..16 {
                let target = tendmap::route::Partition(partition);
                let _ = router.route(namespace, target, Default::default());
            }
        }
    }
}

fn owner(place: &Place) -> Box<Ownership> {
    match create(place, 1, capacity(), None).unwrap() {
        CreateOutcome::Owner(ownership) => ownership,
        CreateOutcome::Exists => panic!("the directory was empty"),
    }
}

#[test]
fn a_damaged_map_is_found_by_its_checksum() {
    let directory = directory();
    let place = Place { directory: directory.path().into(), ..Place::of_key(1) };
    let mut ownership = owner(&place);
    ownership.set_checksums(true);
    let mut map = ClusterMap::new(capacity());
    map.nodes.insert(tendmap_testkit::node(1)).unwrap();
    tendmap_testkit::add_namespace(&mut map, "test", 1);
    ownership.publish(&map).unwrap();
    let segment = ownership.segment().clone();
    assert_eq!(snapshot(segment.mapping()).unwrap().intact, Some(true));
    // Damage one routing word of the live frame: it loses its master.
    let word = segment.geometry().frame_start(1) + segment.geometry().routing(0, 0) + 3;
    let file = File::options().write(true).open(place.segment(1)).unwrap();
    file.write_all_at(&(1_u64 << 48 | 0xffff_ffff_ffff).to_ne_bytes(), word as u64 * 8).unwrap();
    assert_eq!(snapshot(segment.mapping()).unwrap().intact, Some(false));
}
