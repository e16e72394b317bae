//! The simulated cluster behaves as real servers do.

mod client;
mod framing;
mod membership;
mod misbehaviour;
mod namespaces;
mod records;
mod replies;
