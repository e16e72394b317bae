//! Ensures that a process has one attachment of a segment, and one descriptor
//! of its lock file, however many handles there are.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::attachment::Segment;
use super::backend::ObjectId;
use super::lock::LockFile;
use crate::layout::{ForkLocal, Identity};

/// The lock file is registered separately from the segment: it outlives the
/// segment's last handle until its descriptor is closed. That happens under the
/// registry's lock, so that no other thread opens a second one before.
struct Registration {
    /// `None` for a lock file whose segment has no name yet.
    object: Option<ObjectId>,
    segment: Weak<Segment>,
    lock: Weak<LockFile>,
}

pub struct Registry {
    entries: Vec<Registration>,
    /// If this is a forked child, the attachments of its parent and of earlier
    /// ancestors.
    inherited: Vec<(ObjectId, Weak<Segment>)>,
}

/// The registry of this process; a forked child has a new one.
pub fn registry() -> MutexGuard<'static, Registry> {
    static REGISTRY: ForkLocal<Mutex<Registry>> = ForkLocal::new();
    let fresh = |parents: Option<&Mutex<Registry>>| {
        // A thread that held the lock at the time of the fork does not exist
        // here, and will not release it.
        let parents = parents.and_then(|parents| parents.try_lock().ok());
        let inherited = parents.map(|parents| parents.for_a_child()).unwrap_or_default();
        Mutex::new(Registry { entries: Vec::new(), inherited })
    };
    REGISTRY.get_or_inherit(fresh).lock().unwrap_or_else(PoisonError::into_inner)
}

impl Registry {
    /// The attachment of that object.
    pub fn segment(&self, object: ObjectId) -> Option<Arc<Segment>> {
        let mut of = self.entries.iter().filter(|entry| entry.object == Some(object));
        of.find_map(|entry| entry.segment.upgrade())
    }

    /// A parent's attachment of that object.
    pub fn inherited(&self, object: ObjectId) -> Option<Arc<Segment>> {
        let mut of = self.inherited.iter().filter(|(id, _)| *id == object);
        of.find_map(|(_, segment)| segment.upgrade())
    }

    /// The identity of the attachment of that object: its header may have
    /// changed since.
    pub fn identity(&self, object: ObjectId) -> Option<Identity> {
        self.segment(object).map(|segment| segment.identity())
    }

    /// The identity of a parent's attachment of that object.
    pub fn inherited_identity(&self, object: ObjectId) -> Option<Identity> {
        self.inherited(object).map(|segment| segment.identity())
    }

    /// The files that this process and its ancestors have attached.
    pub fn files(&self) -> Vec<(ObjectId, PathBuf)> {
        let all = self.for_a_child().into_iter();
        all.filter_map(|(id, segment)| Some((id, segment.upgrade()?.path()?))).collect()
    }

    fn for_a_child(&self) -> Vec<(ObjectId, Weak<Segment>)> {
        let own = self.entries.iter();
        let own = own.filter_map(|entry| Some((entry.object?, entry.segment.clone())));
        own.chain(self.inherited.iter().cloned()).collect()
    }

    /// The open lock file of that path.
    pub fn lock(&self, path: &Path) -> Option<Arc<LockFile>> {
        self.entries.iter().filter_map(|e| e.lock.upgrade()).find(|lock| lock.path() == path)
    }

    /// Registers the lock file of a segment that is about to get its name, or
    /// is only looked at: a thread that attaches to it at that moment must not
    /// open another one.
    pub fn expect(&mut self, lock: &Arc<LockFile>) {
        self.sweep();
        self.entries.push(Registration {
            object: None,
            segment: Weak::new(),
            lock: Arc::downgrade(lock),
        });
    }

    /// Registers an attachment.
    pub fn add(&mut self, object: ObjectId, segment: &Arc<Segment>, lock: &Arc<LockFile>) {
        self.sweep();
        let (segment, lock) = (Arc::downgrade(segment), Arc::downgrade(lock));
        self.entries.push(Registration { object: Some(object), segment, lock });
    }

    /// Closes a lock file handle, and removes entries that are gone.
    pub fn close(&mut self, lock: Arc<LockFile>) {
        drop(lock);
        self.sweep();
    }

    fn sweep(&mut self) {
        self.entries
            .retain(|entry| entry.segment.strong_count() > 0 || entry.lock.strong_count() > 0);
    }
}
