//! tendmap: one process tends a partitioned database cluster, all others on the
//! host route from shared memory.
//!
//! A segment of shared memory holds what is known about a cluster: its nodes
//! and, for each namespace, which node holds which replica of which partition.
//! The process that owns the segment tends the cluster (polls its servers) and
//! publishes; every other process reads, and takes over when the owner is gone.
//!
//! A program that connects shares the tending:
//!
//! ```no_run
//! # #[cfg(feature = "tend")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use tendmap::{Client, Config, Policy, Record};
//!
//! let hosts = vec!["127.0.0.1:3000".parse()?];
//! let client = Client::connect(Config::shared(hosts, 0xA700_0000))?;
//! let mut router = client.router();
//! let route = router.route("test", Record::new("users", 42), Policy::Master)?;
//! println!("ask {} at {}", route.id(), route.address());
//! client.close();
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "tend"))]
//! # fn main() {}
//! ```
//!
//! A program that only reads needs neither a thread nor the network:
//!
//! ```no_run
//! use tendmap::{Place, Policy, Reader, Record};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let reader = Reader::attach(&Place::of_key(0xA700_0000))?;
//! let mut router = reader.router();
//! let users = router.namespace("test")?; // looked up once
//! let route = router.route(users, Record::new("users", 42), Policy::Master)?;
//! println!("ask {} at {}", route.id(), route.address());
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | what it adds |
//! | --- | --- |
//! | (none) | [`Reader`], [`Router`], digests |
//! | `tend` (default) | `Client`: owner or follower, and the tender of Aerospike clusters |
//! | `tls` (default) | TLS to the servers |
//! | `json` | statuses and events as JSON |
//! | `c-client` | the mirror that fills the shared memory of Aerospike's C client |
//! | `sim` | the simulated cluster |
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
//! - Protection from processes that can write the segment's file, except that
//!   hostile bytes lead to an error or a wrong route, never to a crash.
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
//! | `sim` | a simulated cluster | `tend` |
//! | `c_client` | the foreign segment that clients of Aerospike's C client read | `segment` |
//!
//! (`map` lies below `segment`, not above it: an owner publishes *maps*, and a
//! successor segment begins with one, while a map needs nothing of files.)

// Items that only tests and tools use are built in any case; with `internals`
// they count as used, and the compiler reports what is never used.
#![cfg_attr(not(feature = "internals"), allow(dead_code, unused_imports))]
// Of the public surface, which is all that counts as exported then.
#![cfg_attr(
    not(feature = "internals"),
    warn(
        missing_debug_implementations,
        clippy::exhaustive_enums,
        clippy::exhaustive_structs,
        clippy::missing_errors_doc,
        clippy::missing_panics_doc,
        clippy::must_use_candidate,
        clippy::return_self_not_must_use
    )
)]
#![cfg_attr(docsrs, feature(doc_cfg))]

/// A method of a public type that only tests and tools use from outside: public
/// with the feature `internals`.
macro_rules! internal {
    ($(#[$attribute:meta])* fn $($rest:tt)*) => {
        #[cfg(feature = "internals")]
        #[doc(hidden)]
        $(#[$attribute])*
        pub fn $($rest)*
        #[cfg(not(feature = "internals"))]
        $(#[$attribute])*
        pub(crate) fn $($rest)*
    };
}

#[cfg(feature = "c-client")]
pub mod c_client;
pub mod client;
mod clock;
mod descriptor;
mod explain;
mod layout;
mod limits;
pub mod map;
mod protocol;
// Not a part of that module, which the model checks compile over other atomics.
#[cfg(test)]
#[path = "protocol/rules.rs"]
mod protocol_rules;
mod random;
pub mod route;
#[cfg(any(feature = "internals", feature = "tls"))]
mod secret_file;
pub mod segment;
#[cfg(feature = "sim")]
pub mod sim;
mod sync;
#[cfg(feature = "tend")]
pub mod tend;
mod text;
mod thread;
mod times;
#[cfg(feature = "tend")]
pub mod wire;

pub use client::{Changes, ChangesError, Reader, Status, StatusError};
#[cfg(feature = "tend")]
pub use client::{Client, Config, ConfigError, ConnectError, Event, Observer, Role};
pub use layout::WipingAllocator;
pub use map::{Node, NodeId};
pub use route::{
    Attempt, Batch, Digest, Key, Partition, Policy, Record, RouteError, Router, SharedRouter,
};
pub use segment::{Backend, Place, SegmentError};
#[cfg(all(feature = "tend", feature = "tls"))]
pub use tend::tls::TlsConfig;
#[cfg(feature = "tend")]
pub use wire::Host;
#[cfg(feature = "tend")]
pub use wire::login::{AuthMode, SecretString};

/// Everything below the public surface, for this repository's tests, benchmarks,
/// fuzzing and tools. It can change in any release.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals {
    #[cfg(feature = "c-client")]
    pub mod c_client {
        pub use crate::c_client::internals::*;
        pub use crate::c_client::*;
    }
    #[cfg(feature = "tend")]
    pub mod client {
        pub use crate::client::internals::*;
    }
    pub mod explain {
        pub use crate::explain::*;
    }
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
    pub mod secret_file {
        pub use crate::secret_file::*;
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

/// Compiles the README's example with the tests.
#[cfg(all(doctest, feature = "tend"))]
#[doc = include_str!("../README.md")]
struct Readme;
