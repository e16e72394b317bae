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
    attached: Option<Attachment>,
    lock: Weak<LockFile>,
}

/// An attachment, and what is asked about it. Its handle is only taken to be
/// returned: if it were the last one and were dropped here, the segment would
/// wait for the registry's lock, which this thread holds.
#[derive(Clone)]
struct Attachment {
    object: ObjectId,
    identity: Identity,
    path: Option<PathBuf>,
    segment: Weak<Segment>,
}

impl Attachment {
    fn is_there(&self) -> bool {
        self.segment.strong_count() > 0
    }
}

pub struct Registry {
    entries: Vec<Registration>,
    /// If this is a forked child, the attachments of its parent and of earlier
    /// ancestors.
    inherited: Vec<Attachment>,
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
    fn own(&self) -> impl Iterator<Item = &Attachment> {
        self.entries.iter().filter_map(|entry| entry.attached.as_ref())
    }

    /// The attachment of that object.
    pub fn segment(&self, object: ObjectId) -> Option<Arc<Segment>> {
        upgrade(self.own(), object)
    }

    /// A parent's attachment of that object.
    pub fn inherited(&self, object: ObjectId) -> Option<Arc<Segment>> {
        upgrade(self.inherited.iter(), object)
    }

    /// The identity of the attachment of that object: its header may have
    /// changed since.
    pub fn identity(&self, object: ObjectId) -> Option<Identity> {
        identity(self.own(), object)
    }

    /// The identity of a parent's attachment of that object.
    pub fn inherited_identity(&self, object: ObjectId) -> Option<Identity> {
        identity(self.inherited.iter(), object)
    }

    /// The files that this process and its ancestors have attached.
    pub fn files(&self) -> Vec<(ObjectId, PathBuf)> {
        let there = self.own().chain(&self.inherited).filter(|attached| attached.is_there());
        there.filter_map(|attached| Some((attached.object, attached.path.clone()?))).collect()
    }

    fn for_a_child(&self) -> Vec<Attachment> {
        self.own().chain(&self.inherited).cloned().collect()
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
        self.entries.push(Registration { attached: None, lock: Arc::downgrade(lock) });
    }

    /// Registers an attachment.
    pub fn add(&mut self, object: ObjectId, segment: &Arc<Segment>, lock: &Arc<LockFile>) {
        self.sweep();
        let (identity, path) = (segment.identity(), segment.path());
        let attached = Attachment { object, identity, path, segment: Arc::downgrade(segment) };
        self.entries.push(Registration { attached: Some(attached), lock: Arc::downgrade(lock) });
    }

    /// Closes a lock file handle, and removes entries that are gone.
    pub fn close(&mut self, lock: Arc<LockFile>) {
        drop(lock);
        self.sweep();
    }

    fn sweep(&mut self) {
        let attached =
            |entry: &Registration| entry.attached.as_ref().is_some_and(Attachment::is_there);
        self.entries.retain(|entry| attached(entry) || entry.lock.strong_count() > 0);
    }
}

fn upgrade<'a>(
    mut among: impl Iterator<Item = &'a Attachment>,
    object: ObjectId,
) -> Option<Arc<Segment>> {
    among.find_map(|attached| {
        (attached.object == object).then(|| attached.segment.upgrade()).flatten()
    })
}

fn identity<'a>(
    mut among: impl Iterator<Item = &'a Attachment>,
    object: ObjectId,
) -> Option<Identity> {
    let found = among.find(|attached| attached.object == object && attached.is_there())?;
    Some(found.identity)
}

#[cfg(all(test, feature = "tend"))]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::map::Capacity;
    use crate::segment::{Place, create};

    /// A thread that asks about a segment while another one drops it for the last time is not
    /// the one that closes it: it would wait for the lock that it holds.
    #[test]
    #[cfg_attr(miri, ignore = "it needs the system's locks")]
    fn h230_a_segment_may_be_dropped_while_it_is_asked_about() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place { directory: folder.path().into(), ..Place::of_key(7) };
        drop(create(&place, 1, Capacity::DEFAULT, None).unwrap());
        let attach = move || Segment::attach(&place, 1).unwrap();
        let object = attach().shared.as_ref().unwrap().object.id();
        let done = Arc::new(AtomicBool::new(false));
        // Not scoped, so that threads that wait for ever do not hold up the test.
        let asking = done.clone();
        std::thread::spawn(move || {
            while !asking.load(Ordering::Relaxed) {
                let _ = registry().identity(object);
                let _ = registry().files();
            }
        });
        let (send, ended) = channel();
        std::thread::spawn(move || {
            (0..3000).for_each(|_| drop(attach()));
            send.send(()).unwrap();
        });
        let ended = ended.recv_timeout(Duration::from_secs(60));
        done.store(true, Ordering::Relaxed);
        assert!(ended.is_ok(), "a thread waits for itself");
    }
}
