//! Benchmarks of tendmap and its alternatives.
//!
//! All contenders make the same lookup in the same cluster: from a partition to the
//! local state of its master.
//! [`contenders::Contender`] is their interface; `--bin compare` compares them.

pub mod contenders;
pub mod measure;
pub mod place;
pub mod rig;

use tendmap::client::{Client, Config};
use tendmap::map::{ClusterMap, Node};
use tendmap::route::Router;
use tendmap_harness::fixed::Fixed;

/// A client that owns a shared segment with this map, and a router.
pub fn published<S>(
    map: ClusterMap,
    state: impl FnMut(&Node) -> S + Send + 'static,
) -> (Client, Router<S>) {
    let host = "127.0.0.1:3000".parse().expect("a valid host");
    let key = 0xBE00_0000 | std::process::id() & 0xff_ffff;
    let config = Config::shared(vec![host], key);
    let client = Client::connect_with(config, Box::new(Fixed::new(map))).expect("a segment");
    let router = client.router_with(state);
    (client, router)
}
