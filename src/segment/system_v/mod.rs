//! Segments as System V shared memory, under their key.
//!
//! The kernel gives a key to one segment at a time, so that there is nothing to
//! link: a segment is seen while it is made. Its magic is stored last, and a
//! process that finds none checks the creation lock to see whether a creator is
//! at work ([`Creation`](creation::Creation)). A retired segment must give up
//! the key before its successor can have it; until that is there, the old one
//! is found by its lock file ([`keyless`]). It is removed by its id, which
//! never leads to another one, so that a late removal harms nobody.
//!
//! The lock files lie in the configured directory. The header tells which that
//! is, for processes whose locks do not meet would take over from each other
//! for ever.

mod check;
mod creation;
mod keyless;
mod limits;
mod list;
mod make;
mod object;

#[cfg(fuzzing)]
pub use list::fuzzed as row;
#[cfg(feature = "c-client")]
pub use list::{Row as SystemVRow, rows as system_v_rows};

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::backend::{
    Backend, Discovery, Located, ObjectId, SegmentPart, Standing, Store, UnlinkedSegment, Vacate,
};
use super::error::SegmentError;
use super::listed::ListedSegment;
use super::name::{Place, lock_path, parse_lock};
use super::registry::registry;
use crate::layout::{Geometry, Identity, shm_remove};
use check::{absent, at, directory_number, examine, find, locate, look, look_at};

/// The backend of System V shared memory.
pub struct SystemV;

impl Store for SystemV {
    fn locate<'a>(&self, place: &'a Place, generation: u64) -> Result<Located<'a>, SegmentError> {
        generation_by(place, generation, locate)
    }

    fn look<'a>(
        &self,
        place: &'a Place,
        generation: u64,
        _: SegmentPart,
    ) -> Result<Located<'a>, SegmentError> {
        generation_by(place, generation, |place, id, _| look_at(place, id))
    }

    fn generations(&self, place: &Place) -> Result<Vec<u64>, SegmentError> {
        let keyed = keyed(place)?;
        let keyless = match keyless::of_key(place, keyed.map(|identity| identity.segment_id)) {
            // After a change of its user, a process still knows what it has
            // attached.
            Err(error) if error.is_refused() && keyed.is_some() => Vec::new(),
            other => other?,
        };
        let found = keyed.into_iter().chain(keyless.into_iter().map(|found| found.identity));
        Ok(found.map(|identity| identity.generation).collect())
    }

    fn not_found_error(&self, place: &Place) -> SegmentError {
        match find(place) {
            Ok(Some(id)) => match look(place, id) {
                // It is being made: there is none yet.
                Err(SegmentError::HalfMade { .. }) if creation::is_going_on(place) => absent(place),
                // Its creator has died, or has just completed it.
                Err(SegmentError::HalfMade { .. }) => {
                    look(place, id).err().unwrap_or_else(|| absent(place))
                }
                other => other.err().unwrap_or_else(|| absent(place)),
            },
            Ok(None) => absent(place),
            Err(error) => error,
        }
    }

    fn list(
        &self,
        directory: &Path,
        standing: Standing<'_>,
    ) -> Result<Vec<ListedSegment>, SegmentError> {
        list::list(directory, standing)
    }

    fn discard(&self, found: &ListedSegment) -> Result<(), SegmentError> {
        let Some(id) = found.at.shm_id() else { return Ok(()) };
        shm_remove(id).map_err(SegmentError::io("remove", found.at.clone()))
    }

    fn unknown_attachments_error(&self, found: &ListedSegment) -> SegmentError {
        let place = Place { backend: Backend::SystemV, ..Place::of_key(found.key) };
        let in_use = || SegmentError::InUse { at: found.at.clone(), attached: 0 };
        let Some(id) = found.at.shm_id() else { return in_use() };
        let looked = crate::layout::Shm::attach(id, false);
        let looked = looked.map_err(SegmentError::io("attach", found.at.clone()));
        looked.and_then(|shm| examine(&shm, &place, id)).err().unwrap_or_else(in_use)
    }

    fn unlinked(
        &self,
        place: &Place,
        identity: Identity,
        geometry: &Geometry,
    ) -> Result<Box<dyn UnlinkedSegment>, SegmentError> {
        Ok(Box::new(make::UnkeyedSegment::new(place, identity.generation, geometry)?))
    }

    fn lock_directory(&self, directory: &Path) -> Result<u64, SegmentError> {
        directory_number(directory).map_err(SegmentError::io("examine", directory))
    }

    fn lock_path(&self, directory: &Path, key: u32, segment_id: u64) -> PathBuf {
        lock_path(Backend::SystemV, directory, key, segment_id)
    }

    fn parse_lock(&self, name: &str) -> Option<(u32, u64)> {
        parse_lock(Backend::SystemV, name)
    }

    fn living(&self, place: &Place) -> Result<BTreeSet<u64>, SegmentError> {
        let keyed = match keyed(place) {
            Ok(keyed) => keyed.map(|identity| identity.segment_id),
            Err(SegmentError::Foreign { .. }) => None,
            Err(error) => return Err(error),
        };
        let keyless = keyless::of_key(place, keyed)?;
        let keyless = keyless.into_iter().map(|found| found.identity.segment_id);
        Ok(keyed.into_iter().chain(keyless).collect())
    }

    fn sweep(&self, place: &Place) -> Vec<PathBuf> {
        creation::sweep(place).into_iter().collect()
    }
}

/// The segment of that generation, with or without the key.
fn generation_by<'a>(
    place: &'a Place,
    generation: u64,
    locate: impl Fn(&'a Place, i32, Discovery) -> Result<(Identity, Located<'a>), SegmentError>,
) -> Result<Located<'a>, SegmentError> {
    let keyed = match find(place)? {
        Some(id) => locate(place, id, Discovery::ByName),
        None => Err(absent(place)),
    };
    match keyed {
        Ok((identity, located)) if identity.generation == generation => Ok(located),
        // The key may have been given to another segment since.
        other => {
            let id = other.as_ref().ok().map(|(identity, _)| identity.segment_id);
            let keyless = keyless::of_key(place, id)?;
            match keyless.iter().find(|found| found.identity.generation == generation) {
                Some(found) => {
                    locate(place, found.id, Discovery::ByLock).map(|(_, located)| located)
                }
                None => Err(other.err().unwrap_or_else(|| absent(place))),
            }
        }
    }
}

/// The segment that has the key; `None` if there is none, or it is incomplete.
fn keyed(place: &Place) -> Result<Option<Identity>, SegmentError> {
    let Some(id) = find(place)? else { return Ok(None) };
    // A segment that this process has attached is known, even if its header has
    // changed since.
    let object = ObjectId::SystemV(id);
    if let Some(identity) = registry().identity(object) {
        return Ok(Some(identity));
    }
    match look(place, id) {
        Ok(identity) => Ok(Some(identity)),
        Err(error) if error.is_absent() => Ok(None),
        Err(error) if error.is_refused() => {
            registry().inherited_identity(object).ok_or(error).map(Some)
        }
        Err(error) => Err(error),
    }
}

/// Takes the key from the segment that has it, if that is no longer of use;
/// returns whether the key is free now.
fn clear(
    place: &Place,
    next: u64,
    creation: &creation::Creation,
    vacate: Vacate<'_>,
) -> Result<bool, SegmentError> {
    let Some(id) = find(place)? else { return Ok(true) };
    let located = locate(place, id, Discovery::ByName);
    match located.and_then(|(_, located)| vacate(place, located, next)) {
        Err(SegmentError::HalfMade { .. }) if creation.is_abandoned(id) => {
            shm_remove(id).map_err(SegmentError::io("remove", at(place, id)))?;
            Ok(true)
        }
        Err(SegmentError::HalfMade { at }) => Err(SegmentError::HalfMade { at }),
        Err(error) if error.is_absent() => Ok(true),
        other => other,
    }
}
