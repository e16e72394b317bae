//! A segment as one process holds it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering as StdOrdering};
use std::sync::{Arc, Mutex, PoisonError};

use super::backend::{Backend, Object, ObjectId};
use super::error::SegmentError;
use super::location::Location;
use super::lock::LockFile;
use super::name::Place;
use super::registry::registry;
use super::whereabouts::Whereabouts;
use crate::layout::{Geometry, Identity, Lineage, Mapping, WriteMapping};
use crate::protocol::Head;
use crate::sync::Ordering;

/// A mapped segment. It is never remapped or moved: the holder of an `Arc` can
/// read it, even after its name is gone.
#[derive(Debug)]
pub struct Segment {
    pub(super) identity: Identity,
    /// `None` in private mode. It is dropped before the memory.
    pub(super) shared: Option<Box<SharedObject>>,
    pub(super) memory: SegmentMemory,
}

#[derive(Debug)]
pub(super) enum SegmentMemory {
    ReadOnly(Arc<Mapping>),
    Private(WriteMapping, PrivateOwner),
}

/// Whether private memory has an owner, which is a thread of this process.
#[derive(Debug)]
pub(super) struct PrivateOwner {
    alive: AtomicBool,
    lineage: Lineage,
}

/// The parts of a segment that is shared with other processes.
#[derive(Debug)]
pub(super) struct SharedObject {
    pub object: Box<dyn Object>,
    /// `None` during drop, and for a segment that is only looked at if the file
    /// does not exist.
    pub lock: Option<Arc<LockFile>>,
    /// Whether this process only looks, and never counts as attached.
    pub looks: bool,
    /// The number of handles in this process.
    pub held: Mutex<usize>,
    pub lineage: Lineage,
}

impl SharedObject {
    fn lock(&self) -> Option<&LockFile> {
        self.lock.as_deref()
    }
}

impl Segment {
    /// A segment in private memory of this process.
    pub(super) fn of_memory(identity: Identity, memory: WriteMapping) -> Segment {
        let owned = PrivateOwner { alive: AtomicBool::new(true), lineage: Lineage::current() };
        Segment { identity, shared: None, memory: SegmentMemory::Private(memory, owned) }
    }

    /// The memory, for reading.
    pub fn mapping(&self) -> &Arc<Mapping> {
        match &self.memory {
            SegmentMemory::ReadOnly(mapping) => mapping,
            SegmentMemory::Private(memory, _) => memory.mapping(),
        }
    }

    /// The private memory, for writing; `None` for a shared segment, of which
    /// the owner makes its own mapping.
    pub(super) fn memory(&self) -> Option<&WriteMapping> {
        match &self.memory {
            SegmentMemory::ReadOnly(_) => None,
            SegmentMemory::Private(memory, _) => Some(memory),
        }
    }

    /// Whether private memory has a living owner: no other process can have it,
    /// and a forked child has inherited a copy without its owner's thread.
    pub(super) fn has_private_owner(&self) -> bool {
        match &self.memory {
            SegmentMemory::ReadOnly(_) => false,
            // Relaxed: no other data depends on it.
            SegmentMemory::Private(_, owned) => {
                owned.alive.load(StdOrdering::Relaxed) && owned.lineage == Lineage::current()
            }
        }
    }

    /// Records that the owner of private memory is gone.
    pub(super) fn lose_private_owner(&self) {
        if let SegmentMemory::Private(_, owned) = &self.memory {
            owned.alive.store(false, StdOrdering::Relaxed);
        }
    }

    /// The segment's identity.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The segment's geometry.
    pub fn geometry(&self) -> &Geometry {
        self.mapping().geometry()
    }

    /// The current head.
    pub fn head(&self) -> Head {
        // Relaxed: a caller that reads more than the head uses `protocol::read`.
        Head::from_bits(self.mapping().head().load(Ordering::Relaxed))
    }

    /// The current head, even if this process reads a copy.
    ///
    /// # Errors
    /// [`SegmentError::Io`].
    pub(super) fn head_now(&self) -> Result<Head, SegmentError> {
        let Some(shared) = &self.shared else { return Ok(self.head()) };
        let action = SegmentError::io("read the head of", shared.object.location());
        shared.object.head(self.mapping()).map_err(action)
    }

    /// Whether this process only looks at it: it reads a copy, or has mapped an
    /// object that can't be truncated. It follows no successor.
    pub(crate) fn is_looked_at(&self) -> bool {
        self.shared.as_ref().is_some_and(|shared| shared.looks)
    }

    /// Whether other processes can share it; `false` in private mode.
    pub fn is_shared(&self) -> bool {
        self.shared.is_some()
    }

    /// The segment's location; `None` in private mode.
    pub fn location(&self) -> Option<Location> {
        self.shared.as_ref().map(|shared| shared.object.location())
    }

    /// The kind of shared memory; `None` in private mode.
    pub fn backend(&self) -> Option<Backend> {
        Some(match self.shared.as_ref()?.object.id() {
            ObjectId::File(..) => Backend::File,
            ObjectId::SystemV(_) => Backend::SystemV,
        })
    }

    /// The mode of the segment and of its lock file.
    pub fn mode(&self) -> u32 {
        self.shared.as_ref().map_or(Place::MODE, |shared| shared.object.mode())
    }

    /// The lock file; `None` in private mode, and for a segment that is only
    /// looked at if the file does not exist.
    pub fn lock(&self) -> Option<&LockFile> {
        self.shared.as_ref().and_then(|shared| shared.lock())
    }

    /// Reopens the descriptors that the host has closed, and opens the lock file again if its
    /// name leads to another file.
    ///
    /// The lock file of a retired segment is not created again: retirement precedes its removal,
    /// so checking once more after creating it is enough.
    ///
    /// # Errors
    /// [`SegmentError::Io`].
    pub fn refresh(&self) -> Result<(), SegmentError> {
        let Some(shared) = &self.shared else { return Ok(()) };
        let refreshed = shared.object.refresh();
        refreshed.map_err(SegmentError::io("open", shared.object.location()))?;
        let Some(lock) = shared.lock() else { return Ok(()) };
        if self.head().retired() {
            return Ok(());
        }
        let opened = lock.refresh().map_err(SegmentError::io("open the lock file", lock.path()))?;
        if opened && self.head().retired() {
            self.remove_lock();
        }
        Ok(())
    }

    /// Removes the lock file of a retired segment; processes that have it open
    /// keep using it.
    pub(crate) fn remove_lock(&self) {
        if let Some(lock) = self.lock() {
            let _ = lock.remove();
        }
    }

    fn whereabouts(&self) -> Whereabouts {
        self.shared.as_ref().map_or(Whereabouts::Here, |shared| shared.object.whereabouts())
    }

    /// Whether this process may unlink it.
    #[cfg(feature = "tend")]
    pub(crate) fn may_remove(&self) -> bool {
        self.shared.as_ref().is_none_or(|shared| shared.object.may_remove())
    }

    /// The only user that can take the key from it, if this process can't: a
    /// System V segment has the key exclusively.
    #[cfg(feature = "tend")]
    pub(crate) fn user_that_keeps_the_key(&self) -> Option<u32> {
        let Location::SystemV { id, .. } = self.location()? else { return None };
        let user = crate::layout::shm_stat(id).ok()?.uid;
        (!self.may_remove()).then_some(user)
    }

    /// Whether its name still leads to it.
    pub fn is_at_name(&self) -> bool {
        self.whereabouts() == Whereabouts::Here
    }

    /// Whether other processes can no longer find it: its name is gone, or
    /// leads to another segment. `false` if only this process can't see it.
    #[cfg_attr(not(feature = "tend"), allow(dead_code, reason = "an owner asks"))]
    pub(crate) fn is_gone(&self) -> bool {
        self.whereabouts() == Whereabouts::Gone
    }

    /// Whether this process sees another directory than the one that the
    /// segment is in, or none: it has changed its root, or something was
    /// mounted there.
    #[cfg(feature = "tend")]
    pub(crate) fn is_unseen(&self) -> bool {
        self.whereabouts() == Whereabouts::Unseen
    }

    /// Whether new processes find it: by its name, or by its lock file if a
    /// segment that will succeed it has the name.
    pub(crate) fn is_found(&self) -> bool {
        self.is_at_name()
            || (self.backend() == Some(Backend::SystemV)
                && self.lock().is_some_and(|lock| lock.whereabouts() == Whereabouts::Here))
    }

    /// Removes the lock file of a retired segment that has lost its name,
    /// unless new processes find it by that.
    pub(crate) fn remove_lost_lock(&self) {
        if !self.is_found() {
            self.remove_lock();
        }
    }

    /// Whether its name still leads to it, and other processes could attach:
    /// neither its user, nor its mode, length or header have changed for the
    /// worse, and its lock file can be used. What this process can't see counts
    /// as sound.
    #[cfg(feature = "tend")]
    pub(crate) fn is_sound(&self) -> bool {
        let sound = |shared: &SharedObject| {
            let sound = |lock: &LockFile| {
                !lock.is_occupied() && shared.object.is_sound(&self.identity, self.mapping(), lock)
            };
            shared.lock().is_none_or(sound)
        };
        self.shared.as_ref().is_none_or(|shared| sound(shared))
    }

    /// Removes its name.
    pub(super) fn unlink(&self) -> Result<(), SegmentError> {
        self.shared.as_ref().map_or(Ok(()), |shared| shared.object.unlink())
    }

    /// A second, writable mapping.
    ///
    /// # Errors
    /// [`SegmentError::Io`], also if the segment is gone, or if it could only be opened by its
    /// name and that now leads to another one.
    pub(super) fn open_writer(self: &Arc<Segment>) -> Result<WriteMapping, SegmentError> {
        let shared = self.shared.as_ref().expect("a shared segment");
        shared.object.writer(self.mapping())
    }

    /// Counts this process as attached until the guard is dropped.
    ///
    /// # Errors
    /// [`SegmentError::Io`].
    pub fn hold(self: &Arc<Segment>) -> Result<AttachGuard, SegmentError> {
        if let Some(shared) = &self.shared {
            let mut held = shared.held.lock().unwrap_or_else(PoisonError::into_inner);
            if let (0, false, Some(lock)) = (*held, shared.looks, shared.lock()) {
                let action = SegmentError::io("mark as attached", shared.object.location());
                shared.object.join(lock).map_err(action)?;
            }
            *held += 1;
        }
        Ok(AttachGuard(self.clone()))
    }

    /// The number of attached processes, including this one if it is attached.
    ///
    /// # Errors
    /// [`SegmentError::Io`].
    pub fn attached(&self) -> Result<usize, SegmentError> {
        let Some(shared) = &self.shared else { return Ok(1) };
        let action = SegmentError::io("count the processes attached to", shared.object.location());
        shared.object.attached(shared.lock()).map_err(action)
    }

    /// The path of the file; `None` for other kinds.
    pub fn path(&self) -> Option<std::path::PathBuf> {
        self.location()?.path().map(Path::to_path_buf)
    }
}

/// While it exists, this process counts as attached to the segment.
#[derive(Debug)]
pub struct AttachGuard(Arc<Segment>);

impl Drop for AttachGuard {
    fn drop(&mut self) {
        let Some(shared) = &self.0.shared else { return };
        // A forked child shares its parent's mark and must not change it.
        if shared.lineage != Lineage::current() {
            return;
        }
        let mut held = shared.held.lock().unwrap_or_else(PoisonError::into_inner);
        *held -= 1;
        if let (0, false, Some(lock)) = (*held, shared.looks, shared.lock()) {
            // If this fails, the mark is freed with the process.
            shared.object.leave(lock);
        }
    }
}

impl Drop for SharedObject {
    fn drop(&mut self) {
        let Some(lock) = self.lock.take() else { return };
        if self.lineage == Lineage::current() {
            registry().close(lock);
        }
    }
}
