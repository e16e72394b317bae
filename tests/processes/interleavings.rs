//! Creations, growth, removal, kills and stops in random interleavings, over
//! real directories: the companion of the enumerated model in
//! `tests/segment/directory_model.rs`.
//!
//! Processes that are stopped at a random moment perform their next step too late: a
//! link, an unlink, a lock. In every case all remaining processes end on one live
//! segment, with its lock file and no other file.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use tendmap::internals::segment::{CreateOutcome, create};
use tendmap::map::{Capacity, ClusterMap};
use tendmap::segment::{SegmentState, list, remove};

use crate::setup::Setup;
use crate::worker::Worker;
use tendmap_testkit::{directory, files, node};

pub fn trials() -> Vec<(&'static str, fn())> {
    vec![("h45_random_interleavings_over_real_files_end_in_one_live_segment", random)]
}

const ROUNDS: u64 = 12;
const STEPS: usize = 14;
const PATIENCE: Duration = Duration::from_secs(30);

struct Play {
    setup: Setup,
    random: fastrand::Rng,
    workers: Vec<Worker>,
    /// The number of nodes. More of them outgrow the segment.
    nodes: u16,
    stopped: Vec<usize>,
}

fn random() {
    for seed in 0..ROUNDS {
        let directory = directory();
        let mut setup = Setup::new(directory.path(), vec!["127.0.0.1:1".into()]);
        setup.max_nodes = 2;
        let random = fastrand::Rng::with_seed(seed);
        let mut play = Play { setup, random, workers: Vec::new(), nodes: 5, stopped: Vec::new() };
        (0..3).for_each(|_| play.start());
        for _ in 0..STEPS {
            play.step();
            let pause = play.random.u64(..12);
            std::thread::sleep(Duration::from_millis(pause));
        }
        play.rest(seed);
        for mut worker in play.workers.drain(..) {
            worker.say("close");
            worker.expect("closed");
        }
        assert_eq!(files(&directory), 0, "seed {seed}: the last one out leaves nothing");
    }
}

impl Play {
    /// Starts another process, which connects while the others are busy.
    fn start(&mut self) {
        self.workers.push(Worker::start("switch", &self.setup));
    }

    fn step(&mut self) {
        let pick = self.random.usize(..self.workers.len());
        let place = self.setup.place();
        match self.random.u8(..8) {
            0 if self.workers.len() > 2 => {
                self.stopped.retain(|&stopped| stopped != pick);
                self.stopped
                    .iter_mut()
                    .for_each(|stopped| *stopped -= usize::from(*stopped > pick));
                self.workers.remove(pick).kill();
            }
            0 | 1 => self.start(),
            2 => {
                self.nodes = (self.nodes * 2).min(60);
                let nodes = self.nodes;
                self.workers.iter_mut().for_each(|worker| worker.say(&format!("grow {nodes}")));
            }
            // There may be no segment to remove at this moment.
            3 => drop(remove(&place, true)),
            // Removes a name or a lock without retiring the segment.
            4 => {
                let found = fs::read_dir(&place.directory).unwrap().flatten();
                let paths: Vec<_> = found.map(|entry| entry.path()).collect();
                if let Some(path) = paths.get(pick % paths.len().max(1)) {
                    let _ = fs::remove_file(path);
                }
            }
            5 => self.link_late(),
            _ if self.stopped.contains(&pick) => {}
            _ => {
                self.workers[pick].signal(Signal::SIGSTOP);
                self.stopped.push(pick);
                if self.stopped.len() > 2 {
                    let woken = self.stopped.remove(0);
                    self.workers[woken].signal(Signal::SIGCONT);
                }
            }
        }
    }

    /// Links a segment with a number near the current one, as a creator that was
    /// stopped would do. Its owner ends at once.
    fn link_late(&mut self) {
        let place = self.setup.place();
        let listed = list(&place.directory).unwrap_or_default();
        let newest = listed.iter().map(|found| found.generation).max().unwrap_or(1);
        let generation = (newest + self.random.u64(..3)).saturating_sub(1).max(1);
        if let Ok(CreateOutcome::Owner(mut late)) =
            create(&place, generation, Capacity::DEFAULT, None)
        {
            let mut map = ClusterMap::new(Capacity::DEFAULT);
            map.nodes.insert(node(1)).unwrap();
            let _ = late.publish(&map);
        }
    }

    /// Continues all processes. Then all are in one segment, without stray files.
    fn rest(&mut self, seed: u64) {
        for stopped in self.stopped.drain(..) {
            self.workers[stopped].signal(Signal::SIGCONT);
        }
        // Processes that got no map in time have ended.
        let connected = |worker: &mut Worker| worker.settled();
        self.workers.retain_mut(connected);
        while self.workers.len() < 2 {
            self.start();
            self.workers.last_mut().unwrap().expect("connected");
        }
        let directory = self.setup.directory.clone();
        let workers = &mut self.workers;
        // The segments of the processes and the files, and whether that is one segment.
        let mut standing = || {
            let at: Vec<Option<u64>> = workers.iter_mut().map(Worker::generation).collect();
            let roles: Vec<String> = workers.iter_mut().map(Worker::role).collect();
            let listed: Vec<(u64, SegmentState)> = list(&directory)
                .unwrap()
                .iter()
                .map(|found| (found.generation, found.state))
                .collect();
            let places: BTreeSet<u64> = at.iter().flatten().copied().collect();
            let mut live = listed.iter().filter(|(_, state)| *state == SegmentState::Owned);
            let one = live.next().is_some_and(|(number, _)| places == BTreeSet::from([*number]));
            (one && live.next().is_none(), format!("{at:?} {roles:?} {listed:?}"))
        };
        let mut together = |what: &str| {
            let mut last = String::new();
            let mut look = || {
                let (one, said) = standing();
                last = said;
                one
            };
            let begun = Instant::now();
            while !look() {
                assert!(begun.elapsed() < PATIENCE, "seed {seed}: not {what}: {last}");
                std::thread::sleep(Duration::from_millis(2));
            }
        };
        together("all in one segment");
        // A process that creates a segment removes leftovers of others.
        remove(&self.setup.place(), true).unwrap();
        together("all in its successor");
        let left = || {
            let found = fs::read_dir(&directory).unwrap().flatten();
            found.map(|entry| entry.file_name().into_string().unwrap()).collect::<Vec<_>>()
        };
        let begun = Instant::now();
        while left().len() != 2 {
            assert!(begun.elapsed() < PATIENCE, "seed {seed}: more than a segment: {:?}", left());
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}
