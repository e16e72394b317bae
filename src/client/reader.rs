//! A process that only reads.

use std::sync::Arc;

use super::status::{Status, StatusError};
use crate::map::{Node, Snapshot, SnapshotError, snapshot};
use crate::route::{PreferredRacks, Router};
use crate::segment::{
    Current, Place, Segment, SegmentError, WakeMask, look, newest, resolved, wake,
};

/// A view of a segment: no thread, no connection, no permission to write. It
/// moves over to the segment's successors by itself.
#[derive(Clone, Debug)]
pub struct Reader {
    current: Arc<Current>,
    racks: Arc<PreferredRacks>,
}

impl Reader {
    /// Attaches to the newest segment of that place, whether an owner lives or
    /// not.
    ///
    /// # Errors
    /// [`SegmentError::NotFound`] if there is none, and what else can be wrong
    /// with one.
    pub fn attach(place: &Place) -> Result<Reader, SegmentError> {
        let place = &Place { directory: resolved(&place.directory), ..place.clone() };
        let segment = newest(place)?;
        let current = Arc::new(Current::new(Some(place.clone()), &segment)?);
        Ok(Reader { current, racks: Arc::default() })
    }

    /// Looks at the newest segment of that place as it is now: for those that ask
    /// once. Nothing is made, this process does not count as attached, and nothing
    /// that is published later shows.
    ///
    /// A file is not mapped: what it holds is read into private memory. So nobody
    /// can end this process by cutting the file short, whoever may write it, and a
    /// file that its group may write is read without being allowed.
    ///
    /// # Errors
    /// As [`attach`](Self::attach), and [`SegmentError::Io`] if the file was cut
    /// short meanwhile.
    pub fn look(place: &Place) -> Result<Reader, SegmentError> {
        let place = &Place { directory: resolved(&place.directory), ..place.clone() };
        let current = Arc::new(Current::new(None, &look(place)?)?);
        Ok(Reader { current, racks: Arc::default() })
    }

    #[cfg(feature = "tend")]
    pub(super) fn of(current: Arc<Current>, racks: &[i32]) -> Reader {
        Reader { current, racks: Arc::new(PreferredRacks::new(racks)) }
    }

    internal! {
        /// The segment that is read now; its successor, if that one is retired.
        fn segment(&self) -> Arc<Segment> {
            let segment = self.current.get();
            self.current.successor(&segment).unwrap_or(segment)
        }
    }

    /// A router without local state, for one thread.
    #[must_use]
    pub fn router(&self) -> Router {
        self.router_with(|_| ())
    }

    /// A router that keeps for each node what `state` makes of it (a connection
    /// pool, say), for one thread.
    pub fn router_with<S>(&self, state: impl FnMut(&Node) -> S + Send + 'static) -> Router<S> {
        Router::new(self.current.clone(), Box::new(state)).follow_racks(self.racks.clone())
    }

    /// Changes the racks that [`Policy::PreferRack`](crate::route::Policy)
    /// prefers, the best first, in all routers made by this reader and its
    /// clones, from their next command on. At the beginning there are none.
    pub fn set_preferred_racks(&self, racks: &[i32]) {
        self.racks.set(racks);
    }

    /// Asks the owner, whichever process that is, to tend soon: for who sees a
    /// node's connections fail. The owner begins its next pass at the earliest a
    /// quarter of its tend interval after the last one, however often it is
    /// asked; it may not hear it at all. Nothing is written and nobody is
    /// waited for.
    pub fn request_tend(&self) {
        wake(self.segment().mapping().event(), Some(WakeMask::owner()));
    }

    /// The whole map as it was published last.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn map(&self) -> Result<Snapshot, SnapshotError> {
        match self.current.is_barred() {
            true => Err(SnapshotError::Empty),
            false => snapshot(self.segment().mapping()),
        }
    }

    /// How the segment and its owner stand.
    ///
    /// # Errors
    /// [`StatusError`] if the lock file can't be looked at or the map is
    /// damaged.
    pub fn status(&self) -> Result<Status, StatusError> {
        Status::of(&self.segment())
    }
}
