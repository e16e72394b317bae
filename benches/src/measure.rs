//! Measuring several things against each other on a machine that others use
//! too: rounds of all of them in turn, and the medians of what came out.

use core::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::contenders::{Contender, Reader};

/// What the other thread does meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Beside {
    /// Nothing.
    Nothing,
    /// It reads too.
    Reader,
    /// It publishes, at most once in that time.
    Publisher(Duration),
}

/// What one reader is timed at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Task {
    /// Lookups that do not depend on each other.
    Throughput,
    /// Each lookup depends on the one before.
    Latency,
}

/// Passes over all partitions in one timing.
const PASSES: usize = 4;
/// Lookups in one sample of a distribution.
pub const SAMPLE: usize = 64;

/// Nanoseconds a lookup, of one timing.
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

/// Runs `work` while another thread does something beside it; gives also how
/// often it published.
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

/// The time of samples of [`SAMPLE`] lookups in a row, nanoseconds a lookup.
pub fn samples(reader: &mut dyn Reader, order: &[usize], into: &mut Vec<f64>) {
    for sample in order.chunks_exact(SAMPLE) {
        let begun = Instant::now();
        black_box(reader.sum(black_box(sample)));
        into.push(begun.elapsed().as_nanos() as f64 / SAMPLE as f64);
    }
}

/// The value below which that share of them lies.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_unstable_by(f64::total_cmp);
    values[((values.len() - 1) as f64 * share).round() as usize]
}

/// The value in the middle.
pub fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}
