//! The parts of the example client, for its program and its tests.
#![allow(missing_docs, reason = "an example to read, not a library")]

pub mod access;
pub mod flags;
pub mod load;
pub mod pool;
pub mod store;
pub mod wire;
