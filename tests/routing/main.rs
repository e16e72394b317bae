//! Digests, replicas and nodes: where a key goes.

mod batch;
mod digest_lanes;
mod digests;
mod lookup_ways;
mod rig;
mod routers;
mod selection;
