//! Compares several things on a machine that other programs use, too: measures all
//! of them in turn in many rounds, and takes the medians.

use core::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tendmap_harness::beside::beside as meanwhile;
use tendmap_harness::sample::Samples;

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
    let published = AtomicU64::new(0);
    let order = crate::rig::order();
    let counted = || {
        let before = published.load(Ordering::Relaxed);
        let result = work();
        Ok((result, published.load(Ordering::Relaxed) - before))
    };
    let done = match beside {
        Beside::Nothing => counted(),
        Beside::Reader => {
            let mut reader = contender.reader();
            let read = || {
                black_box(reader.sum(black_box(&order)));
                true
            };
            meanwhile(read, counted)
        }
        Beside::Publisher(period) => {
            let mut next = Instant::now();
            let publish = || {
                while Instant::now() < next {
                    core::hint::spin_loop();
                }
                next = Instant::now() + period;
                contender.publish();
                published.fetch_add(1, Ordering::Relaxed);
                true
            };
            meanwhile(publish, counted)
        }
    };
    done.expect("neither of them fails")
}

/// Times samples of [`SAMPLE`] consecutive lookups, in nanoseconds per lookup.
pub fn samples(reader: &mut dyn Reader, order: &[usize], into: &mut Samples) {
    for sample in order.chunks_exact(SAMPLE) {
        let begun = Instant::now();
        black_box(reader.sum(black_box(sample)));
        into.push(begun.elapsed().as_nanos() as f64 / SAMPLE as f64);
    }
}
