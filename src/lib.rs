//! tendmap: one process tends a partitioned database cluster, all others on the
//! host route from shared memory.
//!
//! A segment of shared memory holds what is known about a cluster: its nodes
//! and, for each namespace, which node holds which replica of which partition.
//! The process that owns the segment tends the cluster (polls its servers) and
//! publishes; every other process reads, and takes over when the owner is gone.
//!
//! ```no_run
//! use tendmap::client::Reader;
//! use tendmap::route::{Policy, Record};
//! use tendmap::segment::Place;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // A process that only reads; `client::Client` may also own and tend.
//! let reader = Reader::attach(&Place::of_key(0xA700_0000))?;
//! let mut router = reader.router();
//! let namespace = router.namespace("test")?;
//! let route = router.route(namespace, Record::new("users", 42), Policy::Master)?;
//! println!("ask {} at {}", route.id(), route.address());
//! # Ok(())
//! # }
//! ```
//!
//! # What it guarantees
//!
//! - A lookup is of one whole publication, never of a mixture, whatever is
//!   killed, stopped or woken at whatever instruction.
//! - Readers write nothing, wait for nobody and allocate nothing on the way
//!   from a partition to a node; their mapping is read-only.
//! - Safety rests on terms and tags alone. Clocks, pids and file locks decide
//!   only *when* another process takes over.
//!
//! # What it does not promise
//!
//! - That the map is newer than the last tend.
//! - Anything against those who may write the segment's file, but that reading
//!   hostile bytes ends in an error or a wrong route, never in a crash.
//!
//! # How it is built
//!
//! Data flows one way: a source finds a map, the owner publishes it as a frame,
//! routers read the frame.
//!
//! | module | what it holds | knows |
//! | --- | --- | --- |
//! | `text` | how text of others is shown | nothing |
//! | `protocol` | words, head, frames, terms; the proof | nothing |
//! | `layout` | where each word lies; the `unsafe` of the core | `protocol` |
//! | [`map`] | the cluster as plain values, to and from a frame | `layout` |
//! | [`segment`] | files or System V memory, names, locks, ownership | `map` |
//! | [`route`] | key, digest, replica, node | `segment` |
//! | [`client`] | settings, roles, the thread, status | all of these |
//! | `wire` | addresses, the info protocol, the login, as plain values | `map` |
//! | `tend` | a pass over a cluster | `wire` |
//! | `sim` | a simulated cluster | `wire` |
//!
//! (`map` lies below `segment`, not above it: an owner publishes *maps*, and a
//! successor segment begins with one, while a map needs nothing of files.)

// What only tests and tools use is built all the same; with `internals` it counts
// as used, and the compiler says what nobody uses at all.
#![cfg_attr(not(feature = "internals"), allow(dead_code, unused_imports))]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod client;
mod clock;
mod descriptor;
mod layout;
pub mod map;
mod protocol;
mod random;
pub mod route;
pub mod segment;
#[cfg(feature = "sim")]
pub mod sim;
mod sync;
#[cfg(feature = "tend")]
pub mod tend;
mod text;
#[cfg(feature = "tend")]
mod thread;
#[cfg(feature = "tend")]
pub mod wire;

pub use layout::WipingAllocator;

/// Everything below the public surface, for this repository's tests, benchmarks,
/// fuzzing and tools. It can change in any release.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals {
    pub mod layout {
        pub use crate::layout::*;
    }
    pub mod map {
        pub use crate::map::internals::*;
        pub use crate::map::*;
    }
    pub mod protocol {
        pub use crate::protocol::*;
    }
    pub mod route {
        pub use crate::route::internals::*;
        pub use crate::route::*;
    }
    pub mod segment {
        pub use crate::segment::internals::*;
        pub use crate::segment::*;
    }
    #[cfg(feature = "tend")]
    pub mod tend {
        pub use crate::tend::internals::*;
        pub use crate::tend::*;
        pub mod transport {
            pub use crate::tend::transport::*;
        }
    }
    pub mod text {
        pub use crate::text::*;
    }
    #[cfg(feature = "tend")]
    pub mod wire {
        pub use crate::wire::*;
        pub mod info {
            pub use crate::wire::info::*;
        }
    }
}

/// The README's example is compiled with the tests.
#[cfg(all(doctest, feature = "tend"))]
#[doc = include_str!("../README.md")]
struct Readme;
