//! Assembling a segment from the parts that a backend has found.
//!
//! The registry's lock is held meanwhile, so that a process has one attachment
//! of each object.

use std::io;
use std::sync::{Arc, Mutex};

use super::attachment::{Segment, SegmentMemory, SharedObject};
use super::backend::{Discovery, Located, ObjectId, Parts, SegmentPart};
use super::error::SegmentError;
use super::lock::LockFile;
use super::name::Place;
use super::registry::{Registry, registry};
use super::whereabouts::Whereabouts;
use crate::layout::{Identity, Lineage};

impl Segment {
    /// Attaches to one generation of a key, sharing this process's attachment if there is one.
    ///
    /// The user, the mode, the length and the header are checked first.
    ///
    /// # Errors
    /// [`SegmentError`], with a variant for each cause.
    pub fn attach(place: &Place, generation: u64) -> Result<Arc<Segment>, SegmentError> {
        Segment::attach_to(place, place.backend.store().locate(place, generation)?)
    }

    /// Attaches to an object that a backend has found.
    pub(super) fn attach_to(
        place: &Place,
        located: Located<'_>,
    ) -> Result<Arc<Segment>, SegmentError> {
        match located {
            Located::Attached(segment) => Ok(segment),
            Located::Refused(object, refused) => Segment::inherited(object).ok_or(refused),
            Located::New { object, discovery, parts } => {
                Segment::share(place, object, discovery, parts)
            }
        }
    }

    /// Looks at one generation of a key without attaching to it: only the part
    /// that is wanted is valid.
    pub(super) fn look(
        place: &Place,
        generation: u64,
        part: SegmentPart,
    ) -> Result<Arc<Segment>, SegmentError> {
        Segment::look_at(place, place.backend.store().look(place, generation, part)?)
    }

    /// Looks at an object that a backend has found for that.
    pub(super) fn look_at(
        place: &Place,
        located: Located<'_>,
    ) -> Result<Arc<Segment>, SegmentError> {
        match located {
            Located::New { parts, .. } => Segment::of_look(place, parts()?),
            Located::Attached(segment) => Ok(segment),
            Located::Refused(object, refused) => Segment::inherited(object).ok_or(refused),
        }
    }

    /// This process's attachment of an object that it may not open, but that
    /// its parent had attached: made from what it has inherited.
    fn inherited(id: ObjectId) -> Option<Arc<Segment>> {
        let mut registry = registry();
        if let Some(segment) = registry.segment(id) {
            return Some(segment);
        }
        let parents = registry.inherited(id)?;
        let shared = parents.shared.as_ref()?;
        let lock = Arc::new(shared.lock.as_ref()?.inherit()?);
        let parts = Parts {
            identity: parents.identity,
            mapping: parents.mapping().clone(),
            object: shared.object.inherit()?,
        };
        Some(Self::assemble(parts, lock, &mut registry))
    }

    /// This process's attachment of an object, made from its parts if there is
    /// none.
    fn share(
        place: &Place,
        id: ObjectId,
        found: Discovery,
        parts: impl FnOnce() -> Result<Parts, SegmentError>,
    ) -> Result<Arc<Segment>, SegmentError> {
        let mut registry = registry();
        if let Some(segment) = registry.segment(id) {
            return Ok(segment);
        }
        let parts = parts()?;
        let Identity { key, segment_id, .. } = parts.identity;
        let path = place.backend.store().lock_path(&place.directory, key, segment_id);
        let mut made = false;
        let lock = match registry.lock(&path) {
            Some(lock) => lock,
            None => {
                let action = SegmentError::io("open the lock file", path.clone());
                let (mode, owners) = (parts.object.mode(), &place.owners);
                let existing = LockFile::existing(path.clone(), mode, owners);
                let wanting = match &existing {
                    Err(error) => {
                        found == Discovery::ByName && error.kind() == io::ErrorKind::NotFound
                    }
                    Ok(lock) => lock.is_occupied(),
                };
                // A process that may only read does not create one, because
                // others could not use it. It does without, as where it may
                // not open one, and so does a process that may not create any.
                let lock = match wanting && parts.object.may_write() {
                    true => {
                        // Closed before it is opened again.
                        drop(existing);
                        let opened = LockFile::open(path.clone(), mode, owners);
                        made = opened.is_ok();
                        opened
                    }
                    false => existing,
                };
                let missing = |error: &io::Error| {
                    let kinds = [
                        io::ErrorKind::NotFound,
                        io::ErrorKind::PermissionDenied,
                        io::ErrorKind::ReadOnlyFilesystem,
                    ];
                    // Gone together with the segment, if that is gone as well.
                    wanting
                        && kinds.contains(&error.kind())
                        && parts.object.whereabouts() == Whereabouts::Here
                };
                let lock = match lock {
                    Err(error) if missing(&error) => Ok(LockFile::without(path, mode, owners)),
                    other => other,
                };
                Arc::new(lock.map_err(action)?)
            }
        };
        let segment = Self::assemble(parts, lock, &mut registry);
        // It may have been removed since, together with its lock file.
        if made && segment.head().retired() && !segment.is_at_name() {
            segment.remove_lock();
        }
        Ok(segment)
    }

    /// A segment that this process only looks at. Nothing is created for it,
    /// and no other handle of the process shares it. Its lock file is shared,
    /// because closing a second descriptor of it would free the process's
    /// locks.
    fn of_look(place: &Place, parts: Parts) -> Result<Arc<Segment>, SegmentError> {
        let mut registry = registry();
        let Identity { key, segment_id, .. } = parts.identity;
        let path = place.backend.store().lock_path(&place.directory, key, segment_id);
        let lock = match registry.lock(&path) {
            Some(lock) => Some(lock),
            None => match LockFile::look(path.clone(), parts.object.mode(), &place.owners) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(SegmentError::io("open the lock file", path)(error)),
                Ok(lock) => {
                    let lock = Arc::new(lock);
                    registry.expect(&lock);
                    Some(lock)
                }
            },
        };
        let Parts { identity, mapping, object } = parts;
        let (held, lineage) = (Mutex::new(0), Lineage::current());
        let shared = Some(Box::new(SharedObject { object, lock, looks: true, held, lineage }));
        Ok(Arc::new(Segment { identity, shared, memory: SegmentMemory::ReadOnly(mapping) }))
    }

    /// The segment that was just created; its lock file is held.
    pub(super) fn created(parts: Parts, lock: Arc<LockFile>) -> Result<Arc<Segment>, SegmentError> {
        let mut registry = registry();
        // Another thread may have attached to it since it got its name.
        match registry.segment(parts.object.id()) {
            Some(segment) => Ok(segment),
            None => Ok(Self::assemble(parts, lock, &mut registry)),
        }
    }

    fn assemble(parts: Parts, lock: Arc<LockFile>, registry: &mut Registry) -> Arc<Segment> {
        let Parts { identity, mapping, object } = parts;
        let id = object.id();
        let segment = Arc::new(Segment {
            identity,
            shared: Some(Box::new(SharedObject {
                object,
                lock: Some(lock.clone()),
                looks: false,
                held: Mutex::new(0),
                lineage: Lineage::current(),
            })),
            memory: SegmentMemory::ReadOnly(mapping),
        });
        registry.add(id, &segment, &lock);
        segment
    }
}
