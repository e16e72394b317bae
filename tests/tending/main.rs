//! How the tender turns a cluster's replies into a map.

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
