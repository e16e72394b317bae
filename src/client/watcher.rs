//! The thread that makes descriptors readable when the map changes.
//!
//! It exists while there are [`Changes`](super::Changes) of one reader or
//! client, and only waits: for the head of the segment, as
//! [`Reader::wait_for_change`](super::Reader::wait_for_change) does. A client's
//! own thread can't do this, because it may be in a pass that waits for a
//! server, or in an observer.
//!
//! # Why no change is lost
//!
//! A handle is *cleared* by a read of its eventfd, *then* the head is loaded. The
//! watcher loads the head, *then* writes the eventfd. The kernel orders the read
//! and the write of one eventfd by a lock. Let a handle's owner miss a change:
//! its load of the head returns an older value than the watcher's load that saw
//! the change.
//!
//! 1. If the watcher's write comes after the read, the eventfd is readable
//!    again: the change is not lost.
//! 2. If it comes before the read, the lock orders the watcher's load before the
//!    owner's. Loads of one word that are so ordered do not go back: the owner
//!    can't have missed the change.
//!
//! The watcher compares with what was last told under a lock, under which
//! handles are also added. A handle that is added after a comparison was made
//! after the load for it; its first load of the head is later still, and sees
//! that change.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::bell::Bell;
use super::changes::ChangesError;
use crate::layout::{Lineage, Mapping};
use crate::segment::{Current, Segment, WakeMask, wait, wake};
use crate::thread;

/// A wake-up can be lost, and the successor of a retired segment is searched for
/// every 100 ms: sleep in short stretches.
pub(super) const STRETCH: Duration = Duration::from_millis(100);

/// The current segment, or its successor if that one is retired.
pub(super) fn newest(current: &Current) -> Arc<Segment> {
    let segment = current.get();
    current.successor(&segment).unwrap_or(segment)
}

/// The bells of one reader or client in one process, and the thread that rings
/// them.
pub(super) struct Watcher {
    /// Not held while the thread sleeps: it must not keep the process attached.
    current: Weak<Current>,
    ringing: Mutex<Ringing>,
    closed: AtomicBool,
    /// Whether the client has ended in another way.
    ended: Box<dyn Fn() -> bool + Send + Sync>,
    /// The bit under which the thread sleeps.
    personal: WakeMask,
    pub lineage: Lineage,
}

#[derive(Default)]
struct Ringing {
    bells: Vec<Arc<Bell>>,
    /// Whether the thread runs.
    runs: bool,
    /// What was last told.
    told: Option<(Arc<Mapping>, u64)>,
}

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watcher").finish_non_exhaustive()
    }
}

impl Watcher {
    /// A watcher without handles.
    pub fn new(
        current: &Arc<Current>,
        ended: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Arc<Watcher> {
        Arc::new(Watcher {
            current: Arc::downgrade(current),
            ringing: Mutex::default(),
            closed: AtomicBool::new(false),
            ended: Box::new(ended),
            personal: WakeMask::random(),
            lineage: Lineage::current(),
        })
    }

    fn ringing(&self) -> MutexGuard<'_, Ringing> {
        self.ringing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The bit under which threads sleep that this watcher can wake.
    pub fn personal(&self) -> WakeMask {
        self.personal
    }

    /// Whether nothing will be told any more.
    pub fn is_closed(&self) -> bool {
        // Acquire: pairs with `close`.
        self.closed.load(Ordering::Acquire) || (self.ended)()
    }

    /// Adds a bell; starts the thread for the first one.
    ///
    /// # Errors
    /// [`ChangesError`]; nothing is left behind.
    pub fn add(self: &Arc<Watcher>, current: &Arc<Current>) -> Result<Arc<Bell>, ChangesError> {
        let bell = Bell::new().map_err(|error| ChangesError::Descriptor(Arc::new(error)))?;
        let bell = Arc::new(bell);
        let mut ringing = self.ringing();
        if self.is_closed() {
            return Err(ChangesError::Closed);
        }
        if !ringing.runs {
            // Taken before the caller can look at the map for the first time.
            let segment = newest(current);
            let sequence = segment.head().sequence();
            ringing.told = Some((segment.mapping().clone(), sequence));
            let watcher = self.clone();
            let started = thread::spawn("tendmap-changes", move || watcher.run());
            started.map_err(|error| ChangesError::Thread(Arc::new(error)))?;
            ringing.runs = true;
        }
        ringing.bells.push(bell.clone());
        Ok(bell)
    }

    /// Removes a bell; the thread ends after the last one. Does not wait for it.
    pub fn remove(&self, bell: &Arc<Bell>, current: &Current) {
        let mut ringing = self.ringing();
        if let Some(index) = ringing.bells.iter().position(|known| Arc::ptr_eq(known, bell)) {
            ringing.bells.swap_remove(index);
        }
        if ringing.bells.is_empty() {
            drop(ringing);
            self.wake(current);
        }
    }

    /// Ends it: all handles become readable, and report that they are closed.
    pub fn close(&self, current: &Current) {
        // Release: pairs with `is_closed`. A handle that is cleared after the
        // ring finds it closed.
        if self.closed.swap(true, Ordering::Release) {
            return;
        }
        self.ringing().bells.iter().for_each(|bell| bell.ring());
        self.wake(current);
    }

    fn wake(&self, current: &Current) {
        wake(current.get().mapping().head(), Some(self.personal));
    }

    fn run(&self) {
        let _ends = Ends(self);
        while let Some(current) = self.current.upgrade() {
            let segment = newest(&current);
            let (head, mapping) = (segment.head(), segment.mapping().clone());
            // Released before anybody is told: who is told may be the last one
            // that uses the segment, and counts who is attached.
            drop(segment);
            drop(current);
            if !self.tell(&mapping, head.sequence()) {
                return;
            }
            wait(mapping.head(), head.bits(), self.personal, STRETCH);
        }
    }

    /// Rings all bells if there is something new; returns whether to go on.
    fn tell(&self, mapping: &Arc<Mapping>, sequence: u64) -> bool {
        let mut ringing = self.ringing();
        let closed = self.is_closed();
        let same = |told: &(Arc<Mapping>, u64)| Arc::ptr_eq(&told.0, mapping) && told.1 == sequence;
        if closed || !ringing.told.as_ref().is_some_and(same) {
            ringing.told = Some((mapping.clone(), sequence));
            ringing.bells.iter().for_each(|bell| bell.ring());
        }
        let goes_on = !closed && !ringing.bells.is_empty();
        if !goes_on {
            // Under the lock: a handle that is added later starts another thread.
            (ringing.runs, ringing.told) = (false, None);
        }
        goes_on
    }
}

/// Dropped when the thread ends, also when it panics.
struct Ends<'a>(&'a Watcher);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.ringing().runs = false;
        }
    }
}
