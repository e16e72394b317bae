//! Routing: from a key to its digest, its partition and the node to ask.

mod batch;
mod digest;
mod error;
mod errors;
mod key;
mod nodes;
mod policy;
mod router;
mod target;

pub use batch::{Batch, BatchRoute, Group};
pub use digest::{AsKey, Digest, DigestError, InSet, Keys, Lanes};
pub use error::RouteError;
pub use errors::ErrorWindow;
pub use key::Key;
pub use nodes::Route;
pub use policy::{Attempt, Policy, Starts, select};
pub use router::{NamespaceHandle, Pinned, Router};
pub use target::{Partition, Record, Target};
