//! Digests, replicas and nodes: how a key is routed.

mod batch;
mod digest_lanes;
mod digests;
mod lookup_ways;
mod rig;
mod routers;
mod selection;
mod shared;
