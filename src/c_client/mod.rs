//! Official Aerospike clients follow tendmap's map unchanged.
//!
//! Aerospike's C client, and the Python, Node.js and PHP clients that contain it, can keep
//! their cluster in a System V segment: one process tends, the others follow. A **mirror**
//! fills such a segment in the place of the tending process. It reads the map as any other
//! process does, and knows nothing of the tender.
//!
//! Mirrors are configured in [`Config::c_client`](crate::client::Config::c_client); each runs
//! in a thread of the client. What happens to them is an
//! [`Event::CClient`](crate::client::Event::CClient). Which clients have which layout, what
//! they have to set, and what no tender can do for them is in `docs/C-CLIENT.md`.
//!
//! Each pass of a mirror reads the map, derives what the segment is to hold, plans the
//! stores, and makes them in their order. The next pass is due when the map changes, or
//! when a time that the plan has set is over.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `version` | client versions, and the layout that each expects |
//! | `layout`, `header` | where each field lies, and the check of a segment that exists |
//! | `wanted` | what a segment is to hold, from the map |
//! | `slots`, `entries`, `plan` | which slot, which holder, which stores in which order |
//! | `mend` | what clients overwrote |
//! | `config`, `event` | what callers set and see |
//! | `claim` | which mirror of a key is active |
//! | `process`, `owner` | whether a segment has an owner, and how it is taken |
//! | `foreign` | the segment that has a key now |
//! | `repair` | locks that dead processes left |
//! | `mirror` | a pass |
//! | `diagnosis` | what official clients do on this host |
//!
//! From `version` to `mend` nothing touches memory, a clock or the system.

mod claim;
mod config;
mod diagnosis;
mod entries;
mod event;
mod foreign;
mod header;
mod layout;
mod mend;
mod mirror;
mod note;
mod owner;
mod plan;
mod process;
mod repair;
mod slots;
mod store;
mod version;
mod wanted;
mod words;

pub use config::{MirrorConfig, MirrorConfigError, OnExit, OwnerMark, Target};
pub use event::MirrorEvent;
#[cfg(any(test, feature = "internals"))]
pub(crate) use event::one_of_each;
pub(crate) use mirror::{Feed, Mirror, MirrorSettings};
pub use version::{ClientVersion, TargetError};

/// What tests, tools and the command line use beside that.
pub(crate) mod internals {
    pub use super::claim::path as lock_path;
    pub use super::header::{HEADER_BYTES, Header, ShapeError};
    pub use super::layout::{Capacity, CapacityError, Layout, PARTITIONS, Shape};
    pub use super::mend::{Mended, free_take_over_lock, repair};
    pub use super::note::Note;
    pub use super::plan::{Kinship, Pass, Planner};
    pub use super::slots::{GRACE_MS, QUARANTINE_MS, SETTLE_MS};
    pub use super::store::{Memory, Store, Value};
    pub use super::version::Client;
    pub use super::wanted::{
        Identity, MIXED_RACK, NOBODY, REPLICAS, Wanted, WantedError, WantedNamespace, WantedNode,
        features,
    };

    /// The header.
    pub mod header {
        pub use crate::c_client::header::*;
    }
    /// What official clients do on this host.
    pub mod diagnosis {
        pub use crate::c_client::diagnosis::*;
    }
    /// Processes that have a segment mapped.
    pub mod process {
        pub use crate::c_client::process::*;
    }
}
