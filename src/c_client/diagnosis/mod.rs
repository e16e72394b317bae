//! What official Aerospike clients do on this host, whether tendmap tends or not.
//!
//! Reading and judging are separate: a [`Picture`] is a copy of a segment as plain
//! values, [`Evidence`] is all that was seen of it, and [`judge`] finds what is wrong
//! with that without looking at anything else.
//!
//! Any process may write such a segment, so that every bit pattern is possible in it,
//! and so are hostile programs among the processes that have it mapped.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `picture` | a copy of a segment as plain values |
//! | `judge`, `finding` | what is wrong with it, and how that is said |
//! | `compare` | how it differs from tendmap's own map |
//! | `elf`, `clients` | the clients that have it mapped, and their versions |
//! | `look` | the segments of this host |
//! | `watch` | several looks at each segment, and what they show |
//! | `release` | whether a segment may be released, and the release |

mod clients;
mod compare;
mod elf;
mod finding;
mod judge;
mod look;
mod picture;
mod release;
mod watch;

pub use clients::{AttachedClient, ClientLayout, attached_clients};
pub use elf::{Content, client_version};
pub use finding::{Difference, Note, Problem};
pub use judge::{Evidence, HeldLock, Owner, OwnerState, judge};
pub use look::{
    Candidate, LookError, candidates, find, look, mirror_is_active, monotonic_ms, owner_state,
};
pub use picture::{NodeSlot, Picture, Table, TableFaults};
pub use release::{ReleaseError, Released, release};
pub use watch::{Diagnosis, Options, diagnose};
