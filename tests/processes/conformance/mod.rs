//! Tests that every mode must pass: files, System V shared memory, and private memory
//! in tests of one process. The name of each trial contains the mode.

mod alone;
mod environment;
mod host_program;
mod inherited;
mod planted;
mod together;
mod trust;

use libtest_mimic::{Failed, Trial};
use tempfile::TempDir;
use tendmap::client::{Client, Config, Reader};
use tendmap::internals::layout::{Shm, WriteMapping, shm_create, shm_find, shm_remove};
use tendmap::internals::segment::{CreateOutcome, Segment, create};
use tendmap::segment::{Backend, Place, list, remove};

use crate::setup::Setup;
use crate::worker::Worker;
use tendmap_testkit::{Cluster, directory, files};

/// Where the map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    Shared(Backend),
    Private,
}

impl Mode {
    const ALL: [Mode; 3] =
        [Mode::Shared(Backend::File), Mode::Shared(Backend::SystemV), Mode::Private];

    fn name(self) -> &'static str {
        match self {
            Mode::Shared(backend) => backend.as_str(),
            Mode::Private => "private",
        }
    }
}

pub type Test = (&'static str, fn(&Host));

pub fn trials() -> Vec<Trial> {
    let trial = |(mode, (name, test)): (Mode, Test)| {
        let own_process = forks(name);
        let name = format!("{}_{name}", mode.name());
        Trial::test(name.clone(), move || -> Result<(), Failed> {
            match unavailable(mode) {
                Some(why) => tendmap_testkit::skipped(&format!("{name}: {why}")),
                None if own_process => Worker::run_trial(&name),
                None => test(&Host::new(mode)),
            }
            Ok(())
        })
    };
    all().into_iter().map(trial).collect()
}

/// Whether a test forks, or changes its process in another way.
fn forks(name: &str) -> bool {
    let of_its_own = [inherited::tests(), host_program::tests(), environment::tests()].concat();
    alone::forks(name) || of_its_own.iter().any(|&(forking, _)| forking == name)
}

fn all() -> Vec<(Mode, Test)> {
    let mut all = Vec::new();
    for mode in Mode::ALL {
        let mut tests =
            [alone::tests(), inherited::tests(), host_program::tests(), environment::tests()]
                .concat();
        if mode != Mode::Private {
            tests.extend(together::tests());
            tests.extend(trust::tests());
            tests.extend(planted::tests());
        }
        all.extend(tests.into_iter().map(|test| (mode, test)));
    }
    all
}

/// Runs one trial in this process.
pub fn run(name: &str) {
    let named = |(mode, (test, _)): &(Mode, Test)| format!("{}_{test}", mode.name()) == name;
    let (mode, (_, test)) = all().into_iter().find(named).expect("a trial of that name");
    test(&Host::new(mode));
}

/// Why this machine has no such memory.
pub fn unavailable(mode: Mode) -> Option<String> {
    if mode != Mode::Shared(Backend::SystemV) {
        return None;
    }
    match shm_create(unused_key(), 4096, 0o600) {
        Ok(id) => {
            shm_remove(id).unwrap();
            None
        }
        Err(error) => Some(format!("no System V shared memory here: {error}")),
    }
}

/// A key that neither another test nor another program on the host uses.
pub fn unused_key() -> u32 {
    use std::hash::{BuildHasher, Hasher, RandomState};
    loop {
        let random = RandomState::new().build_hasher().finish() as u32;
        let key = 0x7d00_0000 | (random & 0x00ff_ffff);
        if !matches!(shm_find(key), Ok(Some(_))) {
            return key;
        }
    }
}

/// A directory and a key for one test. Dropping it removes all leftovers, also after a
/// failed test.
pub struct Host {
    pub mode: Mode,
    pub setup: Setup,
    pub directory: TempDir,
}

impl Host {
    pub fn new(mode: Mode) -> Host {
        let directory = directory();
        let mut setup = Setup::new(directory.path(), vec!["127.0.0.1:1".into()]);
        setup.key = unused_key();
        if let Mode::Shared(backend) = mode {
            setup.backend = backend;
        }
        Host { mode, setup, directory }
    }

    pub fn place(&self) -> Place {
        self.setup.place()
    }

    pub fn config(&self) -> Config {
        let mut config = self.setup.config();
        config.use_shm = self.mode != Mode::Private;
        config
    }

    pub fn client(&self, cluster: &Cluster) -> Client {
        Client::connect_with(self.config(), cluster.source()).unwrap()
    }

    pub fn worker(&self) -> Worker {
        let worker = Worker::start("switch", &self.setup);
        worker.expect("connected");
        worker
    }

    pub fn reader(&self) -> Reader {
        Reader::attach(&self.place()).unwrap()
    }

    /// Creates a segment without an owner or attached processes, with its lock file, as
    /// after a crash.
    pub fn orphan(&self) {
        let capacity = self.config().capacity();
        match create(&self.place(), 1, capacity, None).unwrap() {
            CreateOutcome::Owner(ownership) => drop(ownership),
            CreateOutcome::Exists => panic!("there was one"),
        }
    }

    /// Removes the name of the segment, as an operator without tendmap would do.
    pub fn take_name(&self, segment: &Segment) {
        match segment.location().unwrap().shm_id() {
            Some(_) => shm_remove(shm_find(self.setup.key).unwrap().unwrap()).unwrap(),
            None => std::fs::remove_file(segment.path().unwrap()).unwrap(),
        }
    }

    /// Changes a word of the segment, as any process that may write it can do.
    pub fn spoil(&self, segment: &Segment, word: usize) {
        let geometry = *segment.geometry();
        let memory = match (segment.path(), segment.location().unwrap().shm_id()) {
            (_, Some(id)) => WriteMapping::of_shm(Shm::attach(id, true).unwrap(), geometry),
            (path, _) => {
                let mut options = std::fs::File::options();
                let file = options.read(true).write(true).open(path.unwrap()).unwrap();
                WriteMapping::of_file(&file, geometry)
            }
        };
        memory.unwrap().words()[word].fetch_xor(0xff00, std::sync::atomic::Ordering::Relaxed);
    }

    /// Checks that neither a segment nor a lock file is left.
    #[track_caller]
    pub fn assert_clean(&self) {
        assert_eq!(files(&self.directory), 0, "{:?}", list(self.directory.path()));
        assert_eq!(shm_find(self.setup.key).unwrap(), None);
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if self.mode == Mode::Private {
            return;
        }
        let _ = remove(&self.place(), true);
        if let Ok(Some(id)) = shm_find(self.setup.key) {
            let _ = shm_remove(id);
        }
    }
}
