//! The flags that every command has.

use std::path::PathBuf;

use tendmap::segment::{Backend, Place, parse_key};

use crate::log;

/// Which segment, and how to answer.
#[derive(clap::Args, Clone, Debug)]
pub struct Common {
    /// Key of the segment, decimal or 0x… [default: 0xa7000000].
    #[arg(long, global = true, value_name = "KEY", value_parser = key)]
    pub shm_key: Option<u32>,
    /// The kind of shared memory that the segment is in: file, or sysv (as
    /// `ipcs -m` lists it).
    #[arg(long, global = true, value_name = "KIND", default_value_t = Backend::File)]
    pub shm_backend: Backend,
    /// Directory of the segments, and of the lock files of those in sysv.
    #[arg(long, global = true, value_name = "DIR", default_value = Place::DIRECTORY)]
    pub shm_directory: PathBuf,
    /// A user beside yourself and root whose segments are trusted.
    #[arg(long, global = true, value_name = "UID")]
    pub shm_owner: Option<u32>,
    /// A configuration file, TOML: its keys are the flags without their dashes.
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// What of the library's log goes to standard error: error, warn, info,
    /// debug, trace, or such a level for each part of it.
    #[arg(long, global = true, value_name = "LEVEL", value_parser = log::parse)]
    pub log: Option<String>,
    /// Answer with one JSON object on one line.
    #[arg(long, global = true)]
    pub json: bool,
}

impl Common {
    /// The key, the default one if none was given.
    pub fn key(&self) -> u32 {
        self.shm_key.unwrap_or(Place::KEY)
    }

    /// Where the segment is.
    pub fn place(&self) -> Place {
        Place {
            backend: self.shm_backend,
            directory: self.shm_directory.clone(),
            owner: self.shm_owner,
            ..Place::of_key(self.key())
        }
    }
}

fn key(text: &str) -> Result<u32, String> {
    parse_key(text).map_err(|error| error.to_string())
}
