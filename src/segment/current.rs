//! The segment that a process reads, as segments succeed each other.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::directory::{quick, search};
use super::error::SegmentError;
use super::name::Place;
use super::segment::{Attachment, Segment};
use crate::layout::Lineage;

/// How often a successor of a retired segment is looked for, at most.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The current segment of a key, shared by a process's routers and its tender.
#[derive(Debug)]
pub struct Current {
    /// Where successors are found; `None` in private mode, which has none.
    place: Option<Place>,
    /// Read without a lock: a forked child could inherit it locked.
    segment: ArcSwap<Segment>,
    /// By which this process counts as attached to it; locked where that
    /// changes.
    attachment: Mutex<Option<Attachment>>,
    looked: Mutex<Option<Instant>>,
    /// Whether nothing may be routed from it yet.
    barred: AtomicBool,
    /// The process of which a thread finds out what may be routed from; `None` =
    /// none does, all may.
    guard: Option<Lineage>,
}

impl Current {
    /// Begins with this segment.
    ///
    /// # Errors
    /// [`SegmentError::Io`] if the process can't be marked as attached.
    pub fn new(place: Option<Place>, segment: &Arc<Segment>) -> Result<Current, SegmentError> {
        let attachment = Mutex::new(Some(segment.hold()?));
        let segment = ArcSwap::new(segment.clone());
        let (looked, barred) = (Mutex::new(None), AtomicBool::new(false));
        Ok(Current { place, segment, attachment, looked, barred, guard: None })
    }

    /// The same with a thread of this process that finds out whether a segment is
    /// of the cluster wanted, and lifts the bar.
    pub fn guarded(self) -> Current {
        Current { guard: Some(Lineage::current()), ..self }
    }

    /// Nothing may be routed from it, or it may: a map that appears in it may be
    /// of another cluster. Routers ask only where they find no map or another one
    /// than before.
    pub fn bar(&self, barred: bool) {
        // Relaxed, here and below: where the segment changes as well, that one's
        // Release and Acquire order them.
        self.barred.store(barred, Ordering::Relaxed);
    }

    /// Whether nothing may be routed from it. In a forked child nobody would lift
    /// the bar.
    pub fn is_barred(&self) -> bool {
        self.barred.load(Ordering::Relaxed) && self.guard == Some(Lineage::current())
    }

    /// Whether that is the segment from which nothing may be routed.
    pub fn bars(&self, segment: &Arc<Segment>) -> bool {
        self.is_barred() && Arc::ptr_eq(&self.get(), segment)
    }

    /// The current segment.
    pub fn get(&self) -> Arc<Segment> {
        self.segment.load_full()
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
        let held = self.attachment.lock();
        self.replace_held(segment, attachment, &mut held.unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    fn replace_held(
        &self,
        segment: &Arc<Segment>,
        attachment: Attachment,
        held: &mut Option<Attachment>,
    ) {
        let current = self.get();
        let number = |segment: &Segment| segment.identity().generation;
        let higher = number(segment) > number(&current);
        if higher || (current.head().retired() && !segment.head().retired()) {
            // Where the numbers begin again another program may have made it.
            if !higher && self.guard == Some(Lineage::current()) {
                self.bar(true);
            }
            self.segment.store(segment.clone());
            *held = Some(attachment);
        }
    }

    /// No longer counts this process as attached on this account; the segment
    /// can still be read.
    pub fn let_go(&self) {
        *self.attachment.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// What has succeeded `of`, if that is known or can be found. The directory
    /// is looked at every 100 ms at most, whoever asks; nobody waits for
    /// anybody.
    pub fn successor(&self, of: &Arc<Segment>) -> Option<Arc<Segment>> {
        let current = self.get();
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
        let quick = quick(place, current.identity().generation);
        let successor = &match quick {
            Some(successor) => successor,
            None => search(place).ok()?.successor(&current)?.clone(),
        };
        let attachment = successor.hold().ok()?;
        self.replace_held(successor, attachment, &mut *self.attachment.try_lock().ok()?);
        let now = self.get();
        (!Arc::ptr_eq(&now, of)).then_some(now)
    }
}
