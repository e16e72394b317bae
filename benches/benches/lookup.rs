//! A resolved namespace and a partition to the master's local state, beside the
//! floor (an unsynchronised array) and a lock that many would take instead.
//!
//! ```text
//! cargo bench -p tendmap-benches --bench lookup
//! ```

use std::hint::black_box;
use std::sync::RwLock;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tendmap::map::{Capacity, ClusterMap, Node, NodeId, Slot};
use tendmap::route::{Partition, Policy, Record};
use tendmap_benches::published;

const LOOKUPS: usize = 4096;

fn map() -> ClusterMap {
    let mut map = ClusterMap::new(Capacity::DEFAULT);
    let slots: Vec<Slot> = (0..12)
        .map(|number| {
            let id = NodeId::new(&format!("BB9{number:04}")).expect("a valid id");
            let address = ([127, 0, 0, 1], 3000 + number).into();
            map.nodes.insert(Node { id, address, tls_name: None }).expect("there is room")
        })
        .collect();
    let namespace = map.namespace_entry("test".parse().expect("valid")).expect("there is room");
    namespace.replication_factor = 2;
    for partition in 0..4096 {
        for replica in 0..2 {
            let slot = slots[(partition * 7 + replica) % slots.len()];
            namespace.partitions.set_owner(partition, replica, Some(slot));
        }
    }
    map
}

/// Partitions in an order that no prefetcher foresees.
fn order() -> Vec<usize> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state as usize >> 8 & 4095
    };
    (0..LOOKUPS).map(|_| next()).collect()
}

fn lookup(c: &mut Criterion) {
    let map = map();
    let (client, mut router) = published(map.clone(), |_| 1_u64);
    let namespace = router.namespace("test").expect("it was published");
    let order = order();
    let owners: Vec<usize> = (0..4096)
        .map(|partition| {
            map.namespaces()[0].partitions.owner(partition, 0).expect("all are owned").index()
        })
        .collect();
    let states = vec![1_u64; 12];
    let locked = RwLock::new((owners.clone(), states.clone()));

    let mut group = c.benchmark_group("lookup");
    group.throughput(Throughput::Elements(LOOKUPS as u64));
    group.bench_function("floor: array", |b| {
        b.iter(|| order.iter().map(|&p| states[owners[black_box(p)]]).sum::<u64>());
    });
    group.bench_function("router: master", |b| {
        b.iter(|| {
            let mut sum = 0;
            for &p in &order {
                let target = Partition(black_box(p));
                sum += *router.route(namespace, target, Policy::Master).expect("owned").state();
            }
            sum
        });
    });
    group.bench_function("router: pinned", |b| {
        b.iter(|| {
            router
                .pin(|pinned| {
                    let mut sum = 0;
                    for &p in &order {
                        let master = pinned.master(namespace, Partition(black_box(p)))?;
                        sum += master.map_or(0, |slot| slot.index() as u64);
                    }
                    Ok(sum)
                })
                .expect("a map was published")
        });
    });
    group.bench_function("std RwLock", |b| {
        b.iter(|| {
            let one = |&p: &usize| {
                let tables = locked.read().expect("nobody panics");
                tables.1[tables.0[black_box(p)]]
            };
            order.iter().map(one).sum::<u64>()
        });
    });
    group.finish();

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

criterion_group!(benches, lookup);
criterion_main!(benches);
