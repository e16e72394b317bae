//! The cluster map as plain values: the nodes and, for each namespace, which
//! node holds which replica of which partition.
//!
//! [`ClusterMap`] is what a [`ClusterSource`](crate::tend::ClusterSource)
//! maintains, and what a frame of the segment holds, packed into words. It has
//! no lock and is not shared: it is one process's private copy.

mod build;
mod cluster;
mod condition;
mod extent;
mod names;
mod namespace;
mod node;
mod node_health;
mod note;
mod reason;
mod records;
mod snapshot;

pub use crate::layout::{Capacity, CapacityError};
pub use build::{Build, BuildError};
pub use cluster::{ClusterMap, MapFull};
pub use condition::Condition;
pub(crate) use internals::*;
pub use names::{ClusterName, NameError, NamespaceName, NodeId, TlsName};
pub use namespace::{Namespace, Partitions};
pub use node::{Node, NodeTable, Slot};
pub use node_health::NodeHealth;
pub(crate) use records::RoutingWord;
pub use snapshot::{Snapshot, SnapshotError};

/// What the rest of the crate and its tests use beside that.
pub(crate) mod internals {
    pub use super::condition::{ConditionRecords, Streak};
    pub use super::extent::{Changes, FrameExtent, NoRoom};
    pub use super::reason::{Departure, Reason};
    pub use super::snapshot::{Tables, snapshot, tables};
}
