//! The flags that every command has.

use std::path::PathBuf;

use rustix::process::geteuid;
use tendmap::client::Reader;
use tendmap::segment::{Backend, Place, SegmentError, parse_key, parse_users};

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
    /// Users beside yourself and root whose segments are trusted, by name or
    /// number, separated by commas; may be given several times.
    #[arg(long, global = true, value_name = "USERS", value_parser = users)]
    pub shm_owner: Vec<Users>,
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

    /// A reader for those who only look. Root may look at any user's segment,
    /// if there is none that it trusts; that it trusts nobody else when it tends
    /// is as it was.
    ///
    /// # Errors
    /// [`SegmentError`].
    pub fn look(&self) -> Result<Reader, SegmentError> {
        let mut place = self.place();
        loop {
            match Reader::attach(&place) {
                Err(SegmentError::Owner { found, .. })
                    if geteuid().is_root() && !place.owners.contains(&found) =>
                {
                    place.owners.push(found);
                }
                other => return other,
            }
        }
    }

    /// The users that are trusted beside oneself and root.
    pub fn owners(&self) -> Vec<u32> {
        self.shm_owner.iter().flat_map(|users| users.0.iter().copied()).collect()
    }

    /// Where the segment is.
    pub fn place(&self) -> Place {
        Place {
            backend: self.shm_backend,
            directory: self.shm_directory.clone(),
            owners: self.owners(),
            ..Place::of_key(self.key())
        }
    }
}

/// What one flag, variable or value of a list names.
#[derive(Clone, Debug)]
pub struct Users(Vec<u32>);

fn users(text: &str) -> Result<Users, String> {
    parse_users(text).map(Users).map_err(|error| error.to_string())
}

fn key(text: &str) -> Result<u32, String> {
    parse_key(text).map_err(|error| error.to_string())
}
