//! Why there is no node to route to.

use crate::map::SnapshotError;
use crate::text::{Printable, Quoted};

/// Why a key can't be routed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteError {
    /// Nothing was published in the segment yet.
    #[error(
        "no map has been published yet; wait for the owner's first tend (see `tendmap status`)"
    )]
    NoMap,
    /// The map has no node at all.
    #[error(
        "the cluster has no nodes at the moment; see `tendmap status` for how long it has not been tended"
    )]
    ClusterEmpty,
    /// No namespace of that name.
    #[error("no namespace {name:?} in the cluster; there are {}", Quoted(.known))]
    NamespaceUnknown {
        /// The name that was asked for.
        name: String,
        /// The names that there are.
        known: Vec<String>,
    },
    /// No node of the partition may be used.
    #[error(
        "partition {partition} of namespace {} has no {wanted}; try again after the next tend",
        Printable(.namespace)
    )]
    NoNode {
        /// The namespace's name.
        namespace: String,
        /// The partition.
        partition: usize,
        /// What was looked for: a master, or any replica.
        wanted: &'static str,
    },
    /// A partition that no namespace has.
    #[error("partition {partition}; wanted one below {partitions}")]
    OutOfRange {
        /// The partition asked for.
        partition: usize,
        /// How many there are.
        partitions: usize,
    },
    /// The handle was made by another router.
    #[error("the namespace handle belongs to another router; ask this router for its own")]
    ForeignHandle,
    /// The map can't be read.
    #[error(transparent)]
    Map(#[from] SnapshotError),
}
