//! Compares several things on a machine that other programs use, too: measures all
//! of them in turn in many rounds, and takes the medians.

use core::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::contenders::{Contender, Reader};

/// The work of the other thread at the same time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Nothing.
    Nothing,
    /// It also reads.
    Reader,
    /// It publishes, at most once in this period.
    Publisher(Duration),
}

/// The kind of lookups that are timed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Lookups that do not depend on each other.
    Throughput,
    /// Each lookup depends on the one before.
    Latency,
}

/// The number of passes over all partitions in one timing.
const PASSES: usize = 4;
/// The number of lookups in one sample of a distribution.
pub const SAMPLE: usize = 64;

/// Makes one timing; returns the nanoseconds per lookup.
pub fn time(reader: &mut dyn Reader, order: &[usize], task: Task) -> f64 {
    let begun = Instant::now();
    let lookups = PASSES * order.len();
    match task {
        Task::Throughput => {
            for _ in 0..PASSES {
                black_box(reader.sum(black_box(order)));
            }
        }
        Task::Latency => {
            black_box(reader.chain(black_box(order[0]), lookups));
        }
    }
    begun.elapsed().as_nanos() as f64 / lookups as f64
}

/// Runs `work` while another thread does its own; also returns the number of
/// publications.
pub fn with<T>(
    contender: &mut dyn Contender,
    beside: Beside,
    work: impl FnOnce() -> T,
) -> (T, u64) {
    let (ready, stop, published) =
        (AtomicBool::new(false), AtomicBool::new(false), AtomicU64::new(0));
    let other = (beside == Beside::Reader).then(|| contender.reader());
    let order = crate::rig::order();
    thread::scope(|scope| {
        if beside != Beside::Nothing {
            scope.spawn(|| match (beside, other) {
                (Beside::Publisher(period), _) => {
                    while !stop.load(Ordering::Relaxed) {
                        let next = Instant::now() + period;
                        contender.publish();
                        published.fetch_add(1, Ordering::Relaxed);
                        ready.store(true, Ordering::Relaxed);
                        while Instant::now() < next && !stop.load(Ordering::Relaxed) {
                            core::hint::spin_loop();
                        }
                    }
                }
                (_, Some(mut reader)) => {
                    while !stop.load(Ordering::Relaxed) {
                        black_box(reader.sum(black_box(&order)));
                        ready.store(true, Ordering::Relaxed);
                    }
                }
                _ => {}
            });
            while !ready.load(Ordering::Relaxed) {
                thread::yield_now();
            }
        }
        let before = published.load(Ordering::Relaxed);
        let result = work();
        let after = published.load(Ordering::Relaxed);
        stop.store(true, Ordering::Relaxed);
        (result, after - before)
    })
}

/// Times samples of [`SAMPLE`] consecutive lookups, in nanoseconds per lookup.
pub fn samples(reader: &mut dyn Reader, order: &[usize], into: &mut Vec<f64>) {
    for sample in order.chunks_exact(SAMPLE) {
        let begun = Instant::now();
        black_box(reader.sum(black_box(sample)));
        into.push(begun.elapsed().as_nanos() as f64 / SAMPLE as f64);
    }
}

/// The value below which this share of the values lies.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_unstable_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

/// The median.
pub fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}
