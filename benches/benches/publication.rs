//! A publication, compared with a plain copy of the same bytes, in interleaved rounds.
//!
//! ```text
//! cargo bench -p tendmap-benches --bench publication [-- --rounds 400]
//! ```
//!
//! Each time is from the call of `Ownership::publish` to its return. It includes the
//! encoding of the map, the comparison with the last one, the stores, the exchange of
//! the head and the wake-up of waiting processes.

use std::hint::black_box;
use std::time::Instant;

use tendmap::map::ClusterMap;
use tendmap_benches::place::Owned;
use tendmap_harness::sample::Samples;
use tendmap_harness::shape::{Shape, turn_all, turn_one_percent};

/// The change between two publications.
#[derive(Clone, Copy, PartialEq)]
enum Change {
    /// No change: the call finds nothing to publish.
    Nothing,
    /// A random 1 % of the partitions.
    OnePercent,
    /// Every routing word.
    Routing,
    /// Every routing word and every regime.
    All,
}

impl Change {
    const ALL: [(Change, &str); 4] = [
        (Change::Nothing, "nothing changed"),
        (Change::OnePercent, "1 % changed"),
        (Change::Routing, "all routing words changed"),
        (Change::All, "all routing words and regimes changed"),
    ];

    fn make(self, map: &mut ClusterMap, random: &mut fastrand::Rng) {
        match self {
            Change::Nothing => {}
            Change::OnePercent => turn_one_percent(map, random),
            Change::Routing => turn_all(map),
            Change::All => {
                turn_all(map);
                for namespace in map.namespaces_mut() {
                    let partitions = &mut namespace.partitions;
                    for partition in 0..partitions.len() {
                        let regime = partitions.regime(partition);
                        partitions.set_regime(partition, regime + 1);
                    }
                }
            }
        }
    }
}

fn main() {
    let rounds = std::env::args().skip_while(|arg| arg != "--rounds").nth(1);
    let rounds: usize = rounds.map_or(400, |rounds| rounds.parse().expect("a number of rounds"));
    println!(
        "{:<30} {:>10} {:>38} {:>9} {:>9} {:>9}",
        "map", "words", "what changed", "median", "quarter", "/ copy"
    );
    for shape in [
        Shape { namespaces: 1, ..Shape::DEFAULT },
        Shape { namespaces: 2, ..Shape::DEFAULT },
        Shape { namespaces: 4, ..Shape::DEFAULT },
        Shape::DEFAULT,
        Shape { namespaces: 16, ..Shape::DEFAULT },
        Shape { namespaces: 32, nodes: 256, replicas: 5 },
    ] {
        run(shape, if shape.namespaces > 8 { rounds / 4 } else { rounds }.max(8));
    }
}

fn run(shape: Shape, rounds: usize) {
    let mut map = shape.map();
    let mut owned = Owned::new(shape.capacity());
    let words = shape.words();
    let (from, mut to) = (vec![1_u64; words], vec![0_u64; words]);
    let mut random = fastrand::Rng::with_seed(1);
    let mut times = vec![Samples::default(); Change::ALL.len()];
    let mut copies = Samples::default();
    for round in 0..=rounds {
        let copy = timed(|| black_box(&mut to).copy_from_slice(black_box(&from)));
        for (at, (change, _)) in Change::ALL.into_iter().enumerate() {
            // The frames alternate, so the first two publications of a kind still
            // write changes of other kinds.
            for turn in 0..4 {
                change.make(&mut map, &mut random);
                let mut published = None;
                let time =
                    timed(|| published = owned.ownership.publish(&map).expect("it is the owner"));
                let first = round == 0 && turn == 0;
                assert_eq!(published.is_some(), first || change != Change::Nothing);
                if round > 0 && turn >= 2 {
                    times[at].push(time);
                }
            }
        }
        if round > 0 {
            copies.push(copy);
        }
    }
    let copy = copies.median().expect("there were rounds");
    println!(
        "{:<30} {words:>10} {:>38} {:>6.1} µs",
        shape.to_string(),
        "(copy of as many words)",
        copy
    );
    for (times, (_, name)) in times.iter().zip(Change::ALL) {
        let [median, quarter] =
            [500, 250].map(|share| times.quantile(share).expect("there were rounds"));
        let ratio = median / copy;
        println!(
            "{:<30} {:>10} {name:>38} {:>6.1} µs {:>6.1} µs {ratio:>9.1}",
            "", "", median, quarter
        );
    }
}

/// How long it takes, in microseconds.
fn timed(f: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    f();
    begun.elapsed().as_secs_f64() * 1e6
}
