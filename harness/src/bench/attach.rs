//! Measures the time from the attach to the first route.

use tendmap::segment::Place;

use super::child::{Process, Task};
use tendmap_cli::failure::Failure;
use tendmap_harness::sample::Samples;

/// Microseconds from a connect to the first route, in a process that attaches to a
/// live segment repeatedly.
///
/// # Errors
/// [`Failure`] if the process can't attach.
pub fn times(place: &Place) -> Result<Samples, Failure> {
    let mut child = Process::start(place, Task::Attach)?;
    let mut times = Samples::default();
    while let Some(line) = child.hear() {
        let ns: f64 = line.parse().map_err(|_| Failure::Failed(format!("a time of {line:?}")))?;
        times.push(ns / 1000.0);
    }
    match times.len() {
        0 => Err(Failure::Failed("a process of the bench could not attach".into())),
        _ => Ok(times),
    }
}
