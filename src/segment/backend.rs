//! The kinds of shared memory for segments, and what each must implement.
//!
//! A backend finds, creates, lists and removes segments. The content of a
//! segment, its ownership and its succession are the same for all backends, and
//! are determined by the words in the segment and by its lock file.

use core::fmt;
use core::str::FromStr;
use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::attachment::Segment;
use super::error::SegmentError;
use super::file::Files;
use super::listed::{ListedSegment, SegmentState};
use super::location::Location;
use super::lock::LockFile;
use super::name::{Place, PlaceError};
use super::system_v::SystemV;
use super::whereabouts::Whereabouts;
use crate::descriptor;
use crate::layout::{Geometry, Identity, Mapping, WriteMapping};
use crate::protocol::Head;

/// The kind of shared memory of a key's segments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(clippy::exhaustive_enums, reason = "a program may do something else for each")]
pub enum Backend {
    /// Files in a directory, `/dev/shm` by default.
    #[default]
    File,
    /// System V shared memory, as `ipcs -m` lists and `ipcrm -M` removes it;
    /// its lock files are in the directory, too.
    SystemV,
}

impl Backend {
    /// All backends.
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

impl FromStr for Backend {
    type Err = PlaceError;
    fn from_str(text: &str) -> Result<Backend, PlaceError> {
        let known = Backend::ALL.into_iter().find(|backend| backend.as_str() == text);
        known.ok_or_else(|| PlaceError::Backend { found: text.to_owned() })
    }
}

/// The part of a segment that is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SegmentPart {
    /// The head and the owner's words, which identify the owner. The rest of
    /// such a copy is not valid, and its geometry is not the segment's.
    Words,
    /// The whole last publication, and the owner's notes.
    Whole,
}

/// The operations of a backend on a key.
pub(super) trait Store: Sync {
    /// The object of one generation of a key, checked.
    fn locate<'a>(&self, place: &'a Place, generation: u64) -> Result<Located<'a>, SegmentError>;

    /// Like [`locate`](Self::locate), for callers that only look. Nothing is
    /// created, and an object that another user can truncate is not mapped: a
    /// private copy of it is read.
    fn look<'a>(
        &self,
        place: &'a Place,
        generation: u64,
        part: SegmentPart,
    ) -> Result<Located<'a>, SegmentError>;

    /// The linked generations of a key in this layout, in any order.
    fn generations(&self, place: &Place) -> Result<Vec<u64>, SegmentError>;

    /// Why there is no segment of a key to attach to.
    fn not_found_error(&self, place: &Place) -> SegmentError;

    /// What another user has put where a segment of the key could be, if it
    /// does not block the key.
    fn stepped_over(&self, _: &Place) -> Option<SegmentError> {
        None
    }

    /// Every segment that belongs to a directory; `standing` shows the state of
    /// those that can be examined.
    fn list(
        &self,
        directory: &Path,
        standing: Standing<'_>,
    ) -> Result<Vec<ListedSegment>, SegmentError>;

    /// Removes a listed segment that can't be attached.
    fn discard(&self, found: &ListedSegment) -> Result<(), SegmentError>;

    /// Why the processes attached to a listed segment can't be counted.
    fn unknown_attachments_error(&self, found: &ListedSegment) -> SegmentError;

    /// A new segment that no process can see before it is linked.
    fn unlinked(
        &self,
        place: &Place,
        identity: Identity,
        geometry: &Geometry,
    ) -> Result<Box<dyn UnlinkedSegment>, SegmentError>;

    /// A number for the directory of the lock files, which goes into the
    /// header; 0 if it follows from the segment's own name.
    fn lock_directory(&self, directory: &Path) -> Result<u64, SegmentError>;

    /// The lock file of a segment.
    fn lock_path(&self, directory: &Path, key: u32, segment_id: u64) -> PathBuf;

    /// The key and the segment id in a lock file's name.
    fn parse_lock(&self, name: &str) -> Option<(u32, u64)>;

    /// The key and the segment id in the name of a file of marks.
    fn parse_marks(&self, name: &str) -> Option<(u32, u64)> {
        self.parse_lock(&format!("{}.lock", name.strip_suffix(".marks")?))
    }

    /// The ids of a key's linked segments.
    fn living(&self, place: &Place) -> Result<BTreeSet<u64>, SegmentError>;

    /// Removes other remains of a dead creator; returns the removed files.
    fn sweep(&self, place: &Place) -> Vec<PathBuf>;

    /// Removes what a dead creator had filled before it had its name; returns
    /// the removed file.
    fn sweep_unlinked(&self, _: &Place, _segment_id: u64) -> Option<PathBuf> {
        None
    }
}

/// The system object that holds one segment's memory.
pub(super) trait Object: fmt::Debug + Send + Sync {
    /// The identity of the object.
    fn id(&self) -> ObjectId;

    /// The location of the object.
    fn location(&self) -> Location;

    /// The permission bits, which its lock file shares.
    fn mode(&self) -> u32;

    /// Whether its name still leads to it.
    fn whereabouts(&self) -> Whereabouts;

    /// The current head; `mapping` may be a copy.
    ///
    /// # Errors
    /// The error of the system call.
    fn head(&self, mapping: &Mapping) -> io::Result<Head>;

    /// Whether its name still leads to it, and other processes could attach, as
    /// far as this process can see.
    #[cfg_attr(not(feature = "tend"), allow(dead_code, reason = "an owner asks"))]
    fn is_sound(&self, identity: &Identity, mapping: &Mapping, lock: &LockFile) -> bool;

    /// A second, writable mapping, even if the object has lost its name. A
    /// process that could write to it when `mapping` was made needs nothing
    /// else. Others need the name to lead there still, and otherwise get an
    /// error for which [`is_absent`](SegmentError::is_absent) is true.
    fn writer(&self, mapping: &Mapping) -> Result<WriteMapping, SegmentError>;

    /// Reopens descriptors that the host has closed.
    ///
    /// # Errors
    /// The error of the system call.
    fn refresh(&self) -> io::Result<()>;

    /// Like [`refresh`](Self::refresh), in a forked child that may not open the
    /// object: uses what it has inherited. `None` if that is not available.
    fn inherit(&self) -> Option<Box<dyn Object>>;

    /// Whether this process may write to it, by its user and the mode.
    fn may_write(&self) -> bool;

    /// Whether this process may unlink it.
    #[cfg_attr(not(feature = "tend"), allow(dead_code, reason = "the last to close asks"))]
    fn may_remove(&self) -> bool;

    /// Removes its name.
    fn unlink(&self) -> Result<(), SegmentError>;

    /// Counts this process as attached from now on.
    fn join(&self, lock: &LockFile) -> io::Result<()>;

    /// Stops counting this process as attached, although it may still have the
    /// memory mapped.
    fn leave(&self, lock: &LockFile);

    /// The number of attached processes.
    fn attached(&self, lock: Option<&LockFile>) -> io::Result<usize>;
}

/// The identity of an object, independent of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ObjectId {
    /// A file.
    File(descriptor::FileId),
    /// The id of a System V segment.
    SystemV(i32),
}

/// The number of attached processes and the state of an object, `None` if it is
/// already gone.
pub(super) type Standing<'s> =
    &'s dyn Fn(&Place, Result<Located<'_>, SegmentError>) -> Option<(Option<usize>, SegmentState)>;

/// How a segment was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Discovery {
    /// By its name: a missing lock file is created again.
    ByName,
    /// By its lock file.
    ByLock,
}

/// An object that a backend has found.
pub(super) enum Located<'a> {
    /// One that this process has attached: it was checked then, and stays in
    /// use.
    Attached(Arc<Segment>),
    /// One that this process may not open, and why. If its parent had attached
    /// it, it is used as inherited.
    Refused(ObjectId, SegmentError),
    /// Another one, which may be trusted.
    New {
        object: ObjectId,
        discovery: Discovery,
        /// Makes its parts, unless another thread has attached it meanwhile.
        parts: Box<dyn FnOnce() -> Result<Parts, SegmentError> + 'a>,
    },
}

/// The parts from which a segment is assembled.
pub(super) struct Parts {
    pub identity: Identity,
    pub mapping: Arc<Mapping>,
    pub object: Box<dyn Object>,
}

/// Takes the name from a segment that is no longer of use, so that the one of
/// the given generation can have it; returns whether the name is free now.
pub(super) type Vacate<'v> = &'v dyn Fn(&Place, Located<'_>, u64) -> Result<bool, SegmentError>;

/// A segment that no process can see yet. Dropping it removes it.
pub(super) trait UnlinkedSegment: fmt::Debug + Send {
    /// The memory, initially all zero.
    fn memory(&self) -> Result<WriteMapping, SegmentError>;

    /// Marks the segment as filled.
    fn filled(&mut self, memory: WriteMapping) -> Result<(), SegmentError>;

    /// Links the segment under its name; `None` if another segment has the name.
    /// Where only one segment can have it, `vacate` takes it from one that is no
    /// longer of use.
    fn link(&mut self, vacate: Vacate<'_>) -> Result<Option<Parts>, SegmentError>;
}
