//! A process that may write the segment stores arbitrary words there, as fast as
//! it can, while owners, followers, readers, new processes and commands use it. No
//! process crashes, no call uses more than a second of processor time, nothing
//! grows, and after the writer has ended everything recovers.
//!
//! A bounded run counts turns, not time. `TENDMAP_HOSTILE_SECONDS` sets the length
//! of a longer run, `TENDMAP_HOSTILE_SEED` repeats a run.

mod measure;
mod rig;
mod values;
mod victim;
mod writer;

use std::time::Duration;

use libtest_mimic::{Arguments, Trial};
use tendmap::segment::Backend;

use rig::{Rig, Shape};
use writer::Aim;

/// The length of the run, if it is given.
fn seconds() -> Option<Duration> {
    let given = std::env::var("TENDMAP_HOSTILE_SECONDS").ok()?;
    Some(Duration::from_secs(given.parse().expect("TENDMAP_HOSTILE_SECONDS is a number")))
}

fn seed() -> u64 {
    match std::env::var("TENDMAP_HOSTILE_SEED") {
        Ok(given) => given.parse().expect("TENDMAP_HOSTILE_SEED is a number"),
        Err(_) => fastrand::u64(..),
    }
}

fn attack(backend: Backend, shape: Shape, aim: Aim, turns: u64) {
    let seed = seed();
    println!("a hostile writer of {backend:?} segments: TENDMAP_HOSTILE_SEED={seed}");
    let mut rig = Rig::new(backend, shape, seed);
    rig.run(aim, turns, seconds());
    rig.recovers();
    rig.ends();
}

fn main() {
    victim::work_if_asked();
    let mut arguments = Arguments::from_args();
    // One test at a time, because each has processes that need the processors.
    arguments.test_threads = Some(1);
    let trials: [(&str, fn()); 5] = [
        ("h130_a_hostile_writer_of_a_file_stops_nobody", || {
            attack(Backend::File, Shape::Usual, Aim::Everything, 40)
        }),
        ("h130_a_hostile_writer_of_system_v_memory_stops_nobody", || {
            attack(Backend::SystemV, Shape::Usual, Aim::Everything, 40)
        }),
        ("h130_a_hostile_writer_of_a_large_segment_stops_nobody", || {
            attack(Backend::File, Shape::Large, Aim::Everything, 24)
        }),
        ("h131_segments_that_are_damaged_as_soon_as_made_do_not_pile_up", || {
            attack(Backend::File, Shape::Usual, Aim::Succession, 40)
        }),
        ("h131_system_v_segments_that_are_damaged_as_soon_as_made_do_not_pile_up", || {
            attack(Backend::SystemV, Shape::Usual, Aim::Succession, 40)
        }),
    ];
    let trials = trials.map(|(name, test)| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    });
    libtest_mimic::run(&arguments, trials.into()).exit();
}
