//! The cluster map as plain values: which nodes there are and, for each
//! namespace, which node holds which replica of which partition.
//!
//! [`ClusterMap`] is what a [`ClusterSource`](crate::tend::ClusterSource)
//! keeps and what lies, packed into words, in a frame of the segment. It has no
//! lock and no sharing: it is one process's private copy.

mod cluster;
mod extent;
mod matter;
mod names;
mod namespace;
mod node;
mod node_health;
mod note;
mod records;
mod snapshot;

pub use crate::layout::{Capacity, CapacityError};
pub use cluster::{ClusterMap, NamespacesFull};
pub use extent::{Changes, FrameExtent, NoRoom};
pub use matter::{Departure, Lasting, Matter, Matters, Reason};
pub use names::{ClusterName, NameError, NamespaceName, NodeId, TlsName};
pub use namespace::{Namespace, Partitions};
pub use node::{Node, NodeTable, Slot, TableFull};
pub use node_health::NodeHealth;
pub(crate) use records::{REPLICAS_PER_WORD, RoutingWord};
pub use snapshot::{Snapshot, SnapshotError, Tables, snapshot, tables};
