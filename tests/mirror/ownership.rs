//! Whom a mirror waits for, and whom it replaces.

use std::io::{Read, Write};

use tendmap::c_client::MirrorEvent;
use tendmap::internals::c_client::header;
use tendmap_testkit::forked::forked;
use tendmap_testkit::wait_until;

use crate::rig::{Rig, copy};

/// The clock of the segment's timestamps.
fn now() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "Monotonic, which is never set")]
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

fn took_over(event: &MirrorEvent) -> bool {
    matches!(event, MirrorEvent::TookOver { .. })
}

/// A client that owns the segment: it is waited for, nothing is stored, and its
/// death is noticed.
#[test]
fn a_living_owner_is_waited_for_and_replaced_when_it_is_gone() {
    let rig = Rig::new(3);
    forked(
        |parent| {
            let segment = rig.of_a_client(std::process::id(), now());
            parent.write_all(&[1]).unwrap();
            // Until the parent has seen the mirror wait.
            parent.read_exact(&mut [0]).unwrap();
            drop(copy(&segment));
        },
        |child| {
            child.read_exact(&mut [0]).unwrap();
            let segment = rig.segment();
            let (before, pid) = (copy(&segment), rig.header().owner_pid);
            assert_ne!(pid, std::process::id());
            let waiting = MirrorEvent::Waiting { pid };
            let client = rig.connect(rig.config(), |event| *event == waiting);
            // Passes enough for it to have stored something.
            client.wait_for_change(
                client.map().unwrap().sequence,
                std::time::Duration::from_millis(600),
            );
            assert_eq!(copy(&segment), before, "a living client's segment is not touched");
            assert_eq!(rig.events(), [waiting]);
            child.write_all(&[1]).unwrap();
            rig.wait_for(|event| {
                *event == MirrorEvent::TookOver { shm_id: segment.id(), from: pid }
            });
            rig.wait_content();
            assert_eq!(rig.header().owner_pid, std::process::id());
            client.close();
        },
    );
}

#[test]
fn an_owner_that_closed_is_replaced_at_once() {
    let rig = Rig::new(3);
    let segment = rig.of_a_client(1, now());
    segment.store_u8(header::LOCK, 0);
    let client = rig.connect(rig.config(), took_over);
    rig.wait_content();
    client.close();
}

/// Nothing is known of the process that the segment names: it may live in
/// another pid namespace.
#[test]
fn an_owner_that_can_t_be_seen_is_replaced_when_it_has_been_silent() {
    let rig = Rig::new(3);
    let segment = rig.of_a_client(u32::MAX - 7, now());
    let waiting = |event: &MirrorEvent| matches!(event, MirrorEvent::Waiting { .. });
    let client = rig.connect(rig.config(), waiting);
    segment.store_u64(header::TIMESTAMP, now().saturating_sub(33_000).max(1));
    rig.wait_for(took_over);
    rig.wait_content();
    client.close();
}

#[test]
fn a_mirror_that_finds_another_owner_yields() {
    let rig = Rig::new(3);
    let client = rig.create(rig.config());
    let segment = rig.segment();
    let other = u32::MAX - 9;
    segment.store_u64(header::TIMESTAMP, now());
    segment.store_u32(header::OWNER_PID, other);
    rig.wait_for(|event| *event == MirrorEvent::Fenced { by: other });
    rig.wait_for(|event| *event == MirrorEvent::Waiting { pid: other });
    // It stores nothing more, not even the time.
    segment.store_u64(header::TIMESTAMP, now() - 20_000);
    let before = copy(&segment);
    rig.cluster.grow(4);
    wait_until("the change is published", || client.map().unwrap().map.nodes.len() == 4);
    client.wait_for_change(client.map().unwrap().sequence, std::time::Duration::from_millis(600));
    assert_eq!(copy(&segment), before);
    segment.store_u8(header::LOCK, 0);
    rig.wait_for(took_over);
    client.close();
}

#[test]
fn a_removed_segment_is_created_again() {
    let rig = Rig::new(3);
    let client = rig.create(rig.config());
    let id = rig.segment().id();
    rig.forget_events();
    tendmap::internals::layout::shm_remove(id).unwrap();
    rig.wait_for(|event| *event == MirrorEvent::Removed { shm_id: id });
    rig.wait_for(|event| matches!(event, MirrorEvent::Created { .. }));
    rig.wait_content();
    client.close();
}

#[test]
fn two_mirrors_of_a_key_are_one_and_a_standby() {
    let (rig, mut second) = (Rig::new(3), Rig::new(3));
    second.key = rig.key;
    let first = rig.create(rig.config());
    let mut config = second.config();
    // Another client of the process, with a map of its own.
    config.shm_key += 1;
    config.shm_directory = rig.directory.path().into();
    let standby = |event: &MirrorEvent| matches!(event, MirrorEvent::Standby { .. });
    let other = second.connect(config, standby);
    assert!(!second.events().iter().any(took_over));
    first.close();
    second.wait_for(took_over);
    other.close();
}
