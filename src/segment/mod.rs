//! Segments as files: made, found, attached, locked, listed, removed.
//!
//! A segment is a file named by a key, the layout version and a generation
//! ([`SegmentName`]). It comes into being whole: built without a name, its
//! pages reserved, then linked into place ([`create`]). Attaching checks
//! everything about it from one private copy of its header before anything is
//! mapped ([`Segment`]). Who *should* own it is told by byte locks of a file
//! beside it ([`LockFile`]); who *does* own it is told by its head alone.

mod candidate;
mod create;
mod current;
mod directory;
mod error;
mod lock;
mod name;
mod registry;
#[allow(clippy::module_inception)]
mod segment;
mod tenure;
mod wait;

pub use candidate::{Candidate, Entry};
pub use create::{Created, Inherited, Prepared, create, private};
pub use current::Current;
pub(crate) use directory::newest;
pub use directory::{Listed, SegmentState, list, live, remove};
#[cfg(feature = "tend")]
pub(crate) use directory::{generations, next_generation, retire_and_unlink, search, sweep};
pub use error::SegmentError;
pub use lock::{LockFile, STANDBY};
pub use name::{KeyError, Place, SegmentName, parse_key};
pub use segment::{Attachment, Segment};
pub use tenure::{Ended, NotPublished, Tenure};
pub use wait::{Personal, boottime_ms, wait, wake};
