//! Where the demo takes place: a cluster of its own and a directory of its
//! own.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt;
use std::time::Duration;

use tendmap::segment::Place;
use tendmap::sim::{Sim, SimConfig, Timings};

use crate::args::Common;
use crate::failure::Failure;

/// What the names of the demo's directories begin with.
const PREFIX: &str = "tendmap-demo-";
/// The nodes at the beginning.
const NODES: usize = 4;

/// The cluster and the directory; both are gone with it.
pub struct Stage {
    /// The cluster.
    pub sim: Sim,
    /// The segment's place.
    pub place: Place,
}

impl Stage {
    /// Sets the stage. A short demo has a faster cluster.
    ///
    /// # Errors
    /// [`Failure`].
    pub fn new(common: &Common, length: Duration) -> Result<Stage, Failure> {
        let mut config = SimConfig::new(NODES);
        config.cluster_name = Some("tendmap-demo".into());
        config.timings = timings((length.as_secs_f64() / 20.0).min(1.0));
        let sim = Sim::start(config)?;
        let (pid, random) = (std::process::id(), fastrand::u32(..));
        let directory = common.directory.join(format!("{PREFIX}{pid}-{random:08x}"));
        DirBuilder::new().mode(0o700).create(&directory).map_err(|error| {
            Failure::Failed(format!("can't make the directory {}: {error}", directory.display()))
        })?;
        Ok(Stage { sim, place: Place { directory, ..common.place() } })
    }
}

/// Whether a directory of that name was made by a demo.
pub fn is_own(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with(PREFIX)
}

/// Those of a real cluster, times `factor`.
fn timings(factor: f64) -> Timings {
    let mut timings = Timings::real();
    let Timings { notice, spread, stop_notice, join, stale_address, thaw, migration, .. } =
        &mut timings;
    let (first, last) = (notice, join);
    for time in [
        &mut first.0,
        &mut first.1,
        &mut last.0,
        &mut last.1,
        spread,
        stop_notice,
        stale_address,
        thaw,
        migration,
    ] {
        *time = time.mul_f64(factor);
    }
    timings
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What killed workers have left goes with it.
        let _ = fs::remove_dir_all(&self.place.directory);
    }
}
