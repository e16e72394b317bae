//! Publications, compared with a plain copy of the same number of bytes.

use std::hint::black_box;
use std::time::Instant;

use tendmap::internals::segment::{Ownership, PublishFailure};
use tendmap::map::ClusterMap;

use tendmap_cli::failure::Failure;
use tendmap_harness::sample::Samples;
use tendmap_harness::shape::{Shape, turn_all, turn_one_percent};

/// Times in microseconds.
#[derive(Default)]
pub struct Publications {
    /// Every routing word changed.
    pub whole: Samples,
    /// 1 % changed.
    pub one_percent: Samples,
    /// The copy.
    pub copy: Samples,
}

/// The source and the destination of the copy.
pub struct Copy(Vec<u64>, Vec<u64>);

impl Copy {
    /// A copy of the same number of bytes as the arrays have.
    pub fn new(shape: Shape) -> Copy {
        Copy(vec![1; shape.words()], vec![0; shape.words()])
    }
}

/// Runs one round. The frames alternate, so a publication also writes the changes
/// of the one before. Therefore the third publication of each kind is timed.
///
/// # Errors
/// [`Failure::Failed`] if the process is no longer the owner.
pub fn round(
    (ownership, map): (&mut Ownership, &mut ClusterMap),
    random: &mut fastrand::Rng,
    copy: &mut Copy,
    into: &mut Publications,
) -> Result<(), Failure> {
    let begun = Instant::now();
    black_box(&mut copy.1).copy_from_slice(black_box(&copy.0));
    into.copy.push(us(begun));
    for timed in [false, false, true] {
        turn_all(map);
        let time = publish(ownership, map)?;
        if timed {
            into.whole.push(time);
        }
    }
    for timed in [false, false, true] {
        turn_one_percent(map, random);
        let time = publish(ownership, map)?;
        if timed {
            into.one_percent.push(time);
        }
    }
    Ok(())
}

/// Publishes; returns the time in microseconds.
///
/// # Errors
/// As [`round`].
pub fn publish(ownership: &mut Ownership, map: &ClusterMap) -> Result<f64, Failure> {
    let begun = Instant::now();
    match ownership.publish(map) {
        Ok(_) => Ok(us(begun)),
        Err(PublishFailure::Ended(ended)) => {
            Err(Failure::Failed(format!("the ownership of the bench has ended: {ended}")))
        }
        Err(PublishFailure::NoRoom(error)) => Err(Failure::Failed(error.to_string())),
    }
}

fn us(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e6
}
