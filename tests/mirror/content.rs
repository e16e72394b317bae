//! What a mirror stores.

use std::time::Duration;

use tendmap::c_client::{MirrorEvent, OnExit, OwnerMark};
use tendmap::internals::c_client::header;
use tendmap::internals::layout::ForeignSegment;
use tendmap::map::NamespaceName;
use tendmap_testkit::{add_namespace, node, wait_until};

use crate::rig::{Rig, SHAPE, copy, name};

#[test]
fn a_mirror_creates_a_segment_that_is_whole_when_it_is_ready() {
    let rig = Rig::new(3);
    let client = rig.create(rig.config());
    rig.wait_content();
    let (segment, header) = (rig.segment(), rig.header());
    assert_eq!(segment.stat().bytes, 531_576);
    assert_eq!(segment.stat().mode, 0o666);
    assert_eq!((header.lock, header.ready), (1, 1));
    assert_eq!(header.owner_pid, std::process::id());
    SHAPE.check(&header, segment.bytes()).unwrap();
    let names: Vec<_> = (0..3).filter_map(|slot| name(&copy(&segment), slot)).collect();
    assert_eq!(names, ["BB90000", "BB90001", "BB90002"]);
    client.close();
}

#[test]
fn changes_of_the_cluster_reach_the_segment() {
    let rig = Rig::new(3);
    let client = rig.create(rig.config());
    rig.wait_content();
    rig.cluster.change(|map| {
        let gone = map.nodes.slot_of(&node(1).id).unwrap();
        map.remove_node(gone);
    });
    rig.wait_content();
    rig.cluster.change(|map| add_namespace(map, "more", 3));
    rig.wait_content();
    rig.cluster.change(|map| {
        let namespace = map.namespace_entry(NamespaceName::new("test").unwrap()).unwrap();
        namespace.replication_factor = 1;
        namespace.partitions.truncate_replicas(1);
        namespace.strong_consistency = true;
        namespace.partitions.set_regime(7, 9);
    });
    rig.wait_content();
    // A node that comes back at another address has another slot.
    rig.cluster.change(|map| {
        let mut moved = node(1);
        moved.address = "[::1]:4000".parse().unwrap();
        map.nodes.insert(moved).unwrap();
        add_namespace(map, "test", 2);
    });
    rig.wait_content();
    assert_eq!(rig.header().nodes_size, 4, "the earlier slot is not used again");
    assert_eq!(rig.events().len(), 1, "nothing to report: {:?}", rig.events());
    client.close();
}

#[test]
fn a_node_that_does_not_fit_is_left_out_and_reported() {
    let rig = Rig::new(3);
    let mut config = rig.config();
    config.c_client.max_nodes = 2;
    let client = rig.create(config);
    let left_out = MirrorEvent::NodeLeftOut { id: node(2).id, capacity: 2 };
    rig.wait_for(|event| *event == left_out);
    assert_eq!(rig.header().nodes_size, 2);
    client.close();
}

#[test]
fn held_it_stays_owned_and_the_next_mirror_goes_on_at_once() {
    let rig = Rig::new(2);
    rig.create(rig.config()).close();
    let header = rig.header();
    assert_eq!((header.lock, header.ready), (1, 1));
    let id = rig.segment().id();
    let took_over = MirrorEvent::TookOver { shm_id: id, from: header.owner_pid };
    let client = rig.connect(rig.config(), |event| *event == took_over);
    rig.wait_content();
    client.close();
}

#[test]
fn released_it_is_left_to_the_first_client() {
    let rig = Rig::new(2);
    let mut config = rig.config();
    config.c_client.on_exit = OnExit::Release;
    rig.create(config).close();
    assert_eq!((rig.header().lock, rig.header().ready), (0, 1));
    assert!(rig.events().contains(&MirrorEvent::Released));
}

#[test]
fn an_owner_that_is_always_alive_is_a_pid_of_all_ones() {
    let rig = Rig::new(2);
    let mut config = rig.config();
    config.c_client.owner = OwnerMark::Always;
    let client = rig.create(config.clone());
    assert_eq!(rig.header().owner_pid, u32::MAX);
    client.close();
    let took_over = |event: &MirrorEvent| matches!(event, MirrorEvent::TookOver { .. });
    rig.connect(config, took_over).close();
}

#[test]
fn the_heartbeat_goes_on_only_while_the_cluster_is_tended() {
    let rig = Rig::new(2);
    let client = rig.create(rig.config());
    let first = rig.header().timestamp;
    wait_until("a heartbeat", || rig.header().timestamp > first);
    rig.cluster.fail(tendmap::tend::TendError::Interrupted);
    let mut last = rig.header().timestamp;
    // Three intervals and two seconds after the last good pass it stops.
    wait_until("no heartbeat for a second", || {
        std::thread::sleep(Duration::from_secs(1));
        std::mem::replace(&mut last, rig.header().timestamp) == rig.header().timestamp
    });
    rig.cluster.heal();
    wait_until("a heartbeat again", || rig.header().timestamp > last);
    client.close();
}

#[test]
fn a_forked_child_does_not_count_as_attached() {
    let rig = Rig::new(2);
    let segment = rig.of_a_client(1, 1);
    let id = segment.id();
    tendmap_testkit::forked::forked(
        |_| {
            let mappings = tendmap::internals::layout::shm_stat(id).unwrap().mappings;
            assert_eq!(mappings, 1, "the parent's");
        },
        |_| {},
    );
    let _: ForeignSegment = segment;
    assert_eq!(header::READY, 49);
}
