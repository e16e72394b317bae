//! Errors about segments.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::statvfs;
use rustix::io::Errno;

use super::backend::Backend;
use super::location::Location;
use super::name::Place;
use crate::explain::explain;
use crate::layout::{Capacity, CapacityError, Geometry, GeometryError, HeaderError};
use crate::text::Printable;

/// Why the group may not write a segment's file unless that is requested.
pub(crate) const GROUP_WRITE_RISK: &str =
    "every member can truncate the file, which kills all attached processes with SIGBUS";
/// What to do about it.
pub(crate) const GROUP_WRITE_ADVICE: &str = "use a mode without 0020 (such as 0640), or shm_backend sysv, whose segments can't be truncated, or allow it with shm_allow_group_write";

/// Why a segment can't be created, attached or removed.
///
/// The text says what was found, what was wanted and what to do.
///
/// ```
/// use tendmap::segment::{Place, SegmentError};
/// use tendmap::Reader;
///
/// # let directory = tempfile::tempdir()?;
/// let place = Place::of_key(0xA700_0001);
/// # let place = Place { directory: directory.path().into(), ..place };
/// let error = Reader::attach(&place).unwrap_err();
/// assert!(matches!(error, SegmentError::NotFound { key: 0xA700_0001, .. }));
/// assert!(error.to_string().starts_with("no segment of key 0xa7000001 in "));
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// There is no segment of that key.
    #[error(
        "no segment of key {key:#010x} in {}; start a process that connects with this key",
        Printable(.directory.display())
    )]
    NotFound {
        /// The key.
        key: u32,
        /// The directory that was searched.
        directory: PathBuf,
    },
    /// There are only segments of other layout versions.
    #[error(
        "key {key:#010x} has a segment of layout version {found}, wanted {wanted}; use a tendmap of that layout, or let all processes move to this one"
    )]
    OtherVersion {
        /// The key.
        key: u32,
        /// The version that was found.
        found: u32,
        /// The version of this build.
        wanted: u32,
    },
    /// The file is not a regular file, but a link, a directory, a device, …
    #[error("{at} is {found}, wanted a regular file; somebody put it there: remove it")]
    Kind {
        /// The file.
        at: Location,
        /// The kind of file.
        found: &'static str,
    },
    /// The file belongs to an untrusted user.
    #[error(
        "{at} belongs to user {found}, wanted {}; if you trust that user, add it to shm_owner; otherwise use another shm_key or shm_directory",
        one_of(.wanted)
    )]
    Owner {
        /// The file.
        at: Location,
        /// The user that it belongs to.
        found: u32,
        /// The trusted users.
        wanted: Vec<u32>,
    },
    /// A file that is not the lock file has its name.
    #[error(
        "{at} should be a lock file of user {}, but it belongs to user {found}; it is not used, and the segment gets a successor with another lock file",
        one_of(.wanted)
    )]
    LockFile {
        /// The lock file.
        at: Location,
        /// The user that the other file belongs to.
        found: u32,
        /// The trusted users.
        wanted: Vec<u32>,
    },
    /// A System V segment belongs to an untrusted user, or was created by one.
    #[error(
        "{at} belongs to user {owner} and was created by user {creator}, which can still change it; wanted {} for both: if you trust these users, add them to shm_owner; otherwise use another shm_key",
        one_of(.wanted)
    )]
    Maker {
        /// The segment.
        at: Location,
        /// The user that it belongs to.
        owner: u32,
        /// The user that created it.
        creator: u32,
        /// The trusted users.
        wanted: Vec<u32>,
    },
    /// Every user may write the file.
    #[error(
        "{at} has mode {found:04o}, which lets every user write it; wanted a mode without 0002: `chmod o-w` it if you trust its content; otherwise use another shm_key or shm_directory"
    )]
    Mode {
        /// The file.
        at: Location,
        /// The mode of the file.
        found: u32,
    },
    /// The group may write the file.
    #[error(
        "{at} has mode {found:04o}, which lets its group write it: {GROUP_WRITE_RISK}; {GROUP_WRITE_ADVICE}"
    )]
    GroupWrite {
        /// The file.
        at: Location,
        /// The mode of the file.
        found: u32,
    },
    /// The file is not a segment of this layout, is truncated, or is damaged.
    #[error("{at}: {error}; remove it if nothing needs it")]
    Header {
        /// The file.
        at: Location,
        /// What is wrong with it.
        error: HeaderError,
    },
    /// The header is of a segment of another key.
    #[error(
        "{at} holds the segment of key {found:#x}, wanted {wanted:#x}; it was renamed or copied: remove it"
    )]
    OtherKey {
        /// The segment.
        at: Location,
        /// The key in the header.
        found: u32,
        /// The key in the name.
        wanted: u32,
    },
    /// The header is of another generation of the key.
    #[error("{at} holds generation {found}, wanted {wanted}; it was renamed or copied: remove it")]
    OtherGeneration {
        /// The file.
        at: Location,
        /// The generation in the header.
        found: u64,
        /// The generation in the name.
        wanted: u64,
    },
    /// There is not enough room in the directory's file system.
    #[error(
        "no room for a segment of {wanted} bytes in {}; {free} bytes are free: remove what is not needed, grow the file system, or ask for less (shm_max_nodes, shm_max_namespaces, shm_max_replicas)",
        Printable(.directory.display())
    )]
    NoSpace {
        /// The directory.
        directory: PathBuf,
        /// The number of bytes needed.
        wanted: u64,
        /// The number of bytes available.
        free: u64,
    },
    /// The directory's file system has no room for another file.
    #[error(
        "no room for another file in {}: its file system has no inode left (`df -i`); remove what is not needed, or allow more (for tmpfs the mount option nr_inodes)",
        Printable(.directory.display())
    )]
    NoInode {
        /// The directory.
        directory: PathBuf,
    },
    /// The process's limit on the length of files is too low.
    #[error(
        "no segment of {wanted} bytes in {}: this process may create files of at most {found} bytes (RLIMIT_FSIZE); raise the limit (`ulimit -f`), or use shm_backend sysv, which it does not apply to",
        Printable(.directory.display())
    )]
    FileLimit {
        /// The directory.
        directory: PathBuf,
        /// The number of bytes needed.
        wanted: u64,
        /// The limit in bytes.
        found: u64,
    },
    /// Segments of the key are removed as soon as they are created.
    #[error(
        "key {key:#010x}: {attempts} segments in a row disappeared right after they were created; something removes them (another program that uses the key, or a job that cleans up shared memory): find it, or choose another shm_key"
    )]
    Vanishes {
        /// The key.
        key: u32,
        /// The number of attempts.
        attempts: u32,
    },
    /// The directory does not exist, or can't be used.
    #[error(
        "can't use shm_directory {}: {}{}",
        Printable(.directory.display()),
        explain(error),
        unusable(error)
    )]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// The error of the system call.
        error: Arc<io::Error>,
    },
    /// A kernel limit on System V shared memory is too low.
    #[error(
        "no room for a System V segment of {wanted} bytes: {limit} is {found}, of which {used} are used; raise it (`sysctl {limit}=…`), remove what is not needed (`ipcs -m`), ask for less (shm_max_nodes, shm_max_namespaces, shm_max_replicas), or use files (shm_backend)"
    )]
    Limit {
        /// The number of bytes needed.
        wanted: u64,
        /// The limit's name in `sysctl`: `kernel.shmmax` limits the bytes of a
        /// segment, `kernel.shmmni` the number of segments, `kernel.shmall` the
        /// number of pages.
        limit: &'static str,
        /// The value of the limit.
        found: u64,
        /// How much of it is in use.
        used: u64,
    },
    /// A System V segment has no magic yet.
    #[error(
        "{at} is incomplete: its creator is still at work, or has died; try again, or remove it"
    )]
    HalfMade {
        /// The segment.
        at: Location,
    },
    /// The System V segment of the key belongs to another program.
    #[error(
        "{at} belongs to another program ({bytes} bytes of user {owner}); choose another shm_key, or remove it with `ipcrm -m` if nothing needs it"
    )]
    Foreign {
        /// The segment.
        at: Location,
        /// The size of the segment in bytes.
        bytes: u64,
        /// The user that it belongs to.
        owner: u32,
    },
    /// The segment's lock files are in another directory.
    #[error(
        "{at} has its lock files in another directory than {}; configure the same shm_directory for all processes of this key",
        Printable(.directory.display())
    )]
    OtherDirectory {
        /// The segment.
        at: Location,
        /// The configured directory.
        directory: PathBuf,
    },
    /// A System V segment belongs to another user, so its key can't be assigned
    /// to a larger one.
    #[error(
        "{at} belongs to user {user}, and only that user or root can replace it with a larger segment; let a process of that user own it, or use files (shm_backend)"
    )]
    KeyOfAnother {
        /// The segment.
        at: Location,
        /// The user that it belongs to.
        user: u32,
    },
    /// The key is in use in the other backend.
    #[error(
        "key {key:#010x} has its segment in {found} memory, wanted {wanted}; configure the same shm_backend for all processes of this key, or close those that use the other"
    )]
    OtherBackend {
        /// The key.
        key: u32,
        /// The backend that the key is in.
        found: Backend,
        /// The configured backend.
        wanted: Backend,
    },
    /// The key is `IPC_PRIVATE`, which names no System V segment.
    #[error("shm_key 0 names no System V segment (IPC_PRIVATE); choose another key")]
    NoKey,
    /// A capacity is out of range.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
    /// Capacities that can't be addressed.
    #[error("{}", GeometryError(*.capacity))]
    TooLarge {
        /// The capacities.
        capacity: Capacity,
    },
    /// Processes are attached to the segment.
    #[error("{at} {}: a new segment is created then", used(*attached))]
    InUse {
        /// The segment.
        at: Location,
        /// The number of attached processes; 0 = unknown.
        attached: usize,
    },
    /// A system call failed.
    #[error("can't {action} {at}: {}", explain(error))]
    Io {
        /// The action that failed.
        action: &'static str,
        /// The file or segment.
        at: Location,
        /// The error of the system call.
        error: Arc<io::Error>,
    },
}

impl From<GeometryError> for SegmentError {
    fn from(error: GeometryError) -> SegmentError {
        SegmentError::TooLarge { capacity: error.0 }
    }
}

/// What is known of the processes that use a segment, and what to do.
fn used(attached: usize) -> String {
    match attached {
        0 => "may be in use, because its processes can't be counted; make sure that there are \
              none, and remove it by force"
            .to_owned(),
        1 => "is in use by 1 process; end it first, or remove it by force".to_owned(),
        _ => format!("is in use by {attached} processes; end them first, or remove it by force"),
    }
}

/// What to do about a directory that can't be used, if the error does not say it.
fn unusable(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; create it, or configure another",
        io::ErrorKind::NotADirectory => "; configure a directory",
        io::ErrorKind::PermissionDenied => "; permit this user to use it, or configure another",
        _ => "",
    }
}

impl SegmentError {
    /// The directory of a place has no room for a segment of this geometry.
    pub(super) fn no_space(place: &Place, geometry: &Geometry) -> SegmentError {
        let free = statvfs(&place.directory).map_or(0, |found| found.f_bavail * found.f_frsize);
        let (directory, wanted) = (place.directory.clone(), geometry.total_bytes() as u64);
        SegmentError::NoSpace { directory, wanted, free }
    }

    /// Converts the error of a call that creates a file in the directory of a
    /// place.
    pub(super) fn no_file<'a>(
        action: &'static str,
        at: impl Into<Location>,
        place: &'a Place,
        geometry: &'a Geometry,
    ) -> impl FnOnce(io::Error) -> SegmentError + 'a {
        let at = at.into();
        move |error| {
            if Errno::from_io_error(&error) != Some(Errno::NOSPC) {
                return SegmentError::io(action, at)(error);
            }
            // File systems without a fixed number of inodes report 0 of 0.
            let inodes = statvfs(&place.directory).map(|found| (found.f_files, found.f_favail));
            match inodes {
                Ok((1.., 0)) => SegmentError::NoInode { directory: place.directory.clone() },
                _ => SegmentError::no_space(place, geometry),
            }
        }
    }

    /// Converts the error of a system call.
    pub(crate) fn io(
        action: &'static str,
        at: impl Into<Location>,
    ) -> impl FnOnce(io::Error) -> SegmentError {
        let at = at.into();
        move |error| SegmentError::Io { action, at, error: error.into() }
    }

    /// Whether this process lacks a permission.
    #[cfg(feature = "tend")]
    pub(crate) fn is_barred(&self) -> bool {
        let barred = [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem];
        matches!(self, SegmentError::Io { error, .. } if barred.contains(&error.kind()))
    }

    /// Whether this process may not read the segment.
    pub(crate) fn is_refused(&self) -> bool {
        match self {
            SegmentError::Io { error, .. } | SegmentError::Directory { error, .. } => {
                error.kind() == io::ErrorKind::PermissionDenied
            }
            _ => false,
        }
    }

    /// Whether the segment is of an untrusted user.
    pub(crate) fn is_strange(&self) -> bool {
        matches!(self, SegmentError::Owner { .. } | SegmentError::Maker { .. })
    }

    /// Whether the segment does not exist.
    pub(crate) fn is_absent(&self) -> bool {
        match self {
            // A half-created segment counts as absent.
            SegmentError::NotFound { .. } | SegmentError::HalfMade { .. } => true,
            SegmentError::Io { error, .. } => error.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }
}

/// The users, as text.
fn one_of(users: &[u32]) -> String {
    let users: Vec<String> = users.iter().map(ToString::to_string).collect();
    match users.len() {
        1 => users.concat(),
        _ => format!("one of {}", users.join(", ")),
    }
}
