//! The common part of tendmap's bindings for other languages: one kind for every
//! error, and a client that survives `fork`.

#![forbid(unsafe_code)]

mod batch;
mod events;
mod kind;
mod session;

pub use batch::{NO_NODE, indexes};
pub use kind::{Failure, Kind};
pub use session::Session;
