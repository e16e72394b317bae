//! What the tender makes of a cluster's replies.

mod addresses;
mod bounds;
mod builds;
mod entries;
mod failover;
mod grammar;
mod groups;
mod holes;
mod identity;
mod login;
mod members;
mod pass;
mod recorded;
mod seeds;
mod simulated;
mod tcp;
mod tls;
mod unreached;
