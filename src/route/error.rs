//! Why there is no node to route to.

use super::policy::Policy;
use crate::map::SnapshotError;
use crate::text::{Printable, Quoted};

/// Why a key can't be routed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// Nothing has been published in the segment yet.
    #[error("no map has been published yet; wait for the owner's first tend")]
    NoMap,
    /// The map has no nodes.
    #[error("the cluster has no nodes at the moment; try again after the next tend")]
    ClusterEmpty,
    /// The cluster has no namespace of that name.
    #[error("no namespace {name:?} in the cluster; there are {}", Quoted(.known))]
    NamespaceUnknown {
        /// The requested name.
        name: String,
        /// The existing names.
        known: Vec<String>,
    },
    /// The partition has no node of the wanted kind.
    #[error(
        "partition {partition} of namespace {} has no {}; try again after the next tend",
        Printable(.namespace),
        if *policy == Policy::Master { "master" } else { "replica whose node is there" }
    )]
    NoNode {
        /// The namespace's name.
        namespace: String,
        /// The partition.
        partition: usize,
        /// The policy: [`Policy::Master`] allows only the master, the others any replica.
        policy: Policy,
    },
    /// The partition is out of range.
    #[error("partition {partition}; wanted one below {partitions}")]
    OutOfRange {
        /// The requested partition.
        partition: usize,
        /// The number of partitions.
        partitions: usize,
    },
    /// The handle was made by another router.
    #[error("the namespace handle belongs to another router; ask this router for its own")]
    ForeignHandle,
    /// The map can't be read.
    #[error(transparent)]
    Map(#[from] SnapshotError),
}
