//! What others do to a segment that a mirror owns.

use tendmap::c_client::MirrorEvent;
use tendmap::internals::c_client::header;
use tendmap_testkit::wait_until;

use crate::rig::{Rig, SHAPE, wanted};
use tendmap::internals::c_client::Planner;

#[test]
fn what_clients_overwrite_is_stored_again() {
    let rig = Rig::new(3);
    let client = rig.create(rig.config());
    rig.wait_content();
    let segment = rig.segment();
    segment.store_u32(SHAPE.holder(0, 17, 0), 0xdead_beef);
    segment.store_u32(SHAPE.name(1), 0x4141_4141);
    segment.store_u32(header::TABLES_SIZE, 99);
    rig.wait_for(|event| matches!(event, MirrorEvent::Mended { words: 1.. }));
    rig.wait_content();
    client.close();
}

/// A reader died inside a slot's lock, and a writer; another process died
/// during a takeover.
#[test]
fn locks_of_dead_processes_stop_nothing() {
    let rig = Rig::new(3);
    let client = rig.create(rig.config());
    rig.wait_content();
    let segment = rig.segment();
    segment.store_u32(SHAPE.slot_lock(1), 1);
    segment.store_u32(SHAPE.slot_lock(2), 1 << 31);
    segment.store_u32(header::TAKE_OVER_LOCK, 1);
    rig.cluster.change(|map| {
        let gone = map.nodes.slot_of(&tendmap_testkit::node(1).id).unwrap();
        map.remove_node(gone);
    });
    rig.wait_content();
    rig.wait_for(|event| matches!(event, MirrorEvent::LocksFreed { .. }));
    wait_until("the locks are clear", || {
        segment.load_u32(SHAPE.slot_lock(2)) == 0 && segment.load_u32(header::TAKE_OVER_LOCK) == 0
    });
    assert_eq!(segment.load_u32(SHAPE.slot_lock(1)), 1, "a reader's count is not a lock");
    client.close();
}

/// A mirror died after each of the stores of a change; the next one goes on.
#[test]
fn the_next_mirror_goes_on_wherever_the_last_one_died() {
    let rig = Rig::new(3);
    let mut before = None;
    rig.cluster.change(|map| before = Some(map.clone()));
    let before = before.unwrap();
    rig.cluster.grow(4);
    rig.cluster.change(|map| {
        let gone = map.nodes.slot_of(&tendmap_testkit::node(0).id).unwrap();
        map.remove_node(gone);
    });
    let mut after = None;
    rig.cluster.change(|map| after = Some(map.clone()));
    let after = wanted(&after.unwrap());
    let segment = rig.empty(SHAPE.bytes());
    let count = {
        let (mut planner, _) = Planner::create(SHAPE, &wanted(&before), 1, 1, 0);
        planner.pass(&after, 1).stores.len()
    };
    // The first ones concern nodes, the others a word of an entry each.
    let deaths = [0, 1, 2, 3, 5, 8, 13, count / 2, count];
    for death in deaths {
        crate::rig::write(&segment, &before, 1, 1);
        let (mut planner, _) = Planner::create(SHAPE, &wanted(&before), 1, 1, 0);
        for store in planner.pass(&after, 1).stores.iter().take(death) {
            store.apply(&segment);
        }
        segment.store_u8(header::LOCK, 1);
        segment.store_u32(header::OWNER_PID, u32::MAX - 5);
        let took_over = |event: &MirrorEvent| matches!(event, MirrorEvent::TookOver { .. });
        let client = rig.connect(rig.config(), took_over);
        rig.wait_content();
        client.close();
    }
}
