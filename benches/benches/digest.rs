//! From keys to digests and to nodes, one by one and many at once, compared with the
//! `ripemd` crate on the same keys.
//!
//! ```text
//! cargo bench -p tendmap-benches --bench digest
//! ```
//!
//! A table of ratios comes first. Its contenders take turns in short rounds, so
//! that a busy machine slows all of them alike; each figure is the median of
//! the rounds. Then criterion measures the same one after the other.

use std::hint::black_box;
use std::time::Instant;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use ripemd::{Digest as _, Ripemd160};
use tendmap::internals::route::Lanes;
use tendmap::route::{Batch, Digest, InSet, Key, Keys, Policy, Record};
use tendmap_benches::published;
use tendmap_harness::sample::Samples;
use tendmap_harness::shape::{NAMESPACE, Shape};

/// Few enough to stay in the L1 cache.
const KEYS: usize = 1024;
const ROUNDS: usize = 400;
const SET: &str = "users";

/// The digest computed by the crate.
fn crates(key: Key<'_>) -> [u8; 20] {
    let hash = Ripemd160::new().chain_update(black_box(SET));
    let hash = match key {
        Key::Integer(value) => hash.chain_update([1]).chain_update(value.to_be_bytes()),
        Key::Str(value) => hash.chain_update([3]).chain_update(value),
        other => panic!("no such key here: {other:?}"),
    };
    hash.finalize().into()
}

/// One contender: its name, and a round over all keys.
type Contender<'a> = (String, Box<dyn FnMut() + 'a>);

/// The contenders for one kind of keys, the `ripemd` crate first.
fn contenders<'a>(
    keys: &'a [Key<'a>],
    batched: &'a dyn Fn(Lanes, &mut [Digest]),
    route: &'a mut dyn FnMut(&mut Batch, bool),
    one: &'a mut dyn FnMut(Key<'a>),
) -> Vec<Contender<'a>> {
    let route = std::rc::Rc::new(std::cell::RefCell::new(route));
    let mut all: Vec<Contender> = vec![
        (
            "ripemd crate, digest".into(),
            Box::new(|| {
                keys.iter().for_each(|key| {
                    black_box(crates(black_box(*key)));
                });
            }),
        ),
        (
            "one by one, digest".into(),
            Box::new(|| {
                keys.iter().for_each(|key| {
                    black_box(Digest::of(black_box(SET), black_box(*key)));
                });
            }),
        ),
        ("one by one, node".into(), Box::new(|| keys.iter().for_each(|key| one(black_box(*key))))),
    ];
    for lanes in Lanes::available() {
        let mut digests = vec![Digest::ZERO; keys.len()];
        all.push((
            format!("many, {lanes}, digests"),
            Box::new(move || {
                batched(lanes, black_box(&mut digests));
            }),
        ));
        for grouped in [false, true] {
            let mut batch = Batch::with_lanes(lanes);
            let route = route.clone();
            let name = if grouped { "keys per node" } else { "nodes" };
            all.push((
                format!("many, {lanes}, {name}"),
                Box::new(move || {
                    (route.borrow_mut())(&mut batch, grouped);
                }),
            ));
        }
    }
    all
}

/// Prints the table: the median time per key, and the ratio to the crate's speed.
fn table(kind: &str, all: &mut [Contender<'_>]) {
    let mut times = vec![Vec::new(); all.len()];
    for _ in 0..ROUNDS {
        for ((_, round), times) in all.iter_mut().zip(&mut times) {
            let begun = Instant::now();
            round();
            times.push(begun.elapsed().as_nanos() as f64 / KEYS as f64);
        }
    }
    println!("\n{kind}: ns a key, times the speed of the crate");
    for ((name, _), own) in all.iter().zip(&times) {
        let ratios = times[0].iter().zip(own).map(|(base, own)| base / own);
        let [time, ratio] = [own.iter().copied().collect(), ratios.collect()]
            .map(|samples: Samples| samples.median().expect("there were rounds"));
        println!("  {name:32}{time:8.2}{ratio:8.2} x");
    }
}

fn digest(c: &mut Criterion) {
    let (client, mut router) = published(Shape::DEFAULT.map(), |_| 1_u64);
    let namespace = router.namespace(NAMESPACE).expect("it was published");
    let integers: Vec<i64> = (0..KEYS as i64).map(|n| n * 7919).collect();
    let texts: Vec<String> =
        (0..KEYS).map(|n| format!("user-{:06}{}", n * 37, &"xyz"[..n % 4])).collect();
    let integer_keys: Vec<Key> = integers.iter().map(|key| Key::from(*key)).collect();
    let text_keys: Vec<Key> = texts.iter().map(Key::from).collect();
    let records: Vec<Record> = texts.iter().map(|text| Record::new(SET, text)).collect();

    let kinds: [(&str, &[Key], &dyn Keys); 3] = [
        ("integers", &integer_keys, &InSet::new(SET, &integers)),
        ("texts of 11 to 14 bytes", &text_keys, &InSet::new(SET, &texts)),
        ("records of such texts", &text_keys, &&records[..]),
    ];
    for (kind, keys, many) in kinds {
        let router = std::cell::RefCell::new(&mut router);
        let batched = |lanes: Lanes, digests: &mut [Digest]| Digest::many_in(lanes, many, digests);
        let mut route = |batch: &mut Batch, grouped: bool| {
            let mut router = router.borrow_mut();
            router.route_batch(namespace, many, Policy::Master, batch).expect("a map is there");
            if grouped {
                batch.groups().for_each(|group| {
                    black_box(group);
                });
            }
        };
        let mut one = |key: Key<'_>| {
            let record = Record { set: SET, key };
            let mut router = router.borrow_mut();
            let route = router.route(namespace, record, Policy::Master).expect("owned");
            black_box(*route.state());
        };
        let mut all = contenders(keys, &batched, &mut route, &mut one);
        table(kind, &mut all);

        let mut group = c.benchmark_group(format!("{kind} to"));
        group.throughput(Throughput::Elements(KEYS as u64));
        for (name, round) in &mut all {
            group.bench_function(name.as_str(), |b| b.iter(&mut *round));
        }
        group.finish();
    }
    client.close();
}

criterion_group!(benches, digest);
criterion_main!(benches);
