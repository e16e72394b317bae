//! What can be wrong with a segment.

use std::io;
use std::path::PathBuf;

use crate::layout::{CapacityError, GeometryError, HeaderError};

/// Why a segment can't be made, attached or removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// No segment of that key.
    #[error(
        "no segment of key {key:#010x} in {directory}; start a process that connects with this key, or see `tendmap ls`"
    )]
    NotFound {
        /// The key.
        key: u32,
        /// Where it was looked for.
        directory: PathBuf,
    },
    /// Only segments of other layout versions.
    #[error(
        "key {key:#010x} has a segment of layout version {found}, wanted {wanted}; use a tendmap of that layout, or let all processes move to this one"
    )]
    OtherVersion {
        /// The key.
        key: u32,
        /// The version that is there.
        found: u32,
        /// The version that this build has.
        wanted: u32,
    },
    /// The file is a link, a directory, a device …
    #[error("{path} is {found}, wanted a regular file; somebody put it there: remove it")]
    Kind {
        /// The file.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// Somebody else's file.
    #[error(
        "{path} belongs to user {found}, wanted one of {wanted:?}; if that user is to be trusted, configure it as shm_owner, else remove the file"
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: u32,
        /// Whose it may be.
        wanted: Vec<u32>,
    },
    /// A file that anybody may write.
    #[error(
        "{path} has mode {found:04o}, which lets every user write it; wanted a mode without 0002: remove the file, or `chmod o-w` it if you trust what it holds"
    )]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its mode.
        found: u32,
    },
    /// Not a segment of this layout, cut short, or damaged.
    #[error("{path}: {source}; remove it with `tendmap rm --force` if nothing needs it")]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: HeaderError,
    },
    /// The header is another segment's.
    #[error(
        "{path} holds the segment of {what} {found:#x}, wanted {wanted:#x}; it was renamed or copied: remove it"
    )]
    Misnamed {
        /// The file.
        path: PathBuf,
        /// Key or generation.
        what: &'static str,
        /// The header's.
        found: u64,
        /// The name's.
        wanted: u64,
    },
    /// No room in the directory's file system.
    #[error(
        "no room for a segment of {wanted} bytes in {directory}; {free} bytes are free: remove what is not needed (`tendmap ls`), grow the file system, or ask for less (shm_max_nodes, shm_max_namespaces, shm_max_replicas)"
    )]
    NoSpace {
        /// The directory.
        directory: PathBuf,
        /// Bytes that are needed.
        wanted: u64,
        /// Bytes that are there.
        free: u64,
    },
    /// A capacity out of its range.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
    /// Capacities that can't be addressed.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// Processes are attached.
    #[error(
        "{path} is in use by {attached} processes; end them first, or use --force: they will start over in a new segment"
    )]
    InUse {
        /// The segment.
        path: PathBuf,
        /// How many are attached.
        attached: usize,
    },
    /// The system refused something.
    #[error("can't {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl SegmentError {
    /// Turns what the system said into an error about `path`.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> SegmentError {
        let path = path.into();
        move |source| SegmentError::Io { action, path, source }
    }

    /// Whether the file is simply not there.
    pub(crate) fn is_absent(&self) -> bool {
        match self {
            SegmentError::NotFound { .. } => true,
            SegmentError::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }
}
