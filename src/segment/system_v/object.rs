//! The System V segment that one segment's memory belongs to.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::process::geteuid;

use super::check::directory_number;
use crate::layout::{
    Geometry, Header, Identity, Mapping, Shm, ShmStat, WriteMapping, is_gone, shm_find, shm_remove,
    shm_stat,
};
use crate::protocol::Head;
use crate::segment::backend::{Object, ObjectId, Parts};
use crate::segment::error::SegmentError;
use crate::segment::location::Location;
use crate::segment::lock::{self, LockFile};
use crate::segment::name::Place;
use crate::segment::trust::{Trusted, check_system_v};
use crate::segment::whereabouts::Whereabouts;
use crate::sync::Ordering;

#[derive(Debug)]
struct SystemVSegment {
    key: u32,
    id: i32,
    /// As found when it was attached, and the trusted users.
    stat: ShmStat,
    owners: Vec<u32>,
    directory: PathBuf,
    /// The byte of the lock file by which this process counts as attached.
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
    let (owners, directory) = (place.owners.clone(), place.directory.clone());
    let (key, stat, mark) = (place.key, shm.stat(), Mutex::default());
    let object = Box::new(SystemVSegment { key, id, stat, owners, directory, mark });
    let action = SegmentError::io("map", object.location());
    let mapping = Mapping::of_shm(shm, geometry).map_err(action)?;
    Ok(Parts { identity, mapping: Arc::new(mapping), object })
}

impl SystemVSegment {
    fn mark(&self) -> MutexGuard<'_, Option<u64>> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.stat.mode
    }

    fn whereabouts(&self) -> Whereabouts {
        match shm_find(self.key) {
            Ok(found) if found != Some(self.id) => Whereabouts::Gone,
            _ => Whereabouts::Here,
        }
    }

    fn head(&self, mapping: &Mapping) -> io::Result<Head> {
        // Relaxed: no other data depends on it.
        Ok(Head::from_bits(mapping.head().load(Ordering::Relaxed)))
    }

    /// A process that may no longer examine the segment, after a change of its
    /// user, relies on what it has mapped.
    fn is_sound(&self, identity: &Identity, mapping: &Mapping, lock: &LockFile) -> bool {
        let ShmStat { uid, cuid, mode, bytes, .. } = match shm_stat(self.id) {
            Ok(found) => found,
            Err(error) if is_gone(&error) => return false,
            Err(_) => ShmStat { bytes: mapping.geometry().total_bytes() as u64, ..self.stat },
        };
        // It was trusted when it was found, even if this process's user has
        // changed since.
        let trusted = || {
            (uid, cuid) == (self.stat.uid, self.stat.cuid)
                || check_system_v(self.location(), uid, cuid, mode, &Trusted::with(&self.owners))
                    .is_ok()
        };
        let in_directory = || {
            directory_number(&self.directory).is_ok_and(|at| at == identity.lock_directory)
                || lock.whereabouts() == Whereabouts::Unseen
        };
        self.whereabouts() == Whereabouts::Here
            && mode & 0o002 == 0
            && trusted()
            && in_directory()
            && Header::validate(&mapping.header(), bytes).is_ok_and(|(found, geometry)| {
                (&found, &geometry) == (identity, mapping.geometry())
            })
    }

    /// Also works for a segment that has lost its key: it can still be retired.
    fn writer(&self, mapping: &Mapping) -> Result<WriteMapping, SegmentError> {
        let action = |source: io::Error| {
            let gone = || io::Error::from(io::ErrorKind::NotFound);
            let source = if is_gone(&source) { gone() } else { source };
            SegmentError::io("attach for writing", self.location())(source)
        };
        let mapped = WriteMapping::of_mapped(mapping);
        mapped
            .or_else(|_| {
                // It was mapped by a process that could only read it, or the
                // kernel lacks the call.
                let shm = Shm::attach(self.id, true)?;
                WriteMapping::of_shm(shm, *mapping.geometry())
            })
            .map_err(action)
    }

    fn refresh(&self) -> io::Result<()> {
        Ok(())
    }

    fn inherit(&self) -> Option<Box<dyn Object>> {
        let (owners, directory) = (self.owners.clone(), self.directory.clone());
        Some(Box::new(SystemVSegment { owners, directory, mark: Mutex::default(), ..*self }))
    }

    fn may_write(&self) -> bool {
        Shm::attach(self.id, true).is_ok()
    }

    fn may_remove(&self) -> bool {
        let user = geteuid().as_raw();
        user == 0 || shm_stat(self.id).is_ok_and(|found| found.uid == user || found.cuid == user)
    }

    fn unlink(&self) -> Result<(), SegmentError> {
        shm_remove(self.id).map_err(SegmentError::io("remove", self.location()))
    }

    fn join(&self, lock: &LockFile) -> io::Result<()> {
        *self.mark() = Some(lock.mark()?);
        Ok(())
    }

    fn leave(&self, lock: &LockFile) {
        if let Some(byte) = self.mark().take() {
            lock.unlock(byte);
        }
    }

    /// Counts lock bytes, not the kernel's mappings: an owner has two mappings,
    /// a process that only looks has one, and children that were forked while
    /// one was made have theirs. The kernel's count also changes before or
    /// after everything else that a closing process does, so several processes
    /// that closed at once would each see another one, and none would remove
    /// the segment.
    fn attached(&self, lock: Option<&LockFile>) -> io::Result<usize> {
        lock.map_or(Ok(0), |lock| lock.marks(lock::most(self.stat.uid)))
    }
}
