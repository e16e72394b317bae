//! The segment's layout: where each word lies, and the only `unsafe` of the
//! core, which turns a mapping into slices of atomics.
//!
//! ```text
//! byte 0      immutable header (256 bytes): magic, version, sizes, identity,
//!             checksum; validated once from a private copy
//! byte 256    head: one word, alone on its cache lines
//! byte 384    owner block: 16 words of heartbeat, times, counters
//! byte 512    event word, alone on its cache lines
//! byte 640    histograms of the owners' passes and publications, 16 words each:
//!             14 buckets, the sum
//! byte 4096   frame 0 ┐ each: table generation, counts, checksum, cluster
//!             frame 1 ┘ name │ node records │ namespace records with racks │
//!                       for each namespace routing planes and regimes
//! at the end  node health records, one a slot, 32 words each: failures and text
//!             length, checksum, time, text; then the owner's notes: for how
//!             many passes something has lasted, why, and which nodes left;
//!             part of no publication, may be torn
//! ```
//!
//! All mutable memory is words `tag:16 | payload:48`, see
//! [`protocol`](crate::protocol). Offsets inside a frame follow from the
//! capacities in the header and are computed in one place, [`Geometry`].

mod capacity;
mod descriptors;
mod execution;
#[cfg(feature = "c-client")]
mod foreign;
mod fork;
mod geometry;
mod header;
mod mapping;
mod native_thread;
mod planes;
mod slots;
mod system_v;
mod table;
mod wiping;
mod words;

pub use capacity::{Capacity, CapacityError};
pub use descriptors::{descriptor_limit, descriptors_left};
pub use execution::is_secure_execution;
#[cfg(feature = "c-client")]
pub(crate) use execution::shares_memory;
#[cfg(feature = "c-client")]
pub use foreign::ForeignSegment;
pub use fork::{ForkCell, ForkLocal, Lineage};
pub use geometry::{BYTES_PER_WORD, Geometry, GeometryError, REPLICAS_PER_WORD, frame, notes};
pub(crate) use header::hash_words;
pub use header::{Header, HeaderError, Identity, LAYOUT_HASH, LAYOUT_VERSION};
pub use mapping::{Mapping, WriteMapping};
pub(crate) use native_thread::NativeThread;
pub use planes::{HeadRef, Planes, Token};
pub use slots::{Slots, SlotsRef};
pub use system_v::{
    Shm, ShmStat, is_gone, shm_create, shm_find, shm_permit, shm_remove, shm_removed, shm_stat,
};
#[cfg(feature = "tend")]
pub(crate) use table::own_descriptors;
pub use wiping::{WipingAllocator, wipe_variable};
pub use words::{OwnerWord, TIMES_BUCKETS, TIMES_KINDS, TIMES_WORDS, futex_half};
