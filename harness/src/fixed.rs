//! A cluster without a network, and a segment without a tender.

use core::ops::ControlFlow;

use tendmap::internals::segment::{CreateOutcome, Ownership, create};
use tendmap::map::{Capacity, ClusterMap};
use tendmap::segment::Place;
use tendmap::tend::{ClusterSource, TendError, TendReport, Turn};
use tendmap_cli::failure::Failure;

/// A cluster that never changes and answers at once.
pub struct Fixed(pub ClusterMap);

impl ClusterSource for Fixed {
    fn start(&mut self, _: ClusterMap) {}

    fn tend(&mut self, turn: &mut dyn Turn) -> Result<TendReport, TendError> {
        match turn.beat() {
            ControlFlow::Continue(()) => Ok(TendReport::default()),
            ControlFlow::Break(()) => Err(TendError::Interrupted),
        }
    }

    fn map(&self) -> &ClusterMap {
        &self.0
    }

    fn stop(&mut self) {}
}

/// Creates a segment with this capacity and becomes its owner.
///
/// # Errors
/// [`Failure`] if it can't be created, or exists already.
pub fn own(place: &Place, capacity: Capacity) -> Result<Box<Ownership>, Failure> {
    match create(place, 1, capacity, None)? {
        CreateOutcome::Owner(ownership) => Ok(ownership),
        CreateOutcome::Exists => Err(Failure::Failed(format!(
            "a segment exists already under the key {:#x}; remove it first",
            place.key
        ))),
    }
}
