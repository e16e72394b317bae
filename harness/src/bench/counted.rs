//! The code whose instructions `.ci/instructions` counts. Each function here whose
//! name begins with `counted` runs under callgrind with the counter on, everything
//! else with it off. None of them has a closure that could be compiled separately,
//! because its name would also switch the counter.

use std::hint::black_box;

use tendmap::client::Reader;
use tendmap::internals::route::Lanes;
use tendmap::internals::segment::{Ownership, PublishFailure};
use tendmap::map::ClusterMap;
use tendmap::route::{
    Batch, InSet, NamespaceHandle, Partition, Policy, Record, RouteError, Router, SharedRouter,
};

use tendmap_cli::args::Common;
use tendmap_cli::failure::Failure;
use tendmap_cli::fleet::stage::{Ground, Play};
use tendmap_harness::fixed::own;
use tendmap_harness::shape::{NAMESPACE, PARTITIONS, Shape, turn_all, turn_one_percent};

/// A case that is counted.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Case {
    /// From a resolved namespace and a partition to the master's state.
    Lookup,
    /// The same, pinned: under one check of the head.
    Pinned,
    /// As a lookup, in a router that threads share.
    Shared,
    /// From a key to the master's state, including the digest.
    Key,
    /// From many keys to their nodes, in the lanes that every processor has.
    Batch,
    /// The same in eight lanes, if the processor has them.
    BatchOfEight,
    /// A publication with every routing word changed, per partition.
    Publication,
    /// A publication with 1 % changed, per partition of the map.
    OnePercent,
    /// A publication of an unchanged map, per partition of the map.
    Unchanged,
}

/// Runs the case, and reports the number of operations that were counted; 0 if this machine can't
/// run it.
///
/// # Errors
/// [`Failure`].
pub fn run(common: &Common, case: Case) -> Result<(), Failure> {
    let ground = Ground::new(common, Play::Bench)?;
    let shape = Shape::DEFAULT;
    let (mut ownership, mut map) = (own(&ground.place, shape.capacity())?, shape.map());
    ownership.publish(&map).map_err(not_published)?;
    let mut router = Reader::attach(&ground.place)?.router_with(|_| 1_u64);
    let handle = router.namespace(NAMESPACE)?;
    let operations = match case {
        Case::Lookup => {
            warm(&mut router, handle)?;
            black_box(counted_lookups(&mut router, handle)?);
            PARTITIONS
        }
        Case::Pinned => {
            warm(&mut router, handle)?;
            black_box(counted_pinned(&mut router, handle)?);
            PARTITIONS
        }
        Case::Shared => {
            let router = Reader::attach(&ground.place)?.shared_router(|_| 1_u64);
            let handle = router.namespace(NAMESPACE)?;
            router.route(handle, Partition(0), Policy::Master)?;
            black_box(counted_shared(&router, handle)?);
            PARTITIONS
        }
        Case::Key => {
            warm(&mut router, handle)?;
            black_box(counted_keys(&mut router, handle)?);
            KEYS as usize
        }
        Case::Batch => batch(&mut router, handle, Lanes::PORTABLE)?,
        Case::BatchOfEight => match Lanes::available().find(|lanes| lanes.width() == 8) {
            Some(lanes) => batch(&mut router, handle, lanes)?,
            None => 0,
        },
        Case::Publication | Case::OnePercent | Case::Unchanged => {
            let mut random = fastrand::Rng::with_seed(1);
            // The frames alternate, so only the third publication of a kind writes
            // no changes of another kind.
            for _ in 0..2 {
                change(case, &mut map, &mut random);
                ownership.publish(&map).map_err(not_published)?;
            }
            change(case, &mut map, &mut random);
            counted_publication(&mut ownership, &map).map_err(not_published)?;
            shape.namespaces() * PARTITIONS
        }
    };
    println!("{operations}");
    Ok(())
}

const KEYS: i64 = 1024;

/// Makes one lookup, because the first one after a publication reads the tables
/// again.
fn warm(router: &mut Router<u64>, handle: NamespaceHandle) -> Result<(), RouteError> {
    router.route(handle, Partition(0), Policy::Master).map(|_| ())
}

fn change(case: Case, map: &mut ClusterMap, random: &mut fastrand::Rng) {
    match case {
        Case::Publication => turn_all(map),
        Case::OnePercent => turn_one_percent(map, random),
        _ => {}
    }
}

#[inline(never)]
fn counted_lookups(router: &mut Router<u64>, handle: NamespaceHandle) -> Result<u64, RouteError> {
    let mut sum = 0_u64;
    for partition in 0..PARTITIONS {
        let route = router.route(handle, Partition(black_box(partition)), Policy::Master)?;
        sum = sum.wrapping_add(*route.state());
    }
    Ok(sum)
}

#[inline(never)]
fn counted_pinned(router: &mut Router<u64>, handle: NamespaceHandle) -> Result<u64, RouteError> {
    pinned(router, handle)
}

fn pinned(router: &mut Router<u64>, handle: NamespaceHandle) -> Result<u64, RouteError> {
    router.pin(|pinned| {
        let mut sum = 0_u64;
        for partition in 0..PARTITIONS {
            let master = pinned.master(handle, Partition(black_box(partition)))?;
            sum = sum.wrapping_add(master.map_or(0, |slot| slot.index() as u64));
        }
        Ok(sum)
    })
}

#[inline(never)]
fn counted_shared(router: &SharedRouter<u64>, handle: NamespaceHandle) -> Result<u64, RouteError> {
    let mut sum = 0_u64;
    for partition in 0..PARTITIONS {
        let route = router.route(handle, Partition(black_box(partition)), Policy::Master)?;
        sum = sum.wrapping_add(*route.state());
    }
    Ok(sum)
}

#[inline(never)]
fn counted_keys(router: &mut Router<u64>, handle: NamespaceHandle) -> Result<u64, RouteError> {
    let mut sum = 0_u64;
    for key in 0..KEYS {
        let record = Record::new("users", black_box(key));
        sum = sum.wrapping_add(*router.route(handle, record, Policy::Master)?.state());
    }
    Ok(sum)
}

fn batch(
    router: &mut Router<u64>,
    handle: NamespaceHandle,
    lanes: Lanes,
) -> Result<usize, RouteError> {
    let keys: Vec<i64> = (0..KEYS).collect();
    let mut batch = Batch::with_lanes(lanes);
    // The first batch allocates.
    router.route_batch(handle, &InSet::new("users", &keys), Policy::Master, &mut batch)?;
    counted_batch(router, handle, &keys, &mut batch)?;
    Ok(keys.len())
}

#[inline(never)]
fn counted_batch(
    router: &mut Router<u64>,
    handle: NamespaceHandle,
    keys: &[i64],
    batch: &mut Batch,
) -> Result<(), RouteError> {
    router.route_batch(handle, &InSet::new("users", black_box(keys)), Policy::Master, batch)
}

#[inline(never)]
fn counted_publication(
    ownership: &mut Ownership,
    map: &ClusterMap,
) -> Result<Option<u64>, PublishFailure> {
    ownership.publish(map)
}

fn not_published(why: PublishFailure) -> Failure {
    Failure::Failed(format!("the bench could not publish: {why}"))
}
