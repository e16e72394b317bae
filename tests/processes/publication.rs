//! Publications under kills and stops: readers never see a mixture.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tendmap::client::Reader;
use tendmap::internals::segment::{Candidate, Ownership, TakeoverOutcome};
use tendmap::map::ClusterMap;

use crate::roles::hammered;
use crate::setup::Setup;
use crate::worker::Worker;
use tendmap_testkit::{directory, wait_until};

pub fn trials() -> Vec<(&'static str, fn())> {
    vec![
        ("h01_an_owner_killed_amid_a_publication_disturbs_nobody", killed_amid),
        ("h04_of_two_that_believe_to_own_one_is_fenced", two_believers),
        ("h05_an_owner_that_wakes_amid_a_publication_changes_nothing", woken_amid),
    ]
}

/// Checks that whole snapshots are intact, are one of the three maps, and never go
/// back.
struct Watcher {
    reader: Reader,
    maps: BTreeMap<u32, ClusterMap>,
    last: u64,
    seen: u64,
}

impl Watcher {
    fn new(setup: &Setup) -> Watcher {
        let maps = (0..4).map(|turn| (turn as u32 + 1, hammered(turn))).collect();
        let reader = Reader::attach(&setup.place()).unwrap();
        Watcher { reader, maps, last: 0, seen: 0 }
    }

    fn look(&mut self) {
        // A publisher that never pauses may overtake every full read. That is a valid
        // result.
        let Ok(found) = self.reader.map() else { return };
        assert_eq!(found.intact, Some(true), "sequence {}", found.sequence);
        assert!(found.sequence >= self.last, "{} after {}", found.sequence, self.last);
        self.last = found.sequence;
        let regime = found.map.namespaces()[0].partitions.regime(0);
        let wanted = &self.maps[&regime];
        for (found, wanted) in found.map.namespaces().iter().zip(wanted.namespaces()) {
            assert!(found.partitions == wanted.partitions, "a mixture of maps");
        }
        self.seen += 1;
    }
}

fn hammer(setup: &Setup) -> Worker {
    let worker = Worker::start("hammer", setup);
    worker.expect("hammering");
    worker
}

fn take_over(watcher: &Watcher, hung: bool) -> Box<Ownership> {
    let segment = watcher.reader.segment();
    let mut candidate = Candidate::default();
    let mut owner = None;
    wait_until("the ownership", || {
        match candidate.enter(&segment, hung).unwrap() {
            TakeoverOutcome::Won(ownership) => owner = Some(ownership),
            TakeoverOutcome::OwnerAlive | TakeoverOutcome::Lost | TakeoverOutcome::Busy => {}
            other => panic!("{other:?}"),
        }
        owner.is_some()
    });
    owner.unwrap()
}

fn killed_amid() {
    for round in 0..25 {
        let directory = directory();
        let setup = Setup::new(directory.path(), vec!["127.0.0.1:1".into()]);
        let hammer = hammer(&setup);
        let mut watcher = Watcher::new(&setup);
        let until = Instant::now() + Duration::from_millis(10 + round % 7);
        while Instant::now() < until {
            watcher.look();
        }
        hammer.kill();
        let mut ownership = take_over(&watcher, false);
        watcher.look();
        let before = watcher.last;
        // The new owner publishes over the words of the incomplete publication.
        ownership.set_checksums(true);
        for turn in [3, 0, 3] {
            ownership.last_map();
            ownership.publish(&hammered(turn)).unwrap();
            watcher.look();
        }
        assert!(watcher.last > before && watcher.seen > 3);
    }
}

fn two_believers() {
    let directory = directory();
    let setup = Setup::new(directory.path(), vec!["127.0.0.1:1".into()]);
    let hammer = hammer(&setup);
    let mut watcher = Watcher::new(&setup);
    watcher.look();
    // The other process publishes at full speed and holds its lock, but this process
    // treats it as hung.
    let mut ownership = take_over(&watcher, true);
    ownership.set_checksums(true);
    hammer.expect("fenced");
    for turn in 0..100 {
        ownership.publish(&hammered(turn % 4)).unwrap();
        watcher.look();
    }
    ownership.turn().unwrap();
}

fn woken_amid() {
    for round in 0..15 {
        let directory = directory();
        let setup = Setup::new(directory.path(), vec!["127.0.0.1:1".into()]);
        let hammer = hammer(&setup);
        let mut watcher = Watcher::new(&setup);
        std::thread::sleep(Duration::from_millis(5 + round));
        hammer.signal(Signal::SIGSTOP);
        let mut ownership = take_over(&watcher, true);
        ownership.set_checksums(true);
        ownership.last_map();
        for turn in 0..3 {
            ownership.publish(&hammered((turn + 3) % 4)).unwrap();
            watcher.look();
        }
        hammer.signal(Signal::SIGCONT);
        for turn in 0..20 {
            ownership.publish(&hammered(turn % 4)).unwrap();
            watcher.look();
        }
        hammer.expect("fenced");
        ownership.turn().unwrap();
        watcher.look();
        // Term 2's byte is still held: another process sees an owner.
        let held = Worker::start("hold-check", &setup);
        assert_eq!(held.expect("owner_byte")["held"], true);
    }
}
