//! Routing: from a key to its digest, its partition and its node.
//!
//! # The types, in order
//!
//! Each knows only those above it.
//!
//! - A **view** (`view.rs`) is all that is true of one publication: the segment
//!   and its head, the stamp and the table generation that are kept
//!   (`protocol::Cached`), the nodes with what the user keeps for
//!   each, the namespaces. It finds nodes, and is the only one that brings itself
//!   up to date.
//! - A **namespace cache** (`namespace_cache.rs`) is what lookups in one namespace
//!   need: its routing words in the live frame, the number of its replicas, the
//!   ranks of its nodes. A view has one for each [`NamespaceHandle`].
//! - A **target** ([`Target`]) is what lies in one partition: a [`Record`], its
//!   [`Digest`], or the [`Partition`] itself.
//! - **Pinned** lookups ([`Pinned`], [`PinnedNamespace`]) borrow the view under one
//!   check of the head.
//! - A **batch** ([`Batch`]) computes the digests of many keys at once and looks
//!   them up pinned.
//! - A **router** ([`Router`]) is a view and what belongs to one thread: the names
//!   that it was asked for, where its commands start among the replicas
//!   (`ReplicaRotation`), the racks that it prefers, what makes the state of a node, and
//!   the process's current segment.
//!
//! Beside them, a [`Policy`] and an [`Attempt`] say which replica is wanted, and
//! `select` is the rule.
//!
//! # Three ways to look a key up
//!
//! 1. The short way, of [`Router::route`] and [`PinnedNamespace::route`]
//!    (`NamespaceCache::likely`), takes the replica that the policy wants first.
//!    It has no loop and no branch for what is missing. Where it finds no node, the
//!    reference decides.
//! 2. The master of a pinned namespace ([`PinnedNamespace::master`]) is a load and
//!    a comparison, without an attempt.
//! 3. The reference (`PinnedNamespace::plain`) applies `select` to all replicas.
//!
//! They are apart because it was measured: the short way takes 24 instructions and
//! the pinned master 14, where a lookup by the reference alone loops over the
//! replicas (`docs/PERFORMANCE.md`, "What a lookup is made of"; `.ci/instructions`
//! holds the counts). `tests/lookup_ways.rs` holds their answers equal, errors
//! included.

mod batch;
mod digest;
mod error;
mod error_window;
mod key;
mod names;
mod namespace_cache;
mod nodes;
mod pinned;
mod policy;
mod preferred;
mod rank;
mod rotation;
mod router;
mod shared;
mod target;
mod view;

pub use batch::{Batch, BatchRoute, Group};
pub use digest::{AsKey, Digest, DigestError, InSet, Keys};
pub use error::RouteError;
pub use error_window::ErrorWindow;
pub use key::Key;
pub use names::NamespaceRef;
pub use namespace_cache::NamespaceHandle;
pub use nodes::Route;
pub use pinned::{Pinned, PinnedNamespace, PinnedRoute};
pub use policy::{Attempt, Policy, ReadMode};
pub(crate) use preferred::PreferredRacks;
pub use router::Router;
pub use shared::{SharedRoute, SharedRouter};
pub use target::{Partition, Record, Target};

/// What the rest of the crate, its tests and benchmarks use beside that.
pub(crate) mod internals {
    pub use super::digest::{Digests, Lanes};
    pub use super::policy::select;
    pub use super::rotation::ReplicaRotation;
}
