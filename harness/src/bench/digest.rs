//! From keys to nodes, compared with the digest alone as the `ripemd` crate computes
//! it.

use std::hint::black_box;
use std::time::Instant;

use ripemd::{Digest as _, Ripemd160};
use tendmap::internals::route::Lanes;
use tendmap::route::{Batch, InSet, NamespaceHandle, Policy, Record, RouteError, Router};

use tendmap_cli::failure::Failure;
use tendmap_harness::sample::Samples;

/// The number of keys in one timing.
const KEYS: i64 = 4096;
/// The set of the keys.
const SET: &str = "users";
/// The byte before the bytes of an integer key in the wire protocol.
const INTEGER: u8 = 1;

/// Nanoseconds per key.
#[derive(Default)]
pub struct Digests {
    /// The crate's digest.
    pub crates: Samples,
    /// Digest and node, one by one.
    pub one: Samples,
    /// Digest and node, many at once.
    pub batch: Samples,
}

/// Runs one round. Each round uses new keys.
///
/// # Errors
/// [`Failure`] if a lookup fails.
pub fn round(
    router: &mut Router<u64>,
    handle: NamespaceHandle,
    batch: &mut Batch,
    turn: i64,
    into: &mut Digests,
) -> Result<(), Failure> {
    let keys = turn * KEYS..(turn + 1) * KEYS;
    let begun = Instant::now();
    for key in keys.clone() {
        let message = Ripemd160::new().chain_update(SET).chain_update([INTEGER]);
        black_box(message.chain_update(black_box(key).to_be_bytes()).finalize());
    }
    into.crates.push(ns(begun));
    let begun = Instant::now();
    black_box(route(router, handle, keys.clone())?);
    into.one.push(ns(begun));
    let keys: Vec<i64> = keys.collect();
    let begun = Instant::now();
    router.route_batch(handle, &InSet::new(SET, black_box(&keys)), Policy::Master, batch)?;
    into.batch.push(ns(begun));
    Ok(())
}

/// The number of digests of a batch that are computed at once.
pub fn lanes() -> usize {
    Lanes::best().width()
}

fn route(
    router: &mut Router<u64>,
    handle: NamespaceHandle,
    keys: core::ops::Range<i64>,
) -> Result<u64, RouteError> {
    let mut sum = 0_u64;
    for key in keys {
        let record = Record::new(SET, black_box(key));
        sum = sum.wrapping_add(*router.route(handle, record, Policy::Master)?.state());
    }
    Ok(sum)
}

fn ns(since: Instant) -> f64 {
    since.elapsed().as_nanos() as f64 / KEYS as f64
}
