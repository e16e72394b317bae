//! Lookups from a resolved namespace and a partition to the master's local state, in
//! every way of tendmap and by every contender, and from a key to its node.
//!
//! ```text
//! cargo bench -p tendmap-benches --bench lookup
//! ```
//!
//! Take ratios from the `compare` binary, which measures the same in interleaved
//! rounds.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tendmap::map::Capacity;
use tendmap::route::{Policy, Record};
use tendmap_benches::contenders::all;
use tendmap_benches::published;
use tendmap_benches::rig::{self, order};

fn lookup(c: &mut Criterion) {
    let order = order();
    let contenders = all();
    let mut group = c.benchmark_group("lookup");
    group.throughput(Throughput::Elements(order.len() as u64));
    for contender in &contenders {
        let mut reader = contender.reader();
        group.bench_function(contender.name(), |b| b.iter(|| reader.sum(black_box(&order))));
    }
    group.finish();

    let mut group = c.benchmark_group("lookup, each depends on the last");
    group.throughput(Throughput::Elements(order.len() as u64));
    for contender in &contenders {
        let mut reader = contender.reader();
        let steps = order.len();
        group.bench_function(contender.name(), |b| b.iter(|| reader.chain(black_box(7), steps)));
    }
    group.finish();
}

fn key_to_node(c: &mut Criterion) {
    let (client, mut router) = published(rig::map(Capacity::DEFAULT, 2), |_| 1_u64);
    let namespace = router.namespace(rig::NAMESPACE).expect("it was published");
    let mut group = c.benchmark_group("key to node");
    group.throughput(Throughput::Elements(1));
    group.bench_function("router: integer key", |b| {
        let mut key = 0_i64;
        b.iter(|| {
            key += 1;
            let record = Record::new("users", black_box(key));
            *router.route(namespace, record, Policy::Master).expect("owned").state()
        });
    });
    group.finish();
    client.close();
}

criterion_group!(benches, lookup, key_to_node);
criterion_main!(benches);
