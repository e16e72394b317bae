//! Two segments, lost names, lost locks, owners that can't reach the cluster: all
//! processes end in one segment.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use tempfile::TempDir;
use tendmap::client::{Client, Reader, Role};
use tendmap::internals::segment::{CreateOutcome, RESERVE, STANDBY, create};
use tendmap::segment::remove;

use crate::setup::Setup;
use crate::worker::Worker;
use tendmap_testkit::{Cluster, directory, files, wait_until};

pub fn trials() -> Vec<(&'static str, fn())> {
    vec![
        ("h09_an_owner_that_cannot_reach_the_cluster_gives_the_ownership_away", abdication),
        ("h09_the_terms_do_not_rotate_while_nobody_reaches_the_cluster", no_rotation),
        ("h236_followers_that_are_stopped_do_not_keep_the_ownership_from_others", stopped),
        ("h32_an_owner_whose_name_was_removed_moves_over", name_removed),
        ("h45_of_two_live_segments_the_older_is_left", two_live),
        ("h47_an_owner_whose_lock_was_dropped_sets_it_again", lock_dropped),
        ("h48_one_of_twelve_builds_the_successor", one_builds),
    ]
}

fn rig() -> (TempDir, Setup) {
    let directory = directory();
    let setup = Setup::new(directory.path(), vec!["127.0.0.1:1".into()]);
    (directory, setup)
}

fn switch(setup: &Setup) -> Worker {
    let worker = Worker::start("switch", setup);
    worker.expect("connected");
    worker
}

fn reader(setup: &Setup) -> Reader {
    Reader::attach(&setup.place()).unwrap()
}

fn abdication() {
    let (_directory, setup) = rig();
    let mut owner = switch(&setup);
    let mut other = switch(&setup);
    owner.say("fail");
    owner.expect("abdicated");
    other.expect("owner");
    owner.expect("fenced");
    assert_eq!(reader(&setup).status().unwrap().term, 2);
    assert_eq!(other.role(), "owner");
    // It can reach the cluster again, but is not the owner.
    owner.say("work");
    assert_ne!(owner.role(), "owner");
}

fn no_rotation() {
    let (_directory, setup) = rig();
    let mut workers = [switch(&setup), switch(&setup), switch(&setup)];
    for worker in &mut workers {
        worker.say("fail");
    }
    workers[0].expect("abdicated");
    std::thread::sleep(Duration::from_secs(3));
    let status = reader(&setup).status().unwrap();
    assert_eq!((status.term, status.takeovers), (1, 0));
    assert!(status.abdicated && status.nodes > 0, "the last map can still be read");
    // The process that reaches it first becomes owner.
    workers[0].say("work");
    wait_until("the owner takes its abdication back", || {
        let status = reader(&setup).status().unwrap();
        status.owner_alive && !status.abdicated && status.term == 1
    });
}

/// Those that would try first are stopped: the standby, and the reserve as well.
fn stopped() {
    let (_directory, setup) = rig();
    let mut owner = switch(&setup);
    let mut followers = [switch(&setup), switch(&setup), switch(&setup)];
    let segment = reader(&setup).segment();
    let holder = |byte| segment.lock().unwrap().holder(byte);
    wait_until("a standby and a reserve", || {
        holder(STANDBY).is_some() && holder(RESERVE).is_some()
    });
    let first = [holder(STANDBY), holder(RESERVE)];
    for follower in &followers {
        if first.contains(&Some(follower.pid())) {
            follower.signal(Signal::SIGSTOP);
        }
    }
    owner.say("fail");
    owner.expect("abdicated");
    owner.hears("fenced", Duration::from_secs(60)).expect("another owner");
    let third = followers.iter_mut().find(|follower| !first.contains(&Some(follower.pid())));
    assert_eq!(third.unwrap().role(), "owner");
    followers.iter().for_each(|follower| follower.signal(Signal::SIGCONT));
}

fn name_removed() {
    let (directory, setup) = rig();
    let owner = switch(&setup);
    let follower = switch(&setup);
    let sequence = reader(&setup).map().unwrap().sequence;
    // Unlike `tendmap rm`, this removes the name without retiring the segment.
    fs::remove_file(setup.place().segment(1)).unwrap();
    owner.expect("moved");
    follower.expect("moved");
    let found = reader(&setup);
    assert!(found.map().unwrap().sequence >= sequence);
    wait_until("an owner", || found.status().unwrap().owner_alive);
    drop(found);
    owner.close();
    follower.close();
    // The lock file of the removed segment is a leftover that a creator removes.
    let left = || fs::read_dir(directory.path()).unwrap().flatten().map(|entry| entry.file_name());
    assert!(
        left().all(|name| name.to_str().unwrap().ends_with(".lock")),
        "{:?}",
        left().collect::<Vec<_>>()
    );
}

fn two_live() {
    let (_directory, setup) = rig();
    let owner = switch(&setup);
    let follower = switch(&setup);
    // A late link: a second live segment under the key.
    let capacity = setup.config().capacity();
    let CreateOutcome::Owner(mut late) = create(&setup.place(), 2, capacity, None).unwrap() else {
        panic!("there was no second generation");
    };
    let mut map = tendmap::map::ClusterMap::new(capacity);
    map.nodes.insert(tendmap_testkit::node(1)).unwrap();
    late.publish(&map).unwrap();
    for worker in [&owner, &follower] {
        assert_eq!(worker.expect("moved")["generation"], 2);
    }
    assert_eq!(reader(&setup).segment().identity().generation, 2);
    assert!(late.turn().is_ok(), "the newer one's owner stays owner");
    // Both of them now follow there, and one takes over when it is released.
    late.release();
    wait_until("an owner from among them", || reader(&setup).status().unwrap().term == 2);
}

fn lock_dropped() {
    let (directory, setup) = rig();
    let client = Client::connect_with(setup.config(), Cluster::new(3, 1).source()).unwrap();
    let held = || {
        let check = Worker::start("hold-check", &setup);
        check.expect("owner_byte")["held"] == true
    };
    assert!(held());
    for round in 0..3 {
        let lock = fs::read_dir(directory.path())
            .unwrap()
            .flatten()
            .map(|entry| entry.path())
            .find(|path| path.extension().is_some_and(|extension| extension == "lock"))
            .unwrap();
        // Closing any descriptor of the file drops the process's locks.
        drop(fs::File::open(&lock).unwrap());
        if round == 2 {
            // And here the file itself is replaced.
            fs::remove_file(&lock).unwrap();
        }
        wait_until("the byte is held again", held);
    }
    assert_eq!((client.role(), client.status().unwrap().term), (Role::Owner, 1));
}

fn one_builds() {
    let (directory, setup) = rig();
    let workers: Vec<Worker> = (0..12).map(|_| switch(&setup)).collect();
    for generation in 2..6 {
        remove(&setup.place(), true).unwrap();
        for worker in &workers {
            assert_eq!(worker.expect("moved")["generation"], generation);
        }
        wait_until("everybody is attached", || {
            reader(&setup).status().unwrap().attached == Some(13)
        });
        // Replaced files may not be removed yet.
        wait_until("one segment and its lock file", || files(&directory) == 2);
    }
}
