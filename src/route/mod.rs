//! Routing: from a key to its digest, its partition and the node to ask.

mod digest;
mod key;
mod policy;

pub use digest::{Digest, DigestError};
pub use key::Key;
pub use policy::{Attempt, Policy, Starts, select};
