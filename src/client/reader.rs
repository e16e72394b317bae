//! A process that only reads.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::geteuid;

use super::changes::{ChangeSource, Changes, ChangesError};
use super::status::{Status, StatusError};
use super::watcher::{STRETCH, newest as newest_of};
use crate::map::{Node, Snapshot, SnapshotError, snapshot};
use crate::route::{PreferredRacks, Router, SharedRouter};
use crate::segment::{
    Current, Place, Segment, SegmentError, WakeMask, look, newest, resolved, wait, wake,
};

/// A view of a segment: no thread, no connection, no permission to write. It
/// follows the segment's successors by itself.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use tendmap::sim::{Sim, SimConfig};
/// use tendmap::{Client, Config, Reader};
///
/// let sim = Sim::start(SimConfig::fast(2))?;
/// let mut config = Config::shared(vec![sim.seeds()[0].into()], 0xA700_0001);
/// # let directory = tempfile::tempdir()?;
/// # config.shm_directory = directory.path().into();
/// let place = config.place();
/// let owner = Client::connect(config)?;
///
/// // Any process of the host may do this.
/// let reader = Reader::attach(&place)?;
/// assert_eq!(reader.map()?.map.nodes.len(), 2);
/// println!("{}", reader.status()?);
/// # owner.close();
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reader {
    current: Arc<Current>,
    racks: Arc<PreferredRacks>,
    changes: Arc<ChangeSource>,
}

impl Reader {
    /// Attaches to the newest segment of that place, whether it has a living owner or not.
    ///
    /// # Errors
    /// [`SegmentError::NotFound`] if there is none; other variants if the segment can't be used.
    pub fn attach(place: &Place) -> Result<Reader, SegmentError> {
        let place = &Place { directory: resolved(&place.directory), ..place.clone() };
        let segment = newest(place)?;
        let current = Arc::new(Current::new(Some(place.clone()), &segment)?);
        Ok(Reader::with(current, Arc::default()))
    }

    /// Looks at the newest segment of that place as it is now, for callers that ask once. Nothing
    /// is created, this process does not count as attached, and later publications are not seen.
    ///
    /// A file is not mapped: its content is read into private memory. So no process can kill this
    /// one by truncating the file, and a file that its group may write is read even if that is
    /// not allowed otherwise.
    ///
    /// # Errors
    /// As [`attach`](Self::attach), and [`SegmentError::Io`] if the file was truncated during the
    /// read.
    pub fn look(place: &Place) -> Result<Reader, SegmentError> {
        let place = &Place { directory: resolved(&place.directory), ..place.clone() };
        let current = Arc::new(Current::new(None, &look(place)?)?);
        Ok(Reader::with(current, Arc::default()))
    }

    internal! {
        /// As [`look`](Self::look), only to show what is there: root sees every user's segment,
        /// if there is none of a trusted user.
        ///
        /// # Errors
        /// As [`look`](Self::look).
        fn inspect(place: &Place) -> Result<Reader, SegmentError> {
            let mut place = place.clone();
            loop {
                match Reader::look(&place) {
                    Err(SegmentError::Owner { found, .. })
                        if geteuid().is_root() && !place.owners.contains(&found) =>
                    {
                        place.owners.push(found);
                    }
                    other => return other,
                }
            }
        }
    }

    #[cfg(feature = "tend")]
    pub(super) fn of(current: Arc<Current>, racks: &[i32]) -> Reader {
        Reader::with(current, Arc::new(PreferredRacks::new(racks)))
    }

    fn with(current: Arc<Current>, racks: Arc<PreferredRacks>) -> Reader {
        let changes = Arc::new(ChangeSource::new(&current, || false));
        Reader { current, racks, changes }
    }

    internal! {
        /// The segment that is currently read, or its successor if that one is
        /// retired.
        fn segment(&self) -> Arc<Segment> {
            newest_of(&self.current)
        }
    }

    internal! {
        /// Ends the waits and the [`Changes`] of this reader and its clones;
        /// everything else goes on. For languages with a call that closes.
        fn close(&self) {
            self.changes.close(&self.current);
        }
    }

    /// A router without local state, for one thread.
    #[must_use]
    pub fn router(&self) -> Router {
        self.router_with(|_| ())
    }

    /// A router that keeps for each node a state that `state` creates (for
    /// example, a connection pool), for one thread.
    pub fn router_with<S>(&self, state: impl FnMut(&Node) -> S + Send + 'static) -> Router<S> {
        Router::new(self.current.clone(), Box::new(state)).follow_racks(self.racks.clone())
    }

    /// A router for all threads, with one state for each node that `state` creates at its first
    /// use (for example, a connection pool).
    pub fn shared_router<S: Send + Sync + 'static>(
        &self,
        state: impl Fn(&Node) -> S + Send + Sync + 'static,
    ) -> SharedRouter<S> {
        SharedRouter::new(self.current.clone(), self.racks.clone(), state)
    }

    /// Changes the racks that [`Policy::PreferRack`](crate::route::Policy)
    /// prefers, the best first, in all routers made by this reader and its
    /// clones, from their next command on. Initially there are none.
    pub fn set_preferred_racks(&self, racks: &[i32]) {
        self.racks.set(racks);
    }

    /// Asks the owner, whichever process that is, to tend soon: for callers
    /// that see connections to a node fail. The owner starts its next pass at
    /// the earliest a quarter of its tend interval after the last one, however
    /// often it is asked; the request may be lost. Nothing is written, and the
    /// call does not wait.
    pub fn request_tend(&self) {
        wake(self.segment().mapping().event(), Some(WakeMask::owner()));
    }

    /// The whole map of the last publication.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn map(&self) -> Result<Snapshot, SnapshotError> {
        match self.current.is_barred() {
            true => Err(SnapshotError::Empty),
            false => snapshot(self.segment().mapping()),
        }
    }

    /// Sleeps until a publication other than `sequence` is live, at most for
    /// `timeout`, and returns the live sequence. Nothing is written: the owner
    /// wakes every process that sleeps.
    #[allow(clippy::must_use_candidate, reason = "the wait alone may be what is wanted")]
    pub fn wait_for_change(&self, sequence: u64, timeout: Duration) -> u64 {
        self.sleep(sequence, timeout, self.changes.personal(), || self.changes.is_closed())
    }

    /// A descriptor that becomes readable when the map changes, for event loops. May be called
    /// several times: the handles are independent of each other.
    ///
    /// A reader of [`look`](Self::look) sees no changes, so its descriptor never becomes
    /// readable.
    ///
    /// # Errors
    /// [`ChangesError::Descriptor`] and [`ChangesError::Thread`] if a limit of the process or
    /// the system is reached; nothing is left behind.
    pub fn changes(&self) -> Result<Changes, ChangesError> {
        self.changes.handle(&self.current)
    }

    /// Like [`wait_for_change`](Self::wait_for_change), but also returns when
    /// it is to `stop`.
    pub(super) fn sleep(
        &self,
        sequence: u64,
        timeout: Duration,
        personal: WakeMask,
        stop: impl Fn() -> bool,
    ) -> u64 {
        // A deadline beyond the clock's range means no deadline.
        let deadline = Instant::now().checked_add(timeout);
        loop {
            let segment = self.segment();
            let head = segment.head();
            let left = deadline.map_or(Duration::MAX, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if head.sequence() != sequence || left.is_zero() || stop() {
                return head.sequence();
            }
            let stretch = left.min(STRETCH);
            wait(segment.mapping().head(), head.bits(), personal, stretch);
        }
    }

    /// The state of the segment and its owner.
    ///
    /// # Errors
    /// [`StatusError`] if the lock file can't be read or the map is damaged.
    pub fn status(&self) -> Result<Status, StatusError> {
        Status::of(&self.segment())
    }
}
