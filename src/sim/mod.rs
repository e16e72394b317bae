//! A simulated cluster: any number of nodes on the loopback that speak the
//! real protocol, kill and start as real nodes do, and answer as real nodes
//! were recorded to answer, in every phase between.
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
//! # What it does as real nodes do
//! - The framing, with its manners: several requests at once, replies in order,
//!   no reply to what does not end with a newline, a closed connection for
//!   another version or type.
//! - Generations belong to a process: they restart with it, and its first
//!   replies are those of a node that has not joined (partition generation -1,
//!   no peers, no claims).
//! - A death goes unnoticed for a while; then peers, replicas and generations
//!   of a survivor change together, and survivors differ by up to half a second.
//! - Partitions migrate one by one, each raising the partition generation of
//!   the node that gives it and the one that takes it; until then the acting master claims the missing
//!   replica too.
//! - The reported replication factor is the effective one.
//! - A frozen node that wakes believes for a while that it is still master.
//! - With security on, a connection that has not logged in gets
//!   `ERROR:80:not authenticated` for every command; sessions end with their
//!   lifetime and with the process of the node that gave them.
//! - With TLS each node listens at a second port and lists the others' second
//!   ports in `peers-tls-std`.
//!
//! # What it does not
//! It stores records in one place: every node answers for every record,
//! whichever node holds it. Batches, scans, queries and the administration of users are
//! missing. A strong-consistency namespace has regimes, but no roster: its partitions are
//! always available.
//!
//! # How it works
//! All nodes live in one thread: a poll loop over their sockets (`engine`),
//! the model of the cluster (`cluster`) and what is due in it. The handle
//! [`Sim`] sends it closures. For hundreds of nodes mind the limit on open files
//! (`ulimit -n`): a listener a node and a descriptor a connection.

#![forbid(unsafe_code)]

mod agenda;
mod balance;
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
mod security;
mod status;
mod stream;
#[cfg(feature = "tls")]
mod tls;
mod view;

pub use config::{SimConfig, SimError, SimNamespace, SimUser, Timings};
pub use console::console;
pub use handle::Sim;
pub use status::{NodeState, NodeStatus, RecordCommand, RecordKind, SimStatus};
#[cfg(feature = "tls")]
pub use tls::SimTls;
