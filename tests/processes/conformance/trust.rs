//! Segments that must not be trusted, and half-created ones.

use std::os::unix::fs::PermissionsExt;

use rustix::process::geteuid;
use tendmap::client::{Client, ConnectError, Reader};
use tendmap::internals::layout::{shm_permit, shm_remove};
use tendmap::internals::segment::{Candidate, Segment, TakeoverOutcome};
use tendmap::segment::{Backend, SegmentError, SegmentState, list, remove};

use super::{Host, Test};
use crate::setup::{NEVER_MS, Setup};
use crate::worker::Worker;
use tendmap_testkit::{Cluster, wait_until};

pub fn tests() -> Vec<Test> {
    vec![
        ("h11_what_a_creator_leaves_that_is_killed_anywhere_is_replaced", killed_creators),
        ("h29_what_everybody_may_write_is_refused", world_writable),
        ("h29_another_users_segment_is_refused_unless_configured", other_user),
        ("h29_another_user_reads_what_it_may_and_can_do_nothing_more", reader_of_another_user),
        ("h87_a_process_that_may_only_read_delays_no_takeover", read_locks),
        ("h88_a_process_that_may_only_read_connects_while_no_owner_lives", reader_alone),
        ("h88_a_process_that_may_only_read_waits_for_a_successor", reader_of_retired),
        ("h231_a_process_that_may_only_read_needs_no_lock_file", reader_without_locks),
        ("h204_a_process_that_may_only_read_leaves_a_removed_segment", reader_of_removed),
        ("h30_a_damaged_header_is_refused_and_rm_takes_force", damaged),
        ("h30_a_header_damaged_under_its_owner_is_replaced", damaged_under_owner),
        ("h29_a_segment_opened_to_everybody_is_replaced_by_its_owner", opened_under_owner),
        ("h123_a_segment_given_to_a_stranger_under_its_owner_is_replaced", given_away),
        ("a_key_that_lives_in_the_other_memory_is_not_made_a_second_time", other_backend),
    ]
}

fn attach_error(host: &Host) -> SegmentError {
    Reader::attach(&host.place()).unwrap_err()
}

fn the_segment(host: &Host) -> std::sync::Arc<Segment> {
    Segment::attach(&host.place(), 1).unwrap()
}

/// Gives the segment to a user, with this mode.
fn permit(host: &Host, uid: u32, mode: u32) {
    let segment = the_segment(host);
    match (segment.path(), segment.location().unwrap().shm_id()) {
        (_, Some(id)) => shm_permit(id, uid, mode).unwrap(),
        (path, _) => {
            let path = path.unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
            std::os::unix::fs::chown(&path, Some(uid), None).unwrap();
        }
    }
}

/// Processes create and remove segments without a pause, and are killed at any point.
fn killed_creators(host: &Host) {
    for round in 0..25 {
        let churning = Worker::start("churn", &host.setup);
        churning.expect("churning");
        std::thread::sleep(std::time::Duration::from_micros(round * 130));
        churning.kill();
        drop(churning);
        let client = host.client(&Cluster::new(2, 1));
        assert_eq!(client.status().unwrap().attached, Some(1), "round {round}");
        client.close();
        host.assert_clean();
    }
}

fn world_writable(host: &Host) {
    host.orphan();
    permit(host, geteuid().as_raw(), 0o666);
    let error = attach_error(host);
    assert!(matches!(error, SegmentError::Mode { found: 0o666, .. }), "{error}");
    let error = Client::connect_with(host.config(), Cluster::new(2, 1).source()).unwrap_err();
    assert!(matches!(error, ConnectError::Segment(SegmentError::Mode { .. })), "{error}");
    assert_eq!(list(host.directory.path()).unwrap()[0].state, SegmentState::Damaged);
    remove(&host.place(), true).unwrap();
    host.assert_clean();
}

fn other_user(host: &Host) {
    if !geteuid().is_root() {
        tendmap_testkit::skipped("only root can give a segment away");
        return;
    }
    host.orphan();
    permit(host, 12_345, 0o600);
    let error = attach_error(host);
    // A System V segment has another creator.
    let owner = match error {
        SegmentError::Owner { found, .. } => found,
        SegmentError::Maker { owner, creator: 0, .. } => owner,
        error => panic!("{error}"),
    };
    assert_eq!(owner, 12_345);
    let mut place = host.place();
    place.owners = vec![11_111, 12_345];
    Reader::attach(&place).unwrap();
}

fn reader_of_another_user(host: &Host) {
    if !geteuid().is_root() {
        tendmap_testkit::skipped("only root can become another user");
        return;
    }
    let mut config = host.config();
    config.shm_mode = 0o644;
    std::fs::set_permissions(host.directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let client = Client::connect_with(config, Cluster::new(3, 2).source()).unwrap();
    let mut reader = Worker::of_user("look", &host.setup, 65_534, 65_534);
    let told = reader.expect("read");
    assert_eq!(
        (&told["nodes"], &told["attached"], &told["writer"]),
        (&3.into(), &2.into(), &false.into()),
        "{told}"
    );
    remove(&host.place(), true).unwrap();
    wait_until("a successor", || client.segment().identity().generation == 2);
    assert_eq!(reader.ask("again", "read")["generation"], 2);
}

/// A host whose segments every user may read; `None` if this process can't become
/// another user.
fn readable(host: &Host) -> Option<Setup> {
    if !geteuid().is_root() {
        tendmap_testkit::skipped("only root can become another user");
        return None;
    }
    std::fs::set_permissions(host.directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    Some(Setup { mode: 0o644, ..host.setup.clone() })
}

fn started(role: &str, setup: &Setup) -> Worker {
    let worker = Worker::start(role, setup);
    worker.expect("connected");
    worker
}

fn read_locks(host: &Host) {
    let Some(setup) = readable(host) else { return };
    let setup = Setup { threshold_ms: NEVER_MS, ..setup };
    let workers = [(); 3].map(|()| started("switch", &setup));
    let other = || {
        let other = Worker::of_user("lock_all", &setup, 65_534, 65_534);
        let files = other.expect("locked")["files"].to_string();
        assert!(!files.contains(".lock"), "{files}");
        other
    };
    let mut others = vec![other()];
    workers[0].kill();
    let next = |among: &[Worker]| {
        let mut next = None;
        wait_until("a takeover", || {
            let quick = std::time::Duration::from_millis(10);
            next = among.iter().position(|worker| worker.hears("owner", quick).is_some());
            next.is_some()
        });
        next.unwrap()
    };
    let [_, second, third] = workers;
    let mut left = vec![second, third];
    let owner = left.remove(next(&left));
    others.push(other());
    owner.kill();
    assert_eq!(next(&left), 0);
    assert_eq!(host.reader().status().unwrap().term, 3, "no term was stepped over");
}

fn reader_alone(host: &Host) {
    let Some(setup) = readable(host) else { return };
    let owner = started("switch", &setup);
    owner.kill();
    drop(owner);
    let mut reader = Worker::of_user("client", &setup, 65_534, 65_534);
    // It may connect before or after this.
    let read_only = reader.expect("read_only");
    assert!(read_only["reason"].as_str().unwrap().contains("ermission denied"), "{read_only}");
    assert_eq!(reader.role(), "follower");
    reader.assert_routes();
    let before = reader.ask("route", "routed")["sequence"].as_u64().unwrap();
    // Another process owns the segment, and is followed.
    drop(started("switch", &setup));
    let cluster = Cluster::new(7, 1);
    let client = Client::connect_with(setup.config(), cluster.source()).unwrap();
    wait_until("a later map", || {
        reader.ask("route", "routed")["sequence"].as_u64().unwrap() > before
    });
    assert_eq!(reader.role(), "follower");
    // It leaves files that it may not remove, without an error.
    client.close();
    reader.say("close");
    let told = reader.hears("trouble", std::time::Duration::from_secs(30));
    assert!(told.is_none(), "{told:?}");
    drop(reader);
    remove(&host.place(), false).unwrap();
    host.assert_clean();
}

fn reader_of_retired(host: &Host) {
    let Some(setup) = readable(host) else { return };
    started("switch", &setup).kill();
    // Its owner dies while it replaces the segment.
    let segment = the_segment(host);
    let mut candidate = Candidate::default();
    let mut entered = None;
    wait_until("the ownership", || {
        entered = match candidate.enter(&segment, true).unwrap() {
            TakeoverOutcome::Won(ownership) => Some(ownership),
            _ => None,
        };
        entered.is_some()
    });
    let mut ownership = entered.unwrap();
    ownership.retire().unwrap();
    ownership.fenced();
    let mut reader = Worker::of_user("client", &setup, 65_534, 65_534);
    reader.expect("connected");
    reader.assert_routes();
    let builder = started("switch", &setup);
    assert_eq!(reader.expect("moved")["generation"], 2);
    reader.assert_routes();
    builder.close();
}

/// Somebody has removed the lock file, or the file of marks, and nobody is left that may make
/// it again: a process may only read, or may write the segment but make no file.
fn reader_without_locks(host: &Host) {
    let Some(setup) = readable(host) else { return };
    for (writes, directory) in [(false, 0o1777), (true, 0o755)] {
        // A process that may could make a segment of its own.
        let mode = PermissionsExt::from_mode(directory);
        std::fs::set_permissions(host.directory.path(), mode).unwrap();
        for ends in [&["lock"][..], &["marks"], &["lock", "marks"]] {
            started("switch", &setup).kill();
            if writes {
                permit(host, 65_534, 0o600);
            }
            for entry in std::fs::read_dir(host.directory.path()).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|found| ends.iter().any(|end| found == *end)) {
                    std::fs::remove_file(path).unwrap();
                }
            }
            let reader = Worker::of_user("look", &setup, 65_534, 65_534);
            assert_eq!(reader.expect("read")["generation"], 1, "{writes} {ends:?}");
            let mut client = Worker::of_user("client", &setup, 65_534, 65_534);
            client.expect("read_only");
            client.assert_routes();
            assert_eq!(list(host.directory.path()).unwrap().len(), 1, "{writes} {ends:?}");
            drop((reader, client));
            remove(&host.place(), true).unwrap();
            host.assert_clean();
        }
    }
}

/// Nobody is left that may retire it.
fn reader_of_removed(host: &Host) {
    let Some(setup) = readable(host) else { return };
    started("switch", &setup).kill();
    let mut reader = Worker::of_user("client", &setup, 65_534, 65_534);
    reader.expect("read_only");
    reader.assert_routes();
    let segment = the_segment(host);
    let (lock, path) = (segment.lock().unwrap().path().to_owned(), segment.path());
    match segment.location().unwrap().shm_id() {
        Some(id) => shm_remove(id).unwrap(),
        None => std::fs::remove_file(path.unwrap()).unwrap(),
    }
    drop(segment);
    std::fs::remove_file(lock).unwrap();
    let next = started("switch", &setup);
    assert_eq!(reader.expect("moved")["generation"], 1);
    wait_until("its map", || reader.has_map());
    reader.assert_routes();
    next.close();
}

fn damaged(host: &Host) {
    host.orphan();
    // Some capacity.
    host.spoil(&the_segment(host), 5);
    let error = attach_error(host);
    assert!(matches!(error, SegmentError::Header { .. }), "{error}");
    let error = Client::connect_with(host.config(), Cluster::new(2, 1).source()).unwrap_err();
    assert!(matches!(error, ConnectError::Segment(SegmentError::Header { .. })), "{error}");
    let listed = list(host.directory.path()).unwrap();
    assert_eq!((listed[0].state, listed[0].attached), (SegmentState::Damaged, None));
    let error = remove(&host.place(), false).unwrap_err();
    assert!(matches!(error, SegmentError::Header { .. }), "{error}");
    remove(&host.place(), true).unwrap();
    host.assert_clean();
}

fn damaged_under_owner(host: &Host) {
    let mut workers = [host.worker(), host.worker()];
    for (generation, word) in [(2, 5), (3, 0), (4, 31)] {
        host.spoil(&host.reader().segment(), word);
        for worker in &workers {
            assert_eq!(worker.expect("moved")["generation"], generation);
        }
        assert!(host.reader().map().unwrap().map.nodes.len() == 5);
    }
    workers.iter_mut().for_each(Worker::assert_routes);
}

fn opened_under_owner(host: &Host) {
    let worker = host.worker();
    permit(host, geteuid().as_raw(), 0o606);
    assert_eq!(worker.expect("moved")["generation"], 2);
    let listed = list(host.directory.path()).unwrap();
    assert!(listed.iter().any(|found| (found.generation, found.mode) == (2, 0o600)));
}

fn given_away(host: &Host) {
    if !geteuid().is_root() {
        tendmap_testkit::skipped("only root can give a segment away");
        return;
    }
    let worker = host.worker();
    permit(host, 12_345, 0o600);
    assert_eq!(worker.expect("moved")["generation"], 2);
    let listed = list(host.directory.path()).unwrap();
    assert!(listed.iter().any(|found| (found.generation, found.user) == (2, 0)));
}

fn other_backend(host: &Host) {
    let mut other = Host::new(host.mode);
    other.setup = host.setup.clone();
    other.setup.backend = match host.setup.backend {
        Backend::File => Backend::SystemV,
        Backend::SystemV => Backend::File,
    };
    let worker = host.worker();
    for error in [
        match Client::connect_with(other.config(), Cluster::new(2, 1).source()).unwrap_err() {
            ConnectError::Segment(error) => error,
            error => panic!("{error}"),
        },
        attach_error(&other),
        remove(&other.place(), true).unwrap_err(),
    ] {
        let SegmentError::OtherBackend { found, wanted, .. } = error else { panic!("{error}") };
        assert_eq!((found, wanted), (host.setup.backend, other.setup.backend));
    }
    // After a crash the segment has no owner.
    worker.kill();
    drop(worker);
    let client = other.client(&Cluster::new(2, 1));
    assert_eq!(list(host.directory.path()).unwrap().len(), 2, "both are listed");
    client.close();
    remove(&host.place(), false).unwrap();
    host.assert_clean();
}
