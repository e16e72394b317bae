//! The thread that makes descriptors readable when the map changes.
//!
//! It exists while there are [`Changes`](super::Changes) of one reader or
//! client, and only waits: for the head of the segment, as
//! [`Reader::wait_for_change`](super::Reader::wait_for_change) does. A client's
//! own thread can't do this, because it may be in a pass that waits for a
//! server, or in an observer.
//!
//! Why no change is lost is said in `ringing.rs`.

use std::sync::{Arc, Weak};
use std::time::Duration;

use super::bell::Bell;
use super::changes::ChangesError;
use super::ringing::Ringing;
use crate::layout::{Lineage, Mapping};
use crate::protocol::Head;
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
    ringing: Ringing<Bell, Seen, Ended>,
    /// The bit under which the thread sleeps.
    personal: WakeMask,
    pub lineage: Lineage,
}

/// Whether the client has ended otherwise than by a close.
type Ended = Box<dyn Fn() -> bool + Send + Sync>;

/// A head that the thread has loaded. The mapping is compared by its address, which
/// no other one has while this exists.
#[derive(Clone)]
struct Seen {
    mapping: Arc<Mapping>,
    head: Head,
}

impl Seen {
    fn of(segment: &Segment) -> Seen {
        Seen { mapping: segment.mapping().clone(), head: segment.head() }
    }
}

/// A change of the owner alone is not a change of the map.
impl PartialEq for Seen {
    fn eq(&self, other: &Seen) -> bool {
        Arc::ptr_eq(&self.mapping, &other.mapping) && self.head.sequence() == other.head.sequence()
    }
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
            ringing: Ringing::new(Box::new(ended)),
            personal: WakeMask::random(),
            lineage: Lineage::current(),
        })
    }

    /// The bit under which threads sleep that this watcher can wake.
    pub fn personal(&self) -> WakeMask {
        self.personal
    }

    /// Whether nothing will be told any more.
    pub fn is_closed(&self) -> bool {
        self.ringing.is_closed()
    }

    /// Adds a bell; starts the thread for the first one.
    ///
    /// # Errors
    /// [`ChangesError`]; nothing is left behind.
    pub fn add(self: &Arc<Watcher>, current: &Arc<Current>) -> Result<Arc<Bell>, ChangesError> {
        let bell = Bell::new().map_err(|error| ChangesError::Descriptor(Arc::new(error)))?;
        let bell = Arc::new(bell);
        let start = || {
            let watcher = self.clone();
            let started = thread::spawn("tendmap-changes", move || watcher.run());
            started.map(drop).map_err(|error| ChangesError::Thread(Arc::new(error)))
        };
        match self.ringing.add(&bell, || Seen::of(&newest(current)), start)? {
            true => Ok(bell),
            false => Err(ChangesError::Closed),
        }
    }

    /// Removes a bell; the thread ends after the last one. Does not wait for it.
    pub fn remove(&self, bell: &Arc<Bell>, current: &Current) {
        if self.ringing.remove(bell) {
            self.wake(current);
        }
    }

    /// Makes the bell unreadable until the next change, and then looks.
    ///
    /// # Errors
    /// [`ChangesError::Closed`], [`ChangesError::Descriptor`].
    pub fn take<L>(&self, bell: &Bell, look: impl FnOnce() -> L) -> Result<L, ChangesError> {
        let taken = self.ringing.take(bell, look);
        let seen = taken.map_err(|error| ChangesError::Descriptor(Arc::new(error)))?;
        seen.ok_or(ChangesError::Closed)
    }

    /// Ends it: all handles become readable, and report that they are closed.
    pub fn close(&self, current: &Current) {
        if self.ringing.close() {
            self.wake(current);
        }
    }

    fn wake(&self, current: &Current) {
        wake(current.get().mapping().head(), Some(self.personal));
    }

    fn run(&self) {
        let _ends = Ends(self);
        // Released before the bells ring: a program that hears one may be the last
        // user of the segment, and count the attached processes.
        let look = || self.current.upgrade().map(|current| Seen::of(&newest(&current)));
        let sleep = |seen: &Seen| {
            wait(seen.mapping.head(), seen.head.bits(), self.personal, STRETCH);
        };
        self.ringing.run(look, sleep);
    }
}

/// Dropped when the thread ends, also when it panics.
struct Ends<'a>(&'a Watcher);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.ringing.died();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::super::ringing::{Ring, Ringing};
    use super::*;

    #[derive(Default)]
    struct Flag(Cell<bool>);

    impl Ring for Flag {
        type Error = ();

        fn ring(&self) {
            self.0.set(true);
        }

        fn clear(&self) -> Result<(), ()> {
            self.0.set(false);
            Ok(())
        }
    }

    #[test]
    #[allow(clippy::arc_with_non_send_sync, reason = "one thread")]
    fn h161_after_a_thread_that_died_the_next_one_tells_all() {
        let ringing = Ringing::new(|| false);
        let [first, second] = [(); 2].map(|()| Arc::new(Flag::default()));
        let add = |bell, head| ringing.add(bell, || head, || Ok::<(), ()>(()));
        assert_eq!(add(&first, 1), Ok(true));
        ringing.died();
        // In between there was a change, and no thread.
        assert_eq!(add(&second, 2), Ok(true));
        let mut looks = [2].into_iter();
        ringing.run(|| looks.next(), |_| ());
        assert!(first.0.get());
    }

    #[test]
    #[allow(clippy::arc_with_non_send_sync, reason = "one thread")]
    fn a_thread_that_cannot_be_started_leaves_no_bell_behind() {
        let ringing = Ringing::new(|| false);
        let bell = Arc::new(Flag::default());
        assert_eq!(ringing.add(&bell, || 1, || Err("no more threads")), Err("no more threads"));
        assert_eq!(Arc::strong_count(&bell), 1);
        let started = Cell::new(false);
        let start = || {
            started.set(true);
            Ok::<(), ()>(())
        };
        assert_eq!((ringing.add(&bell, || 1, start), started.get()), (Ok(true), true));
        ringing.run(|| Some(1), |_| assert!(ringing.remove(&bell)));
        assert!(!bell.0.get(), "nothing has changed");
    }
}
