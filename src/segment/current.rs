//! The segment that a process reads, as segments succeed each other.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::directory::search;
use super::error::SegmentError;
use super::name::Place;
use super::segment::{Attachment, Segment};

/// How often a successor of a retired segment is looked for, at most.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The current segment of a key, shared by a process's routers and its tender.
#[derive(Debug)]
pub struct Current {
    /// Where successors are found; `None` in private mode, which has none.
    place: Option<Place>,
    /// By which this process counts as attached to it.
    attachment: Mutex<(Arc<Segment>, Option<Attachment>)>,
    looked: Mutex<Option<Instant>>,
}

impl Current {
    /// Begins with this segment.
    ///
    /// # Errors
    /// [`SegmentError::Io`] if the process can't be marked as attached.
    pub fn new(place: Option<Place>, segment: &Arc<Segment>) -> Result<Current, SegmentError> {
        let attachment = Mutex::new((segment.clone(), Some(segment.hold()?)));
        Ok(Current { place, attachment, looked: Mutex::new(None) })
    }

    /// The current segment.
    pub fn get(&self) -> Arc<Segment> {
        self.attachment.lock().unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Another one may have become current.
    ///
    /// Several threads bring what each has found, and one may be late: a
    /// segment is replaced by one of a higher generation, and once it is retired
    /// by any that lives, for after a removal the numbers begin anew. Else it
    /// stays, so that what a process reads never goes back.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn replace(&self, segment: &Arc<Segment>) -> Result<(), SegmentError> {
        let attachment = segment.hold()?;
        let mut current = self.attachment.lock().unwrap_or_else(PoisonError::into_inner);
        let number = |segment: &Segment| segment.identity().generation;
        let higher = number(segment) > number(&current.0);
        if higher || (current.0.head().retired() && !segment.head().retired()) {
            *current = (segment.clone(), Some(attachment));
        }
        Ok(())
    }

    /// No longer counts this process as attached on this account; the segment
    /// can still be read.
    pub fn let_go(&self) {
        self.attachment.lock().unwrap_or_else(PoisonError::into_inner).1 = None;
    }

    /// What has succeeded `of`, if that is known or can be found. The directory
    /// is looked at every 100 ms at most, whoever asks; nobody waits for
    /// anybody.
    pub fn successor(&self, of: &Arc<Segment>) -> Option<Arc<Segment>> {
        let current = self.attachment.try_lock().ok()?.0.clone();
        if !Arc::ptr_eq(&current, of) {
            return Some(current);
        }
        let place = self.place.as_ref().filter(|_| current.head().retired())?;
        let mut looked = self.looked.try_lock().ok()?;
        if looked.is_some_and(|at| at.elapsed() < LOOK_EVERY) {
            return None;
        }
        *looked = Some(Instant::now());
        // What can't be trusted is no successor; the next look may find one.
        let found = search(place).ok()?;
        self.replace(found.successor(&current)?).ok()?;
        let now = self.attachment.try_lock().ok()?.0.clone();
        (!Arc::ptr_eq(&now, of)).then_some(now)
    }
}
