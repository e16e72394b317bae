//! The shared memory of Aerospike's C client, kept filled from tendmap's map.
//!
//! The C client (and the Python, Node.js and other clients that have it inside) can keep
//! its cluster in a System V segment: one process tends, the others follow. A mirror
//! fills such a segment in the place of the tending process.
//!
//! These files are its pure part: no memory, no clock, no system calls. Times are
//! milliseconds of any clock that does not go back.
//!
//! Each pass of a mirror is: read the map, [`Wanted::of`] it, ask [`Planner::pass`], make
//! the stores ([`Store::apply`]) in their order, and come again when the map changes or at
//! [`Pass::due`]. A new segment begins with [`Planner::create`], one that exists with
//! [`Planner::adopt`]; [`Planner::mend`] compares a copy of it with what was meant.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `version` | client versions, and the layout that each expects |
//! | `layout` | where each field of nodes and tables lies |
//! | `header` | the header, and the check of a segment that exists |
//! | `wanted` | what the segment is to hold, from the map |
//! | `slots` | which node has which slot, graces and quarantine |
//! | `entries` | which slot an entry names |
//! | `plan` | the stores of a pass, their order and the invariant |
//! | `mend` | damage by others, and its repair |
//! | `store` | a store, and the memory that takes it |
//! | `note` | what a pass could not do |
//! | `process` | which processes have a segment, which is not pure |
//! | `diagnosis` | what official clients do on this host, which is not pure either |

pub mod diagnosis;
mod entries;
pub mod header;
mod layout;
mod mend;
mod note;
mod plan;
pub mod process;
mod slots;
mod store;
mod version;
mod wanted;
mod words;

pub use header::{HEADER_BYTES, Header, ShapeError};
pub use layout::{Capacity, CapacityError, Layout, PARTITIONS, Shape};
pub use mend::{Mended, free_take_over_lock, repair};
pub use note::Note;
pub use plan::{Kinship, Pass, Planner};
pub use slots::{GRACE_MS, QUARANTINE_MS, SETTLE_MS};
pub use store::{Memory, Store, Value};
pub use version::{Client, ClientVersion, VersionError};
pub use wanted::{
    Identity, MIXED_RACK, NOBODY, REPLICAS, Wanted, WantedError, WantedNamespace, WantedNode,
    features,
};
