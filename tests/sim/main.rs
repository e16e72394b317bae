//! The simulated cluster has the manners of real servers.

mod client;
mod framing;
mod membership;
mod misbehaviour;
mod namespaces;
mod records;
mod replies;
