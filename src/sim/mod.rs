//! A simulated cluster: any number of nodes on the loopback that speak the real
//! protocol. When nodes die and start, all of them reply as recorded from real
//! nodes in the same phase.
//!
//! ```no_run
//! use tendmap::sim::{Sim, SimConfig};
//!
//! let sim = Sim::start(SimConfig::new(3))?;
//! println!("seeds: {:?}", sim.seeds());
//! sim.kill(2)?; // refused from now on; the others notice 1.5 to 2.4 s later
//! sim.start_node(2)?; // answers at once, joins 1 to 2 s later, then migrates
//! println!("{:?}", sim.status()?);
//! # Ok::<(), tendmap::sim::SimError>(())
//! ```
//!
//! # How it matches real nodes
//! - The framing: several requests at once, replies in order, no reply to text
//!   that does not end with a newline, a closed connection for another version
//!   or type.
//! - Generations belong to a process: they restart with it, and its first
//!   replies are those of a node that has not joined (partition generation -1,
//!   no peers, no claims).
//! - Survivors notice a death after a delay, up to half a second apart. The
//!   peers, replicas and generations of one survivor change together.
//! - Partitions migrate one by one. Each raises the partition generation of the
//!   source and of the target. Until then the acting master also claims the
//!   missing replica.
//! - The reported replication factor is the effective one.
//! - A frozen node that wakes keeps claiming its partitions for a while.
//! - With security on, a connection that has not logged in gets
//!   `ERROR:80:not authenticated` for every command; sessions end with their
//!   lifetime and with the process of the node that issued them.
//! - With TLS each node listens at a second port and lists the others' second
//!   ports in `peers-tls-std`.
//!
//! # How it differs
//! It keeps records in one store: every node answers for every record,
//! whichever node holds it. Scans, queries, functions and the administration of users are
//! missing. A strong-consistency namespace has regimes, but no roster: its partitions are
//! always available.
//!
//! # How it works
//! All nodes live in one thread: a poll loop over their sockets (`engine`) and
//! the model of the cluster (`cluster`) with its pending events. The handle
//! [`Sim`] sends closures to the thread. Each node needs a descriptor for its
//! listener and one for each connection, so hundreds of nodes may need a higher
//! limit of open files (`ulimit -n`).

#![forbid(unsafe_code)]

mod agenda;
mod balance;
mod batch;
mod cluster;
mod config;
mod connection;
mod console;
mod controls;
mod engine;
mod handle;
mod info;
mod membership;
mod node;
mod record;
mod reserved;
mod security;
mod status;
mod stream;
#[cfg(feature = "tls")]
mod tls;
mod view;

pub use config::{SimConfig, SimError, SimNamespace, SimUser, Timings};
pub use handle::Sim;
pub use status::{RecordCommand, RecordKind, SimNodeState, SimNodeStatus, SimStatus};
#[cfg(feature = "tls")]
pub use tls::SimTls;
