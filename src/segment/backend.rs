//! The kinds of shared memory that segments live in, and what each must do.
//!
//! A backend finds, makes, lists and removes. What a segment holds, who owns it
//! and who succeeds whom is the same over all of them, and is told by the words
//! in the segment and by the lock file beside it.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::directory::Listed;
use super::error::SegmentError;
use super::file::Files;
use super::location::Location;
use super::lock::LockFile;
use super::name::Place;
use super::segment::Segment;
use super::system_v::SystemV;
use super::whereabouts::Whereabouts;
use crate::descriptor;
use crate::layout::{Geometry, Identity, Mapping, WriteMapping};
use crate::protocol::Head;

/// The kind of shared memory that a key's segments live in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_enums, reason = "a program may do something else for each")]
pub enum Backend {
    /// Files of a directory, `/dev/shm` by default.
    #[default]
    File,
    /// System V shared memory, as `ipcs -m` lists and `ipcrm -M` removes it;
    /// its lock files lie in the directory all the same.
    SystemV,
}

impl Backend {
    /// Both.
    pub const ALL: [Backend; 2] = [Backend::File, Backend::SystemV];

    /// As the setting has it: `file` or `sysv`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Backend::File => "file",
            Backend::SystemV => "sysv",
        }
    }

    pub(super) fn store(self) -> &'static dyn Store {
        match self {
            Backend::File => &Files,
            Backend::SystemV => &SystemV,
        }
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A backend that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("shm_backend {found:?}; wanted file or sysv")]
#[non_exhaustive]
pub struct BackendError {
    /// What was given.
    pub found: String,
}

impl FromStr for Backend {
    type Err = BackendError;
    fn from_str(text: &str) -> Result<Backend, BackendError> {
        let known = Backend::ALL.into_iter().find(|backend| backend.as_str() == text);
        known.ok_or_else(|| BackendError { found: text.to_owned() })
    }
}

/// How much of a segment is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// The head and the owner's words: who owns it. Of a copy no more counts, and
    /// its geometry is not that of the segment.
    Words,
    /// All that was published last, and what the owner has noted.
    Whole,
}

/// What a backend does with a key.
pub(super) trait Store: Sync {
    /// Attaches to one generation of a key, sharing this process's attachment
    /// if there is one.
    fn attach(&self, place: &Place, generation: u64) -> Result<Arc<Segment>, SegmentError>;

    /// As [`attach`](Self::attach), for those that only look. Nothing is made, and
    /// what somebody else can cut short is not mapped: a private copy of it is read.
    fn look(
        &self,
        place: &Place,
        generation: u64,
        part: Part,
    ) -> Result<Arc<Segment>, SegmentError>;

    /// The generations of a key in this layout that have a name, in any order.
    fn generations(&self, place: &Place) -> Result<Vec<u64>, SegmentError>;

    /// Why there is no segment of a key to attach to.
    fn not_found_error(&self, place: &Place) -> SegmentError;

    /// What a stranger has put where a segment of the key could be, if that stops
    /// nobody.
    fn stepped_over(&self, _: &Place) -> Option<SegmentError> {
        None
    }

    /// Every segment that belongs to a directory.
    fn list(&self, directory: &Path) -> Result<Vec<Listed>, SegmentError>;

    /// Removes what was listed and can't be attached.
    fn discard(&self, found: &Listed) -> Result<(), SegmentError>;

    /// Why it can't be told who is attached to what was listed.
    fn unknown_attachments_error(&self, found: &Listed) -> SegmentError;

    /// A new segment that nobody sees before it is linked.
    fn unlinked(
        &self,
        place: &Place,
        identity: Identity,
        geometry: &Geometry,
    ) -> Result<Box<dyn Unlinked>, SegmentError>;

    /// A number for where the lock files are, which goes into the header; 0
    /// where the segment's own name tells it.
    fn lock_directory(&self, directory: &Path) -> Result<u64, SegmentError>;

    /// The lock file of a segment.
    fn lock_path(&self, directory: &Path, key: u32, segment_id: u64) -> PathBuf;

    /// The key and the segment id in the name of such a lock file.
    fn parse_lock(&self, name: &str) -> Option<(u32, u64)>;

    /// The same of the name of a file of marks.
    fn parse_marks(&self, name: &str) -> Option<(u32, u64)> {
        self.parse_lock(&format!("{}.lock", name.strip_suffix(".marks")?))
    }

    /// The ids of a key's segments that have a name.
    fn living(&self, place: &Place) -> Result<BTreeSet<u64>, SegmentError>;

    /// Removes what else a dead creator may have left; the files removed.
    fn sweep(&self, place: &Place) -> Vec<PathBuf>;
}

/// The object in the system that one segment's memory belongs to.
pub(super) trait Object: fmt::Debug + Send + Sync {
    /// Which one it is.
    fn id(&self) -> ObjectId;

    /// Where it is.
    fn location(&self) -> Location;

    /// Its permission bits, which its lock file has too.
    fn mode(&self) -> u32;

    /// Whether its name still leads to it.
    fn whereabouts(&self) -> Whereabouts;

    /// The head as it is now; `mapping` may be a copy.
    ///
    /// # Errors
    /// What the system says.
    fn head(&self, mapping: &Mapping) -> io::Result<Head>;

    /// Whether its name still leads to it, and whoever comes would be let in, as
    /// far as this process can see.
    #[cfg_attr(not(feature = "tend"), allow(dead_code, reason = "an owner asks"))]
    fn is_sound(&self, identity: &Identity, mapping: &Mapping, lock: &LockFile) -> bool;

    /// A second, writable mapping, also of one that has lost its name. Whoever
    /// might write it when `mapping` was made needs nothing else for it; others
    /// need that the system still leads there, and get an error that
    /// [`is_absent`](SegmentError::is_absent) if it does not.
    fn writer(&self, mapping: &Mapping) -> Result<WriteMapping, SegmentError>;

    /// Makes what the host has closed of it again.
    ///
    /// # Errors
    /// What the system says.
    fn refresh(&self) -> io::Result<()>;

    /// The same in a forked child that may not open it: with what it has
    /// inherited. `None` if that can't be had.
    fn inherit(&self) -> Option<Box<dyn Object>>;

    /// Whether this process may write to it, by its user and the mode.
    fn may_write(&self) -> bool;

    /// Whether this process may take its name away.
    #[cfg_attr(not(feature = "tend"), allow(dead_code, reason = "the last to close asks"))]
    fn may_remove(&self) -> bool;

    /// Takes its name away.
    fn unlink(&self) -> Result<(), SegmentError>;

    /// From now on this process counts as attached.
    fn join(&self, lock: &LockFile) -> io::Result<()>;

    /// From now on it does not, though it may still have the memory mapped.
    fn leave(&self, lock: &LockFile);

    /// How many processes count as attached.
    fn attached(&self, lock: Option<&LockFile>) -> io::Result<usize>;
}

/// Which object in the system, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObjectId {
    /// A file.
    File(descriptor::ObjectId),
    /// The id of a System V segment.
    SystemV(i32),
}

/// What a segment is assembled from.
pub(super) struct Parts {
    pub identity: Identity,
    pub mapping: Arc<Mapping>,
    pub object: Box<dyn Object>,
}

/// A segment that nobody sees yet. Dropped, it is gone.
pub(super) trait Unlinked: fmt::Debug + Send {
    /// Its memory, all zero at first.
    fn memory(&self) -> Result<WriteMapping, SegmentError>;

    /// It is filled now.
    fn filled(&mut self, memory: WriteMapping) -> Result<(), SegmentError>;

    /// Gives it its name; `None` if another segment has it.
    fn link(&mut self) -> Result<Option<Parts>, SegmentError>;
}
