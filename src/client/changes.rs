//! Waiting for changes of the map in an event loop.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

use arc_swap::ArcSwap;

use super::bell::Bell;
use super::watcher::{Watcher, newest};
use crate::explain::explain;
use crate::layout::Lineage;
use crate::segment::{Current, WakeMask};

/// A descriptor that becomes readable when the map changes, for `poll`, `epoll`
/// and every event loop that is built on them.
///
/// Add the descriptor to the loop, for reading. When it is readable, call
/// [`take`](Self::take), which makes it unreadable again and returns the live
/// sequence. **No change is lost:** one that happens after `take` began either
/// is in its result, or makes the descriptor readable again. It works both
/// level- and edge-triggered. Never read from the descriptor, and never close
/// it; remove it from the loop before dropping this.
///
/// It becomes readable
///
/// - at each publication, by whichever owner. Several in short succession may
///   be reported once. A change of the owner alone is not one of the map;
/// - when the reader moves to another segment, as when the segment has grown;
///   then the sequence may be unchanged;
/// - when the client is closed, by a call or because its thread has ended:
///   `take` then returns [`ChangesError::Closed`].
///
/// Each handle is independent of the others, and may be used from any thread.
/// The first handle of a client or reader (and its clones) starts a thread that
/// sleeps until a publication, and the last one ends it. While a handle of a
/// [`Reader`](super::Reader) exists, the process counts as attached.
///
/// A forked child has inherited the descriptor, but not the thread. There, `take`
/// returns [`ChangesError::Inherited`] and changes nothing of the parent's; make
/// another handle in the child.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use rustix::event::{PollFd, PollFlags, poll};
/// use tendmap::sim::{Sim, SimConfig};
/// use tendmap::{Client, Config};
///
/// let sim = Sim::start(SimConfig::fast(3))?;
/// let client = Client::connect(Config::new(vec![sim.seeds()[0].into()]).with_tend_interval(
///     std::time::Duration::from_millis(50),
/// ))?;
/// let changes = client.changes()?;
/// let before = changes.sequence();
/// sim.kill(3)?;
/// poll(&mut [PollFd::new(&changes, PollFlags::IN)], None)?;
/// assert!(changes.take()? > before);
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Changes {
    watcher: Arc<Watcher>,
    bell: Arc<Bell>,
    current: Arc<Current>,
}

/// Why there is no news of changes.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangesError {
    /// The client or reader is closed: no further change will be reported.
    #[error("it is closed: no further change will be reported; connect again")]
    Closed,
    /// The handle belongs to the process from which this one was forked.
    #[error(
        "the handle for changes belongs to the parent process; make another one in this process"
    )]
    Inherited,
    /// No descriptor can be opened, or the program has closed this one.
    #[error("no descriptor for changes: {}", explain(_0))]
    Descriptor(Arc<io::Error>),
    /// The thread that waits for changes can't be started.
    #[error("can't start the thread that waits for changes: {}", explain(_0))]
    Thread(Arc<io::Error>),
}

impl Changes {
    /// The live sequence. The descriptor is not changed.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        newest(&self.current).head().sequence()
    }

    /// Makes the descriptor unreadable until the next change, and returns the
    /// live sequence. Does not wait, and may be called at any time.
    ///
    /// The descriptor may have been readable although the sequence is the one
    /// that was seen last.
    ///
    /// # Errors
    /// [`ChangesError::Closed`] from the moment on at which the client is closed;
    /// [`ChangesError::Inherited`] in a forked child; [`ChangesError::Descriptor`]
    /// if the program has closed the descriptor.
    pub fn take(&self) -> Result<u64, ChangesError> {
        if self.watcher.lineage != Lineage::current() {
            return Err(ChangesError::Inherited);
        }
        self.watcher.take(&self.bell, || self.sequence())
    }
}

impl AsFd for Changes {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.bell.number()
    }
}

impl AsRawFd for Changes {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        // In a forked child a lock may be held for ever, and there is no thread.
        if self.watcher.lineage == Lineage::current() {
            self.watcher.remove(&self.bell, &self.current);
        }
    }
}

/// The watcher of a reader or of a connect; a forked child has its own.
#[derive(Debug)]
pub(super) struct ChangeSource {
    watcher: ArcSwap<Watcher>,
}

impl ChangeSource {
    /// Without handles, and without a thread.
    pub fn new(
        current: &Arc<Current>,
        ended: impl Fn() -> bool + Send + Sync + 'static,
    ) -> ChangeSource {
        ChangeSource { watcher: ArcSwap::new(Watcher::new(current, ended)) }
    }

    fn watcher(&self, current: &Arc<Current>) -> Arc<Watcher> {
        let known = self.watcher.load_full();
        if known.lineage == Lineage::current() {
            return known;
        }
        let closed = known.is_closed();
        let own = Watcher::new(current, move || closed);
        let before = self.watcher.compare_and_swap(&known, own.clone());
        if Arc::ptr_eq(&before, &known) {
            // The parent's thread may have been changing it: it is never dropped.
            std::mem::forget(known);
            return own;
        }
        Arc::clone(&before)
    }

    /// Another handle.
    pub fn handle(&self, current: &Arc<Current>) -> Result<Changes, ChangesError> {
        let watcher = self.watcher(current);
        let bell = watcher.add(current)?;
        Ok(Changes { watcher, bell, current: current.clone() })
    }

    /// Ends all handles of this process.
    pub fn close(&self, current: &Arc<Current>) {
        self.watcher(current).close(current);
    }

    /// Whether it was closed.
    pub fn is_closed(&self) -> bool {
        self.watcher.load().is_closed()
    }

    /// The bit under which waits sleep that a close ends.
    pub fn personal(&self) -> WakeMask {
        self.watcher.load().personal()
    }
}
