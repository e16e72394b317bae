//! The cluster map as plain values: which nodes there are and, for each
//! namespace, which node holds which replica of which partition.
//!
//! [`ClusterMap`] is what a [`ClusterSource`](crate::tend::ClusterSource)
//! keeps and what lies, packed into words, in a frame of the segment. It has no
//! lock and no sharing: it is one process's private copy.

mod cluster;
mod image;
mod matter;
mod names;
mod namespace;
mod node;
mod note;
mod records;
mod snapshot;
mod trouble;

pub use crate::layout::{Capacity, CapacityError};
pub use cluster::{ClusterMap, NamespacesFull};
pub use image::{Changes, Image, NoRoom};
pub use matter::{Departure, Lasting, Matter, Matters, Reason};
pub use names::{ClusterName, NameError, NamespaceName, NodeId, TlsName};
pub use namespace::{Namespace, Partitions};
pub use node::{Node, NodeTable, Slot, TableFull};
pub(crate) use records::{REPLICAS_A_WORD, RoutingWord};
pub use snapshot::{Snapshot, SnapshotError, Tables, snapshot, tables};
pub use trouble::Trouble;
