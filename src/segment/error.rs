//! What can be wrong with a segment.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::backend::Backend;
use super::explain::explain;
use super::location::Location;
use crate::layout::{CapacityError, GeometryError, HeaderError};
use crate::text::Printable;

/// Why the group may not write a segment's file unless that is asked for.
pub(crate) const GROUP_WRITE_RISK: &str =
    "every member can truncate the file, which kills all attached processes with SIGBUS";
/// What to do about it.
pub(crate) const GROUP_WRITE_ADVICE: &str = "use a mode without 0020 (such as 0640), or shm_backend sysv, whose segments can't be truncated, or allow it with shm_allow_group_write";

/// Why a segment can't be made, attached or removed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SegmentError {
    /// No segment of that key.
    #[error(
        "no segment of key {key:#010x} in {}; start a process that connects with this key, or see `tendmap ls`",
        Printable(.directory.display())
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
    #[error("{at} is {found}, wanted a regular file; somebody put it there: remove it")]
    Kind {
        /// The file.
        at: Location,
        /// What it is.
        found: &'static str,
    },
    /// Somebody else's file.
    #[error(
        "{at} belongs to user {found}, wanted {}; if you trust that user, add it to shm_owner; otherwise use another shm_key or shm_directory",
        one_of(.wanted)
    )]
    Owner {
        /// The file.
        at: Location,
        /// Whose it is.
        found: u32,
        /// Whose it may be.
        wanted: Vec<u32>,
    },
    /// Something that is no lock file has the name of one.
    #[error(
        "{at} should be a lock file of user {}, but it belongs to user {found}; it is not used, and the segment gets a successor with another lock file",
        one_of(.wanted)
    )]
    LockFile {
        /// The lock file.
        at: Location,
        /// Whose the other one is.
        found: u32,
        /// Whose it may be.
        wanted: Vec<u32>,
    },
    /// A System V segment of somebody else, or that somebody else has made.
    #[error(
        "{at} belongs to user {owner} and was made by user {creator}, who can still change it; wanted {} for both: if you trust these users, add them to shm_owner; otherwise use another shm_key",
        one_of(.wanted)
    )]
    Maker {
        /// The segment.
        at: Location,
        /// Whose it is.
        owner: u32,
        /// Who has made it.
        creator: u32,
        /// Whose it may be.
        wanted: Vec<u32>,
    },
    /// A file that anybody may write.
    #[error(
        "{at} has mode {found:04o}, which lets every user write it; wanted a mode without 0002: `chmod o-w` it if you trust its content; otherwise use another shm_key or shm_directory"
    )]
    Mode {
        /// The file.
        at: Location,
        /// Its mode.
        found: u32,
    },
    /// A file that its group may write.
    #[error(
        "{at} has mode {found:04o}, which lets its group write it: {GROUP_WRITE_RISK}; {GROUP_WRITE_ADVICE}"
    )]
    GroupWrite {
        /// The file.
        at: Location,
        /// Its mode.
        found: u32,
    },
    /// Not a segment of this layout, cut short, or damaged.
    #[error("{at}: {source}; remove it with `tendmap rm --force` if nothing needs it")]
    Header {
        /// The file.
        at: Location,
        /// What is wrong.
        source: HeaderError,
    },
    /// The header is another segment's.
    #[error(
        "{at} holds the segment of {what} {found:#x}, wanted {wanted:#x}; it was renamed or copied: remove it"
    )]
    Misnamed {
        /// The file.
        at: Location,
        /// Key or generation.
        what: &'static str,
        /// The header's.
        found: u64,
        /// The name's.
        wanted: u64,
    },
    /// No room in the directory's file system.
    #[error(
        "no room for a segment of {wanted} bytes in {}; {free} bytes are free: remove what is not needed (`tendmap ls`), grow the file system, or ask for less (shm_max_nodes, shm_max_namespaces, shm_max_replicas)",
        Printable(.directory.display())
    )]
    NoSpace {
        /// The directory.
        directory: PathBuf,
        /// Bytes that are needed.
        wanted: u64,
        /// Bytes that are there.
        free: u64,
    },
    /// A limit of this process on the length of files.
    #[error(
        "no segment of {wanted} bytes in {directory}: this process may create files of at most {found} bytes (RLIMIT_FSIZE); raise the limit (`ulimit -f`), or use shm_backend sysv, which it does not apply to"
    )]
    FileLimit {
        /// The directory.
        directory: PathBuf,
        /// Bytes that are needed.
        wanted: u64,
        /// The limit.
        found: u64,
    },
    /// Segments of the key come and go.
    #[error(
        "key {key:#010x}: {attempts} segments in a row disappeared right after they were created; something removes them (another program that uses the key, or a job that cleans up shared memory): find it, or choose another shm_key"
    )]
    Vanishes {
        /// The key.
        key: u32,
        /// How many were tried.
        attempts: u32,
    },
    /// The directory is not there, or can't be used.
    #[error(
        "can't use shm_directory {directory}: {}; create it, or configure another",
        explain(source)
    )]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// A limit of the kernel on System V shared memory.
    #[error(
        "no room for a System V segment of {wanted} bytes: {limit} is {found}, of which {used} are used; raise it (`sysctl {limit}=…`), remove what is not needed (`ipcs -m`), ask for less (shm_max_nodes, shm_max_namespaces, shm_max_replicas), or use files (shm_backend)"
    )]
    Limit {
        /// Bytes that are needed.
        wanted: u64,
        /// The limit's name as `sysctl` has it: `kernel.shmmax` counts bytes of
        /// a segment, `kernel.shmmni` segments, `kernel.shmall` pages.
        limit: &'static str,
        /// The limit.
        found: u64,
        /// How much of it is used.
        used: u64,
    },
    /// A System V segment without its magic.
    #[error(
        "{at} is incomplete: its creator is still at work, or has died; try again, or remove it with `tendmap rm --force`"
    )]
    HalfMade {
        /// The segment.
        at: Location,
    },
    /// The key's System V segment is another program's.
    #[error(
        "{at} belongs to another program ({bytes} bytes of user {owner}); choose another shm_key, or remove it with `ipcrm -m` if nothing needs it"
    )]
    Foreign {
        /// The segment.
        at: Location,
        /// Its size.
        bytes: u64,
        /// Whose it is.
        owner: u32,
    },
    /// Its lock files are elsewhere.
    #[error(
        "{at} has its lock files in another directory than {}; configure the same shm_directory for all processes of this key",
        Printable(.directory.display())
    )]
    OtherDirectory {
        /// The segment.
        at: Location,
        /// The directory that was configured.
        directory: PathBuf,
    },
    /// A System V segment of another user: its key can't be given to a larger one.
    #[error(
        "{at} belongs to user {user}, and only that user or root can replace it with a larger segment; let a process of that user own it, or use files (shm_backend)"
    )]
    KeyOfAnother {
        /// The segment.
        at: Location,
        /// Whose it is.
        user: u32,
    },
    /// The key lives in the other kind of shared memory.
    #[error(
        "key {key:#010x} has its segment in {found} memory, wanted {wanted}; configure the same shm_backend for all processes of this key, or close those that use the other"
    )]
    OtherBackend {
        /// The key.
        key: u32,
        /// The backend that it lives in.
        found: Backend,
        /// The backend that was configured.
        wanted: Backend,
    },
    /// The key that System V gives to nobody.
    #[error("shm_key 0 names no System V segment (IPC_PRIVATE); choose another key")]
    NoKey,
    /// A capacity out of its range.
    #[error(transparent)]
    Capacity(#[from] CapacityError),
    /// Capacities that can't be addressed.
    #[error(transparent)]
    Geometry(#[from] GeometryError),
    /// Processes are attached.
    #[error(
        "{at} is in use by {attached} process{}; end {} first, or use --force: a new segment is created then",
        if *attached == 1 { "" } else { "es" },
        if *attached == 1 { "it" } else { "them" }
    )]
    InUse {
        /// The segment.
        at: Location,
        /// How many are attached.
        attached: usize,
    },
    /// The system refused something.
    #[error("can't {action} {at}: {}", explain(source))]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file.
        at: Location,
        /// What the system said.
        source: Arc<io::Error>,
    },
}

impl SegmentError {
    /// Turns what the system said into an error about what is there.
    pub(crate) fn io(
        action: &'static str,
        at: impl Into<Location>,
    ) -> impl FnOnce(io::Error) -> SegmentError {
        let at = at.into();
        move |source| SegmentError::Io { action, at, source: source.into() }
    }

    /// Whether this process may not do what it tried.
    #[cfg(feature = "tend")]
    pub(crate) fn is_barred(&self) -> bool {
        let barred = [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem];
        matches!(self, SegmentError::Io { source, .. } if barred.contains(&source.kind()))
    }

    /// Whether this process may not read it.
    pub(crate) fn is_refused(&self) -> bool {
        match self {
            SegmentError::Io { source, .. } | SegmentError::Directory { source, .. } => {
                source.kind() == io::ErrorKind::PermissionDenied
            }
            _ => false,
        }
    }

    /// Whether it is a stranger's.
    pub(crate) fn is_strange(&self) -> bool {
        matches!(self, SegmentError::Owner { .. } | SegmentError::Maker { .. })
    }

    /// Whether the file is simply not there.
    pub(crate) fn is_absent(&self) -> bool {
        match self {
            // What is half-made is nobody's yet.
            SegmentError::NotFound { .. } | SegmentError::HalfMade { .. } => true,
            SegmentError::Io { source, .. } => source.kind() == io::ErrorKind::NotFound,
            _ => false,
        }
    }
}

/// Users in words.
fn one_of(users: &[u32]) -> String {
    let users: Vec<String> = users.iter().map(ToString::to_string).collect();
    match users.len() {
        1 => users.concat(),
        _ => format!("one of {}", users.join(", ")),
    }
}
