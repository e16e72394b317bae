//! A temporary cluster and a temporary directory for segments.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;

use tendmap::segment::{Backend, Place, list, remove};
use tendmap::sim::{Sim, SimConfig};

use crate::args::Common;
use crate::failure::Failure;

/// The prefixes of the directories' names.
const PREFIXES: [&str; 3] = ["tendmap-demo-", "tendmap-soak-", "tendmap-bench-"];

/// The command that runs.
#[derive(Clone, Copy)]
pub enum Play {
    /// The demo.
    Demo,
    /// The soak.
    Soak,
    /// The bench.
    Bench,
}

/// A temporary directory, which is removed when this is dropped.
pub struct Ground {
    /// The segment's place.
    pub place: Place,
}

impl Ground {
    /// Creates the directory.
    ///
    /// # Errors
    /// [`Failure::Failed`] if it can't be made.
    pub fn new(common: &Common, play: Play) -> Result<Ground, Failure> {
        let (pid, random) = (std::process::id(), fastrand::u32(..));
        let prefix = PREFIXES[play as usize];
        let directory = common.place().directory.join(format!("{prefix}{pid}-{random:08x}"));
        DirBuilder::new().mode(0o700).create(&directory).map_err(|error| {
            Failure::Failed(format!("can't make the directory {}: {error}", directory.display()))
        })?;
        let mut place = Place { directory, ..common.place() };
        if place.backend == Backend::SystemV && common.given_key().is_none() {
            // Unlike the directory, a System V key is shared by the whole host.
            place.key = 0x7e00_0000 | fastrand::u32(..0x0100_0000);
        }
        Ok(Ground { place })
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // Everything that killed workers have left is removed with it, whatever
        // the key.
        let directory = &self.place.directory;
        for found in list(directory).unwrap_or_default() {
            let (backend, key) = (found.backend, found.key);
            let place = Place { backend, directory: directory.clone(), ..Place::of_key(key) };
            let _ = remove(&place, true);
        }
        let _ = fs::remove_dir_all(&self.place.directory);
    }
}

/// The cluster and the directory, which are removed when this is dropped.
pub struct Stage {
    /// The cluster.
    pub sim: Sim,
    /// The segment's place.
    pub place: Place,
    _ground: Ground,
}

impl Stage {
    /// Starts the cluster and creates the directory.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn new(common: &Common, play: Play, cluster: SimConfig) -> Result<Stage, Failure> {
        let sim = Sim::start(cluster)?;
        let ground = Ground::new(common, play)?;
        Ok(Stage { sim, place: ground.place.clone(), _ground: ground })
    }
}

/// Whether a directory with this name was created here.
pub fn is_own(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
