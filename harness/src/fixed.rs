//! A cluster without a network, and a segment without a tender.

use core::ops::ControlFlow;

use tendmap::internals::segment::{CreateOutcome, Ownership, create};
use tendmap::map::{Capacity, ClusterMap};
use tendmap::segment::Place;
use tendmap::tend::{ClusterSource, TendError, TendReport, Turn};
use tendmap_cli::failure::Failure;

/// A cluster that answers at once.
pub struct Fixed {
    map: ClusterMap,
    each_pass: fn(&mut ClusterMap),
}

impl Fixed {
    /// One that never changes.
    pub fn new(map: ClusterMap) -> Fixed {
        Fixed::changing(map, |_| ())
    }

    /// One that changes in this way before each pass.
    pub fn changing(map: ClusterMap, each_pass: fn(&mut ClusterMap)) -> Fixed {
        Fixed { map, each_pass }
    }
}

impl ClusterSource for Fixed {
    fn start(&mut self, _: ClusterMap) {}

    fn tend(&mut self, turn: &mut dyn Turn) -> Result<TendReport, TendError> {
        (self.each_pass)(&mut self.map);
        match turn.beat() {
            ControlFlow::Continue(()) => Ok(TendReport::default()),
            ControlFlow::Break(()) => Err(TendError::Interrupted),
        }
    }

    fn map(&self) -> &ClusterMap {
        &self.map
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
