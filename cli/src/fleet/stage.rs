//! Where it takes place: a cluster of its own and a directory of its own.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;

use tendmap::segment::{Backend, Place, list, remove};
use tendmap::sim::{Sim, SimConfig};

use crate::args::Common;
use crate::failure::Failure;

/// What the names of the directories begin with.
const PREFIXES: [&str; 3] = ["tendmap-demo-", "tendmap-soak-", "tendmap-bench-"];

/// The processes that take part.
#[derive(Clone, Copy)]
pub enum Play {
    /// The demo.
    Demo,
    /// The soak.
    Soak,
    /// The bench.
    Bench,
}

/// A directory of its own; it is gone with this.
pub struct Ground {
    /// The segment's place.
    pub place: Place,
}

impl Ground {
    /// Makes the directory.
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
            // A key is the whole host's, as the directory is not.
            place.key = 0x7e00_0000 | fastrand::u32(..0x0100_0000);
        }
        Ok(Ground { place })
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        // What killed workers have left goes with it, under whatever key.
        let directory = &self.place.directory;
        for found in list(directory).unwrap_or_default() {
            let (backend, key) = (found.backend, found.name.key);
            let place = Place { backend, directory: directory.clone(), ..Place::of_key(key) };
            let _ = remove(&place, true);
        }
        let _ = fs::remove_dir_all(&self.place.directory);
    }
}

/// The cluster and the directory; both are gone with it.
pub struct Stage {
    /// The cluster.
    pub sim: Sim,
    /// The segment's place.
    pub place: Place,
    _ground: Ground,
}

impl Stage {
    /// Sets the stage.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn new(common: &Common, play: Play, cluster: SimConfig) -> Result<Stage, Failure> {
        let sim = Sim::start(cluster)?;
        let ground = Ground::new(common, play)?;
        Ok(Stage { sim, place: ground.place.clone(), _ground: ground })
    }
}

/// Whether a directory of that name was made here.
pub fn is_own(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}
