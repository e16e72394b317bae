//! Where it takes place: a cluster of its own and a directory of its own.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;

use tendmap::segment::{Backend, Place, remove};
use tendmap::sim::{Sim, SimConfig};

use crate::args::Common;
use crate::failure::Failure;

/// What the names of the directories begin with.
const PREFIXES: [&str; 2] = ["tendmap-demo-", "tendmap-soak-"];

/// Who plays there.
#[derive(Clone, Copy)]
pub enum Play {
    /// The demo.
    Demo,
    /// The soak.
    Soak,
}

/// The cluster and the directory; both are gone with it.
pub struct Stage {
    /// The cluster.
    pub sim: Sim,
    /// The segment's place.
    pub place: Place,
}

impl Stage {
    /// Sets the stage.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn new(common: &Common, play: Play, cluster: SimConfig) -> Result<Stage, Failure> {
        let sim = Sim::start(cluster)?;
        let (pid, random) = (std::process::id(), fastrand::u32(..));
        let prefix = PREFIXES[play as usize];
        let directory = common.directory.join(format!("{prefix}{pid}-{random:08x}"));
        DirBuilder::new().mode(0o700).create(&directory).map_err(|error| {
            Failure::Failed(format!("can't make the directory {}: {error}", directory.display()))
        })?;
        let mut place = Place { directory, ..common.place() };
        if place.backend == Backend::SystemV && common.shm_key.is_none() {
            // A key is the whole host's, as the directory is not.
            place.key = 0x7e00_0000 | fastrand::u32(..0x0100_0000);
        }
        Ok(Stage { sim, place })
    }
}

/// Whether a directory of that name was made here.
pub fn is_own(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What killed workers have left goes with it.
        let _ = remove(&self.place, true);
        let _ = fs::remove_dir_all(&self.place.directory);
    }
}
