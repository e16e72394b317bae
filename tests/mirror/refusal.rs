//! Segments that a mirror leaves alone.

use tendmap::c_client::MirrorEvent;
use tendmap::internals::c_client::{Layout, Shape, header};
use tendmap_testkit::{Cluster, wait_until};

use crate::rig::{Rig, SHAPE, copy};

/// The reason that the mirror gives, once it has one; the map is published in
/// any case.
fn refused(rig: &Rig) -> String {
    let refused = |event: &MirrorEvent| matches!(event, MirrorEvent::Refused { .. });
    let client = rig.connect(rig.config(), refused);
    assert_eq!(client.map().unwrap().map.nodes.len(), 3);
    let mut events = rig.events();
    // It looks again every second, and says the same once.
    client.wait_for_change(client.map().unwrap().sequence, std::time::Duration::from_millis(1200));
    assert_eq!(rig.events(), events);
    client.close();
    match events.remove(0) {
        MirrorEvent::Refused { reason } => reason,
        event => panic!("{event:?}"),
    }
}

#[test]
fn a_segment_of_another_size_or_layout_is_left_alone() {
    for (shape, wanted) in [
        (Shape::new(Layout::E, SHAPE.capacity), "layout E"),
        (Shape::new(Layout::D, SHAPE.capacity), "layout E"),
    ] {
        let rig = Rig::new(3);
        let segment = rig.empty(shape.bytes());
        let capacity = shape.capacity;
        segment.store_u32(header::NODES_CAPACITY, capacity.max_nodes() as u32);
        segment.store_u32(header::TABLES_OFFSET, shape.table(0) as u32);
        let before = copy(&segment);
        let reason = refused(&rig);
        assert!(reason.contains(wanted), "{reason}");
        assert_eq!(copy(&segment), before);
    }
    for bytes in [1, 55, 56, 4096, SHAPE.bytes() - 8, SHAPE.bytes() + 4096] {
        let rig = Rig::new(3);
        let segment = rig.empty(bytes);
        let reason = refused(&rig);
        assert!(reason.contains(&format!("{bytes} bytes")), "{reason}");
        assert!(copy(&segment).iter().all(|&byte| byte == 0));
    }
}

#[test]
fn random_bytes_are_left_alone() {
    let rig = Rig::new(3);
    let segment = rig.empty(SHAPE.bytes());
    for offset in (0..SHAPE.bytes()).step_by(4) {
        segment.store_u32(offset, fastrand::u32(..));
    }
    let before = copy(&segment);
    refused(&rig);
    assert_eq!(copy(&segment), before);
}

#[test]
fn a_segment_of_another_cluster_is_left_alone() {
    let mut rig = Rig::new(2);
    rig.cluster.change(|map| {
        let slots: Vec<_> = map.nodes.iter().map(|(slot, _)| slot).collect();
        for (slot, id) in slots.into_iter().zip(["CC1", "CC2"]) {
            map.remove_node(slot);
            let mut node = tendmap_testkit::node(9);
            node.id = tendmap::map::NodeId::new(id).unwrap();
            map.nodes.insert(node).unwrap();
        }
    });
    let segment = rig.of_a_client(1, 1);
    segment.store_u8(header::LOCK, 0);
    rig.cluster = Cluster::new(3, 2);
    let before = copy(&segment);
    let reason = refused(&rig);
    assert!(reason.contains("not of this cluster") && reason.contains("CC"), "{reason}");
    assert_eq!(copy(&segment), before);
}

/// Its size may be that of a C client's by chance. A client writes the header before
/// anything else.
#[test]
fn h138_a_segment_that_holds_something_but_a_header_is_left_alone() {
    for offset in [64, SHAPE.bytes() - 8] {
        let rig = Rig::new(3);
        let segment = rig.empty(SHAPE.bytes());
        segment.store_u32(offset, 1);
        let before = copy(&segment);
        let reason = refused(&rig);
        assert!(reason.contains("no header"), "{reason}");
        assert_eq!(copy(&segment), before);
    }
}

/// Of a client that died while it created it.
#[test]
fn a_segment_that_was_never_finished_is_filled() {
    let rig = Rig::new(3);
    let segment = rig.empty(SHAPE.bytes());
    segment.store_u8(header::LOCK, 1);
    segment.store_u32(header::OWNER_PID, u32::MAX - 3);
    let client = rig.connect(rig.config(), |event| matches!(event, MirrorEvent::TookOver { .. }));
    rig.wait_content();
    wait_until("it is ready", || rig.header().ready == 1);
    client.close();
}
