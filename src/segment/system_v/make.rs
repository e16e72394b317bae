//! A new System V segment: visible while it is created; the magic is stored last.

use std::time::{Duration, Instant};

use super::check::{at, find, parts};
use super::creation::Creation;
use super::{keyless, limits};
use crate::layout::{Geometry, Shm, WriteMapping, is_gone, shm_create, shm_remove};
use crate::segment::backend::{Parts, UnlinkedSegment, Vacate};
use crate::segment::error::SegmentError;
use crate::segment::name::Place;

/// How many segments of others are removed before it is assumed that they are
/// created as fast.
const TRIES: usize = 16;

/// How long other processes may take to see what a segment is. It takes
/// microseconds.
const LOOK: Duration = Duration::from_millis(500);

/// A segment that is complete in this process's own memory, but has no key yet.
#[derive(Debug)]
pub struct UnkeyedSegment {
    place: Place,
    generation: u64,
    geometry: Geometry,
    memory: Option<WriteMapping>,
}

impl UnkeyedSegment {
    /// A new segment within the kernel's limits, as far as that can be checked
    /// in advance: an owner that grows has to retire its segment first.
    pub fn new(
        place: &Place,
        generation: u64,
        geometry: &Geometry,
    ) -> Result<UnkeyedSegment, SegmentError> {
        if place.key == 0 {
            return Err(SegmentError::NoKey);
        }
        limits::check(geometry.total_bytes() as u64)?;
        Ok(UnkeyedSegment { place: place.clone(), generation, geometry: *geometry, memory: None })
    }

    /// Whether there is a segment of this or a higher generation that has lost
    /// its key. No process creates another while this one has the key, so none
    /// appears after this check.
    fn is_late(&self) -> Result<bool, SegmentError> {
        let keyless = keyless::of_key(&self.place, None)?;
        Ok(keyless.iter().any(|found| found.identity.generation >= self.generation))
    }

    /// Copies this segment's content into the one that has the key; `None` if
    /// the key was taken from it in the meantime.
    fn fill(&self, id: i32) -> Result<Option<Parts>, SegmentError> {
        let io = |action| SegmentError::io(action, at(&self.place, id));
        let memory = self.memory.as_ref().expect("filled before it is linked");
        let shm = match Shm::attach(id, true) {
            // Another process has removed it, or (`kernel.shm_rmid_forced`) was
            // the last one to look at it.
            Err(error) if is_gone(&error) => return Ok(None),
            other => other.map_err(io("attach"))?,
        };
        let target = WriteMapping::of_shm(shm, self.geometry).map_err(io("fill"))?;
        target.copy(memory).map_err(io("fill"))?;
        if find(&self.place)? != Some(id) {
            return Ok(None);
        }
        // Mapped for reading before it is unmapped here: with
        // `kernel.shm_rmid_forced` the last unmap removes a segment.
        let parts = parts(&self.place, id)?;
        drop(target);
        Ok(Some(parts))
    }
}

impl UnlinkedSegment for UnkeyedSegment {
    fn memory(&self) -> Result<WriteMapping, SegmentError> {
        WriteMapping::private(self.geometry)
            .map_err(SegmentError::io("reserve memory for", "a new segment"))
    }

    fn filled(&mut self, memory: WriteMapping) -> Result<(), SegmentError> {
        self.memory = Some(memory);
        Ok(())
    }

    fn link(&mut self, vacate: Vacate<'_>) -> Result<Option<Parts>, SegmentError> {
        let creation = Creation::begin(&self.place);
        let begun = Instant::now();
        let mut tries = 0;
        while tries < TRIES {
            let bytes = self.geometry.total_bytes();
            match shm_create(self.place.key, bytes, self.place.mode) {
                Ok(id) => {
                    let filled = match self.is_late() {
                        Ok(false) => self.fill(id),
                        Ok(true) => Ok(None),
                        Err(error) => Err(error),
                    };
                    if !matches!(filled, Ok(Some(_))) {
                        let _ = shm_remove(id);
                    }
                    return filled;
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    match super::clear(&self.place, self.generation, &creation, vacate) {
                        Ok(true) => tries += 1,
                        Ok(false) => return Ok(None),
                        // It is abandoned, but a process has it mapped, perhaps
                        // to see what it is.
                        Err(SegmentError::HalfMade { .. }) if begun.elapsed() < LOOK => {
                            std::thread::sleep(Duration::from_millis(1));
                        }
                        Err(error) => return Err(error),
                    }
                }
                Err(error) => return Err(limits::explain(error, &self.place, bytes as u64)),
            }
        }
        Ok(None)
    }
}
