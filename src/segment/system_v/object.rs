//! The System V segment that one segment's memory belongs to.

use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::backend::{Object, ObjectId, Parts};
use super::super::error::SegmentError;
use super::super::location::Location;
use super::super::lock::LockFile;
use super::super::name::Place;
use super::check::directory_number;
use crate::layout::{
    Geometry, Header, Identity, Mapping, Shm, WriteMapping, is_gone, shm_find, shm_remove, shm_stat,
};

/// How many looks are taken for a count that holds still.
const LOOKS: usize = 8;
/// A killed process gives its mappings back this much before its locks, and
/// much less.
const DYING: Duration = Duration::from_millis(10);

#[derive(Debug)]
struct SystemVSegment {
    key: u32,
    id: i32,
    mode: u32,
    directory: PathBuf,
    /// The byte of the lock file that says that this process's mapping does not
    /// count as attached.
    mark: Mutex<Option<u64>>,
}

/// The parts of a segment that was checked.
pub fn parts(
    place: &Place,
    id: i32,
    shm: Shm,
    identity: Identity,
    geometry: Geometry,
) -> Result<Parts, SegmentError> {
    let (key, mode, directory) = (place.key, shm.stat().mode, place.directory.clone());
    let object = Box::new(SystemVSegment { key, id, mode, directory, mark: Mutex::default() });
    let action = SegmentError::io("map", object.location());
    let mapping = Mapping::of_shm(shm, geometry).map_err(action)?;
    Ok(Parts { identity, mapping, object })
}

impl SystemVSegment {
    fn mark(&self) -> MutexGuard<'_, Option<u64>> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kernel counts mappings, not processes: an owner has a second one,
    /// and who only looks, or is about to close, has one that must not keep
    /// the segment alive. The lock file has a byte for each of these.
    ///
    /// A byte is taken after its mapping is made and freed before the mapping
    /// is, so that at a bad moment there is one too many, which lets a segment
    /// stay; never one too few, which would take it from a living process.
    fn count(&self, lock: &LockFile) -> io::Result<usize> {
        let mappings = || shm_stat(self.id).map(|found| found.mappings as usize);
        let mut before = mappings()?;
        for _ in 0..LOOKS {
            let marks = lock.marks()?;
            let after = mappings()?;
            if before == after {
                return Ok(after.saturating_sub(marks));
            }
            before = after;
        }
        Ok(before)
    }
}

impl Object for SystemVSegment {
    fn id(&self) -> ObjectId {
        ObjectId::SystemV(self.id)
    }

    fn location(&self) -> Location {
        Location::SystemV { key: self.key, id: self.id }
    }

    fn mode(&self) -> u32 {
        self.mode
    }

    fn is_at_name(&self) -> bool {
        matches!(shm_find(self.key), Ok(Some(id)) if id == self.id)
    }

    fn is_sound(&self, identity: &Identity, mapping: &Mapping) -> bool {
        let Ok(found) = shm_stat(self.id) else { return false };
        self.is_at_name()
            && found.mode & 0o002 == 0
            && directory_number(&self.directory).is_ok_and(|at| at == identity.lock_directory)
            && Header::validate(&mapping.header(), found.bytes).is_ok_and(|(found, geometry)| {
                (&found, &geometry) == (identity, mapping.geometry())
            })
    }

    /// Also of one that has lost its key: it can still be retired.
    fn writer(
        &self,
        geometry: &Geometry,
        lock: &LockFile,
    ) -> Result<(WriteMapping, Option<u64>), SegmentError> {
        let action = |source: io::Error| {
            let gone = || io::Error::from(io::ErrorKind::NotFound);
            let source = if is_gone(&source) { gone() } else { source };
            SegmentError::Io { action: "attach for writing", at: self.location(), source }
        };
        let shm = Shm::attach(self.id, true).map_err(action)?;
        let mapping = WriteMapping::of_shm(shm, *geometry).map_err(action)?;
        let mark = lock.mark().map_err(SegmentError::io("lock a byte of", lock.path()))?;
        Ok((mapping, Some(mark)))
    }

    fn unlink(&self) -> Result<(), SegmentError> {
        shm_remove(self.id).map_err(SegmentError::io("remove", self.location()))
    }

    fn join(&self, lock: &LockFile) -> io::Result<()> {
        if let Some(byte) = self.mark().take() {
            lock.unlock(byte);
        }
        Ok(())
    }

    fn leave(&self, lock: &LockFile) -> io::Result<()> {
        let mut mark = self.mark();
        if mark.is_none() {
            *mark = Some(lock.mark()?);
        }
        Ok(())
    }

    fn unmapped(&self, lock: &LockFile) {
        let _ = self.join(lock);
    }

    fn attached(&self, lock: &LockFile) -> io::Result<usize> {
        match self.count(lock)? {
            // Nobody is left: so say the marks of a process that dies, for the
            // moment between its mappings and its locks.
            0 => {
                std::thread::sleep(DYING);
                self.count(lock)
            }
            count => Ok(count),
        }
    }
}
