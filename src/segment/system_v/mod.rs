//! Segments as System V shared memory, under their key.
//!
//! The kernel gives a key to one segment at a time, so that there is nothing to
//! link: a segment is seen while it is made. Its magic is stored last, and who
//! finds none asks the creation lock whether a creator is at work
//! ([`Creation`](creation::Creation)). A retired segment must go before its
//! successor can have the key. It is removed by its id, which never leads to
//! another one, so that a late removal harms nobody.
//!
//! The lock files lie in the configured directory. The header tells which that
//! is, for processes whose locks do not meet would take over from each other
//! for ever.

mod check;
mod creation;
mod limits;
mod list;
mod make;
mod object;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::backend::{Backend, ObjectId, Store, Unlinked};
use super::directory::Listed;
use super::error::SegmentError;
use super::name::{Place, lock_path, parse_lock};
use super::registry::registry;
use super::segment::Segment;
use crate::layout::{Geometry, Identity, shm_remove};
use check::{absent, at, attach, directory_number, examine, find, look};

/// The backend of System V shared memory.
pub struct SystemV;

impl Store for SystemV {
    fn attach(&self, place: &Place, generation: u64) -> Result<Arc<Segment>, SegmentError> {
        let Some(id) = find(place)? else { return Err(absent(place)) };
        let segment = attach(place, id)?;
        // The key may have gone to another one since that number was told.
        if segment.identity().generation != generation {
            return Err(absent(place));
        }
        Ok(segment)
    }

    fn generations(&self, place: &Place) -> Result<Vec<u64>, SegmentError> {
        let Some(id) = find(place)? else { return Ok(Vec::new()) };
        // One that this process has attached is known, whatever became of its
        // header since.
        let known = registry().segment(ObjectId::SystemV(id));
        let identity = match known {
            Some(segment) => segment.identity(),
            None => match look(place, id) {
                Ok(identity) => identity,
                Err(error) if error.is_absent() => return Ok(Vec::new()),
                Err(error) => return Err(error),
            },
        };
        Ok(vec![identity.generation])
    }

    fn why_none(&self, place: &Place) -> SegmentError {
        match find(place) {
            Ok(Some(id)) => look(place, id).err().unwrap_or_else(|| absent(place)),
            Ok(None) => absent(place),
            Err(error) => error,
        }
    }

    fn list(&self, directory: &Path) -> Result<Vec<Listed>, SegmentError> {
        list::list(directory)
    }

    fn discard(&self, found: &Listed) -> Result<(), SegmentError> {
        let Some(id) = found.at.shm_id() else { return Ok(()) };
        shm_remove(id).map_err(SegmentError::io("remove", found.at.clone()))
    }

    fn why_untold(&self, found: &Listed) -> SegmentError {
        let place = Place { backend: Backend::SystemV, ..Place::of_key(found.name.key) };
        let in_use = || SegmentError::InUse { at: found.at.clone(), attached: 0 };
        let Some(id) = found.at.shm_id() else { return in_use() };
        let looked = crate::layout::Shm::attach(id, false);
        let looked = looked.map_err(SegmentError::io("attach", found.at.clone()));
        looked.and_then(|shm| examine(&shm, &place, id)).err().unwrap_or_else(in_use)
    }

    fn unlinked(
        &self,
        place: &Place,
        _: Identity,
        geometry: &Geometry,
    ) -> Result<Box<dyn Unlinked>, SegmentError> {
        Ok(Box::new(make::Unkeyed::new(place, geometry)?))
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
        let Some(id) = find(place)? else { return Ok(BTreeSet::new()) };
        match look(place, id) {
            Ok(identity) => Ok(BTreeSet::from([identity.segment_id])),
            Err(error) if error.is_absent() => Ok(BTreeSet::new()),
            Err(SegmentError::Foreign { .. }) => Ok(BTreeSet::new()),
            Err(error) => Err(error),
        }
    }

    fn sweep(&self, place: &Place) -> Vec<PathBuf> {
        creation::sweep(place).into_iter().collect()
    }
}

/// What removes a segment of the key that counts for nothing, so that another
/// can be made: whether the key is free now.
fn clear(place: &Place, creation: &creation::Creation) -> Result<bool, SegmentError> {
    let Some(id) = find(place)? else { return Ok(true) };
    let known = registry().segment(ObjectId::SystemV(id));
    let found = match known {
        Some(segment) => Ok(segment),
        None => attach(place, id),
    };
    match found {
        Ok(segment) if segment.head().retired() => {
            super::directory::retire_and_unlink(&segment)?;
            Ok(true)
        }
        Ok(_) => Ok(false),
        Err(SegmentError::HalfMade { .. }) if creation.is_abandoned(id) => {
            shm_remove(id).map_err(SegmentError::io("remove", at(place, id)))?;
            Ok(true)
        }
        Err(SegmentError::HalfMade { at }) => Err(SegmentError::HalfMade { at }),
        Err(error) if error.is_absent() => Ok(true),
        Err(error) => Err(error),
    }
}
