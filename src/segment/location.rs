//! Where a segment is, in terms that an operator can use.

use core::fmt;
use std::path::{Path, PathBuf};

use crate::text::Printable;

/// The location of a segment, or of a file that belongs to one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// A file.
    File(PathBuf),
    /// A System V segment, as `ipcs -m` lists it.
    SystemV {
        /// Its key.
        key: u32,
        /// Its id (`shmid`).
        id: i32,
    },
}

impl Location {
    /// The path of a file.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match self {
            Location::File(path) => Some(path),
            Location::SystemV { .. } => None,
        }
    }

    /// The id of a System V segment.
    #[must_use]
    pub fn shm_id(&self) -> Option<i32> {
        match self {
            Location::File(_) => None,
            Location::SystemV { id, .. } => Some(*id),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::File(path) => Printable(path.display()).fmt(f),
            Location::SystemV { key, id } => write!(f, "System V segment {key:#010x} (id {id})"),
        }
    }
}

impl<P: Into<PathBuf>> From<P> for Location {
    fn from(path: P) -> Location {
        Location::File(path.into())
    }
}
