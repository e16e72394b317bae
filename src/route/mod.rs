//! Routing: from a key to its digest, its partition and the node to ask.

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
mod target;
mod view;

pub use batch::{Batch, BatchRoute, Group};
pub use digest::{AsKey, Digest, DigestError, InSet, Keys, Lanes};
pub use error::RouteError;
pub use error_window::ErrorWindow;
pub use key::Key;
pub use names::NamespaceRef;
pub use namespace_cache::NamespaceHandle;
pub use nodes::Route;
pub use pinned::{Pinned, PinnedNamespace, PinnedRoute};
pub use policy::{Attempt, Policy, ReadMode, select};
pub(crate) use preferred::PreferredRacks;
pub use rotation::ReplicaRotation;
pub use router::Router;
pub use target::{Partition, Record, Target};
