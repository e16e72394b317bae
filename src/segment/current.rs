//! The segment that a process reads, across successors.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use super::attachment::{AttachGuard, Segment};
use super::directory::{quick, search};
use super::error::SegmentError;
use super::name::Place;
use crate::layout::Lineage;

/// The shortest interval between searches for the successor of a retired segment.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The current segment of a key, shared by a process's routers and its tender.
#[derive(Debug)]
pub struct Current {
    /// Where successors are found; `None` in private mode, which has none.
    place: Option<Place>,
    /// Read without a lock, because a forked child could inherit the lock in
    /// locked state.
    segment: ArcSwap<Segment>,
    /// Makes this process count as attached to it; locked while that changes.
    attachment: Mutex<Option<AttachGuard>>,
    looked: Mutex<Option<Instant>>,
    /// Whether nothing may be routed from it yet.
    barred: AtomicBool,
    /// The process with a thread that checks what may be routed from; `None` =
    /// no check, all segments are allowed.
    guard: Option<Lineage>,
}

impl Current {
    /// Starts with this segment.
    ///
    /// # Errors
    /// [`SegmentError::Io`] if the process can't be marked as attached.
    pub fn new(place: Option<Place>, segment: &Arc<Segment>) -> Result<Current, SegmentError> {
        let attachment = Mutex::new(Some(segment.hold()?));
        let segment = ArcSwap::new(segment.clone());
        let (looked, barred) = (Mutex::new(None), AtomicBool::new(false));
        Ok(Current { place, segment, attachment, looked, barred, guard: None })
    }

    /// Like [`new`](Self::new), but with a thread of this process that checks
    /// whether a segment is of the wanted cluster, and lifts the bar.
    pub fn guarded(self) -> Current {
        Current { guard: Some(Lineage::current()), ..self }
    }

    /// Sets whether routing from it is barred: a map that appears in it may be
    /// of another cluster. Routers check this only if they find no map, or
    /// another one than before.
    pub fn bar(&self, barred: bool) {
        // Relaxed, here and below: if the segment changes as well, its Release
        // and Acquire order them.
        self.barred.store(barred, Ordering::Relaxed);
    }

    /// Whether routing from it is barred. Always `false` in a forked child,
    /// where no thread would lift the bar.
    pub fn is_barred(&self) -> bool {
        self.barred.load(Ordering::Relaxed) && self.guard == Some(Lineage::current())
    }

    /// Whether that is the barred segment.
    pub fn bars(&self, segment: &Arc<Segment>) -> bool {
        self.is_barred() && Arc::ptr_eq(&self.get(), segment)
    }

    /// The current segment.
    pub fn get(&self) -> Arc<Segment> {
        self.segment.load_full()
    }

    /// Makes another segment the current one, if it should be.
    ///
    /// Several threads report what they have found, and one may be late: a segment is replaced by
    /// one of a higher generation, and once it is retired or can no longer be found by any live
    /// one, because after a removal generations start again. Otherwise it is kept, so that a
    /// process never reads older data.
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
        attachment: AttachGuard,
        held: &mut Option<AttachGuard>,
    ) {
        let current = self.get();
        let number = |segment: &Segment| segment.identity().generation;
        let higher = number(segment) > number(&current);
        // A removed segment that this process can only read stays unretired.
        let ended = || current.head().retired() || current.is_gone();
        if higher || (!segment.head().retired() && ended()) {
            // If generations start again, another program may have created it.
            if !higher && self.guard == Some(Lineage::current()) {
                self.bar(true);
            }
            self.segment.store(segment.clone());
            *held = Some(attachment);
        }
    }

    /// Stops counting this process as attached through this object; the segment
    /// can still be read.
    pub fn let_go(&self) {
        *self.attachment.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// The successor of `of`, if it is known or can be found. The directory is
    /// read at most once every 100 ms, however many callers there are; no
    /// caller waits for another.
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
        // An untrusted segment is no successor; the next search may find one.
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
