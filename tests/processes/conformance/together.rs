//! Several processes on one key.

use std::time::Duration;

use nix::sys::signal::Signal;
use tendmap::internals::segment::{CreateOutcome, create};
use tendmap::map::{Capacity, ClusterMap};
use tendmap::segment::{Backend, SegmentError, SegmentState, list, remove};

use super::alone::writable;
use super::{Host, Mode, Test};
use crate::setup::{NEVER_MS, Setup};
use crate::worker::Worker;
use tendmap_testkit::{node, wait_at_most, wait_until};

pub fn tests() -> Vec<Test> {
    vec![
        ("the_first_owns_the_next_follow_the_last_removes", in_turn),
        ("closing_hands_the_ownership_over", closing),
        ("those_that_close_at_one_moment_leave_nothing", close_at_once),
        ("h01_a_killed_owner_is_replaced_and_reading_goes_on", killed_owner),
        ("h06_a_hung_owner_is_replaced_and_wakes_as_a_follower", hung_owner),
        ("h12_processes_of_other_capacities_meet", other_capacities),
        ("h15_a_segment_grows_under_routing_processes", growth),
        ("h23_followers_map_the_segment_read_only", read_only),
        ("h31_residue_is_listed_reused_and_removed", residue),
        ("h32_who_loses_the_name_starts_over_in_a_new_segment", name_taken),
        ("rm_refuses_while_one_is_attached_and_by_force_all_start_over", rm),
        ("h32_a_name_taken_while_no_owner_lives_stops_nobody", name_taken_of_orphan),
        ("h32_an_orphan_without_a_name_is_left_for_a_living_one", orphan_above_a_living_one),
    ]
}

fn in_turn(host: &Host) {
    let mut first = host.worker();
    let mut second = host.worker();
    let mut third = host.worker();
    assert_eq!(first.role(), "owner");
    wait_until("a standby", || second.role() == "standby" || third.role() == "standby");
    for worker in [&mut first, &mut second, &mut third] {
        worker.assert_routes();
    }
    let reader = host.reader();
    assert_eq!(reader.status().unwrap().attached, Some(4));
    drop(reader);
    second.close();
    first.close();
    wait_until("the third owns", || third.role() == "owner");
    assert_eq!(host.reader().status().unwrap().term, 2);
    third.assert_routes();
    third.close();
    host.assert_clean();
}

fn closing(host: &Host) {
    let mut owner = host.worker();
    let mut next = host.worker();
    for term in 2..6 {
        owner.close();
        assert_eq!(next.expect("owner")["term"], term);
        next.assert_routes();
        (owner, next) = (next, host.worker());
    }
}

fn close_at_once(host: &Host) {
    for _ in 0..5 {
        let mut workers: Vec<Worker> = (0..4).map(|_| host.worker()).collect();
        workers.iter_mut().for_each(|worker| worker.say("close"));
        workers.iter().for_each(|worker| drop(worker.expect("closed")));
        drop(workers);
        host.assert_clean();
    }
}

fn killed_owner(host: &Host) {
    let setup = Setup { threshold_ms: NEVER_MS, ..host.setup.clone() };
    let start = || {
        let worker = Worker::start("switch", &setup);
        worker.expect("connected");
        worker
    };
    // One after the other: the first of them owns.
    let mut workers: Vec<Worker> = (0..3).map(|_| start()).collect();
    let reader = host.reader();
    while workers.len() > 1 {
        let killed = workers.remove(0);
        let status = reader.status().unwrap();
        killed.kill();
        wait_until("a new owner", || {
            assert_eq!(reader.map().expect("reading goes on").intact, Some(true));
            reader.status().unwrap().term > status.term
        });
        // It is still a zombie, but no longer attached.
        let left = Some(workers.len() + 1);
        wait_until("it is not counted", || reader.status().unwrap().attached == left);
        drop(killed);
        wait_until("the owner is known", || {
            let owner = workers.iter_mut().position(|worker| worker.role() == "owner");
            owner.inspect(|&owner| workers.swap(0, owner)).is_some()
        });
        workers.iter_mut().for_each(Worker::assert_routes);
    }
    drop(reader);
    workers.remove(0).close();
    host.assert_clean();
}

fn hung_owner(host: &Host) {
    let mut owner = host.worker();
    let mut next = host.worker();
    owner.signal(Signal::SIGSTOP);
    wait_until("the follower owns", || next.role() == "owner");
    next.assert_routes();
    owner.signal(Signal::SIGCONT);
    owner.expect("fenced");
    owner.expect("follower");
    owner.assert_routes();
    let status = host.reader().status().unwrap();
    assert_eq!(status.term, 2);
    assert!(status.owner_alive, "the woken one released nothing of its successor's");
    next.close();
    owner.expect("owner");
    owner.close();
    host.assert_clean();
}

fn other_capacities(host: &Host) {
    let _owner = host.worker();
    let mut setup = host.setup.clone();
    setup.max_nodes = 200;
    let other = Worker::start("switch", &setup);
    other.expect("connected");
    assert_eq!(host.reader().status().unwrap().max_nodes, 16);
}

fn growth(host: &Host) {
    let mut setup = host.setup.clone();
    // Busy processes may leave the owner little of the processor.
    setup.threshold_ms = 30_000;
    let mut workers: Vec<Worker> = (0..4)
        .map(|number| {
            setup.max_nodes = 4 + number % 3;
            let worker = Worker::start("spin", &setup);
            worker.expect("connected");
            worker
        })
        .collect();
    let reader = host.reader();
    wait_at_most(Duration::from_secs(120), "200 nodes and 40 namespaces", || {
        reader
            .map()
            .is_ok_and(|found| (found.map.nodes.len(), found.map.namespaces().len()) == (200, 40))
    });
    wait_until("everybody has moved over", || reader.status().unwrap().attached == Some(5));
    assert!(reader.status().unwrap().generation > 3);
    drop(reader);
    for worker in &mut workers {
        let told = worker.ask("close", "spun");
        assert!(told["lookups"].as_u64().unwrap() > 1000, "{told}");
        assert_eq!((&told["failed"], &told["wrong"]), (&0.into(), &0.into()), "{told}");
    }
    drop(workers);
    host.assert_clean();
}

fn read_only(host: &Host) {
    let owner = host.worker();
    let mut follower = host.worker();
    assert_eq!((writable(host, owner.pid()), writable(host, follower.pid())), (1, 0));
    owner.close();
    follower.expect("owner");
    wait_until("the new owner's mapping", || writable(host, follower.pid()) == 1);
    follower.assert_routes();
}

fn residue(host: &Host) {
    host.orphan();
    let listed = list(host.directory.path()).unwrap();
    assert_eq!(listed.len(), 1, "{listed:?}");
    assert_eq!(listed[0].key, host.setup.key);
    assert_eq!(listed[0].backend, host.setup.backend);
    assert_eq!((listed[0].mode, listed[0].attached), (0o600, Some(0)));
    assert_eq!(listed[0].state, SegmentState::Orphaned);
    let worker = host.worker();
    assert_eq!(host.reader().status().unwrap().term, 2, "taken over, not made again");
    let listed = list(host.directory.path()).unwrap();
    assert_eq!((listed[0].state, listed[0].attached), (SegmentState::Owned, Some(1)));
    worker.kill();
    drop(worker);
    let removed = remove(&host.place(), false).unwrap();
    assert_eq!(removed[0], listed[0].at);
    host.assert_clean();
    let error = remove(&host.place(), false).unwrap_err();
    assert!(matches!(error, SegmentError::NotFound { .. }), "{error}");
}

fn name_taken(host: &Host) {
    let mut workers = [host.worker(), host.worker(), host.worker()];
    for generation in 2..5 {
        let reader = host.reader();
        let before = reader.map().unwrap().sequence;
        host.take_name(&reader.segment());
        for worker in &workers {
            assert_eq!(worker.expect("moved")["generation"], generation);
        }
        wait_until("the reader has moved over too", || {
            reader.segment().identity().generation == generation
        });
        assert!(reader.map().unwrap().sequence >= before, "the map was inherited");
        wait_until("an owner", || reader.status().unwrap().owner_alive);
        workers.iter_mut().for_each(Worker::assert_routes);
        assert_eq!(reader.status().unwrap().attached, Some(4));
    }
    workers.into_iter().for_each(Worker::close);
    host.assert_clean();
}

/// No process can find the segment any more, and its owner has ended: a remaining
/// process creates a new one.
fn name_taken_of_orphan(host: &Host) {
    let owner = host.worker();
    let mut next = host.worker();
    next.signal(Signal::SIGSTOP);
    let reader = host.reader();
    let segment = reader.segment();
    owner.kill();
    drop(owner);
    host.take_name(&segment);
    next.signal(Signal::SIGCONT);
    assert_eq!(next.expect("moved")["generation"], 2);
    next.assert_routes();
    // Readers of the old segment see this in its head alone.
    assert!(segment.head().retired(), "{:?}", segment.head());
    wait_until("a reader moves too", || reader.segment().identity().generation == 2);
}

/// A segment that lost its owner and its name while a lower generation is live, for
/// example one whose creator linked it too late.
fn orphan_above_a_living_one(host: &Host) {
    if host.mode == Mode::Shared(Backend::SystemV) {
        eprintln!("not of System V segments: one key has one segment");
        return;
    }
    let mut living = host.worker();
    let generation = living.generation().unwrap();
    living.signal(Signal::SIGSTOP);
    let created = create(&host.place(), generation + 1, Capacity::DEFAULT, None).unwrap();
    let CreateOutcome::Owner(mut late) = created else { panic!("there was one") };
    let mut map = ClusterMap::new(Capacity::DEFAULT);
    map.nodes.insert(node(1)).unwrap();
    late.publish(&map).unwrap();
    let mut follower = host.worker();
    assert_eq!(follower.generation(), Some(generation + 1));
    follower.signal(Signal::SIGSTOP);
    host.take_name(late.segment());
    drop(late);
    living.signal(Signal::SIGCONT);
    follower.signal(Signal::SIGCONT);
    wait_until("they meet", || {
        let at = living.generation();
        at.is_some() && at == follower.generation() && follower.has_map()
    });
    follower.assert_routes();
}

fn rm(host: &Host) {
    let mut workers = [host.worker(), host.worker()];
    match remove(&host.place(), false).unwrap_err() {
        SegmentError::InUse { attached: 2, .. } => {}
        error => panic!("{error}"),
    }
    let before = host.reader().map().unwrap().sequence;
    remove(&host.place(), true).unwrap();
    for worker in &workers {
        assert_eq!(worker.expect("moved")["generation"], 2);
    }
    assert!(host.reader().map().unwrap().sequence >= before, "the map was inherited");
    workers.iter_mut().for_each(Worker::assert_routes);
    workers.into_iter().for_each(Worker::close);
    host.assert_clean();
}
