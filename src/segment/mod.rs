//! Segments: how they are created, found, attached, locked, listed and removed.
//!
//! A segment has a key, a layout version and a generation (`SegmentName`). It
//! is a file of that name, or the System V segment of the key; the differences
//! between the two are behind one interface ([`Backend`]). It is created
//! completely or not at all (`create`). Attaching checks everything about it
//! from one private copy of its header (`Segment`). Byte locks on a file beside
//! it (`LockFile`) determine which process *should* own it; only its head
//! determines which process *does* own it.
//!
//! | | file | System V |
//! | --- | --- | --- |
//! | a name | each generation its own | one for the key: the kernel gives it to one segment at a time |
//! | made | unseen, then linked | seen half-made, the magic last |
//! | next generation | linked beside the retired one | in its place, once it is removed |
//! | removal | by name, if it leads there | by id |
//! | attached | locks on the file | locks on the lock file |

mod attach;
mod attachment;
mod backend;
mod candidate;
mod create;
mod current;
mod directory;
mod error;
mod file;
mod foreign;
mod fs;
mod listed;
mod location;
mod lock;
mod name;
mod ownership;
mod process_exit;
mod registry;
mod removal;
mod system_v;
mod trust;
mod user;
mod wait;
#[cfg(feature = "tend")]
mod watch;
mod whereabouts;

pub use crate::layout::HeaderError;
pub use backend::Backend;
pub use directory::list;
#[cfg(feature = "tend")]
pub(crate) use directory::{Search, check_backend, next_generation, quick, search, stepped_over};
pub(crate) use directory::{look, look_at_listed, newest};
pub use error::SegmentError;
#[cfg(feature = "tend")]
pub(crate) use error::{GROUP_WRITE_ADVICE, GROUP_WRITE_RISK};
pub(crate) use internals::*;
pub use listed::{ListedSegment, SegmentState};
pub use location::Location;
#[cfg_attr(not(feature = "tend"), allow(unused_imports))]
pub(crate) use name::resolved;
pub use name::{Place, PlaceError, parse_key};
pub use removal::remove;
#[cfg(feature = "tend")]
pub(crate) use removal::{retire_and_unlink_unused, sweep};
#[cfg(feature = "c-client")]
pub(crate) use system_v::{SystemVRow, system_v_rows};
#[cfg(feature = "tend")]
pub(crate) use watch::GenerationWatch;

/// What the rest of the crate, its tests and tools use beside that.
pub(crate) mod internals {
    pub use super::attachment::{AttachGuard, Segment};
    pub use super::candidate::{Candidate, OwnerState, TakeoverOutcome};
    pub use super::create::{Carryover, CreateOutcome, SegmentBuilder, create, private};
    pub use super::current::Current;
    pub use super::directory::live;
    pub use super::lock::{LockFile, RESERVE, STANDBY};
    pub use super::name::SegmentName;
    pub use super::ownership::{Ownership, OwnershipLost, PublishFailure};
    pub use super::process_exit::{ProcessExit, WaitOutcome};
    #[cfg(feature = "tend")]
    pub use super::removal::{Kept, Leftovers, remove_leftovers};
    pub use super::user::{UserError, parse_user, parse_users};
    pub use super::wait::{WakeMask, wait, wake};
    pub use crate::clock::boottime_ms;
    pub use crate::times::Timed;
}

/// Parsers that only the fuzz targets call from outside.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use super::name::{foreign_lock, is_system_v_lock, lock_path, parse_lock};
    pub use super::system_v::row;
}
