//! The segment that a process reads, across successors.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
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
    attachment: ArcSwap<Attachment>,
    /// When this was made, and how many milliseconds later a successor was last
    /// searched for; 0 = never. (Not a lock, for the same reason.)
    made: Instant,
    looked: AtomicU64,
    /// Whether nothing may be routed from it yet.
    barred: AtomicBool,
    /// The process with a thread that checks what may be routed from; `None` =
    /// no check, all segments are allowed.
    guard: Option<Lineage>,
}

/// Makes one process count as attached to the current segment; locked while that
/// changes. A forked child makes its own.
#[derive(Debug)]
struct Attachment {
    guard: Mutex<Option<AttachGuard>>,
    lineage: Lineage,
}

impl Attachment {
    fn new(guard: Option<AttachGuard>) -> Attachment {
        Attachment { guard: Mutex::new(guard), lineage: Lineage::current() }
    }
}

impl Current {
    /// Starts with this segment.
    ///
    /// # Errors
    /// [`SegmentError::Io`] if the process can't be marked as attached.
    pub fn new(place: Option<Place>, segment: &Arc<Segment>) -> Result<Current, SegmentError> {
        let attachment = ArcSwap::from_pointee(Attachment::new(Some(segment.hold()?)));
        let segment = ArcSwap::new(segment.clone());
        let (made, looked, barred) = (Instant::now(), AtomicU64::new(0), AtomicBool::new(false));
        Ok(Current { place, segment, attachment, made, looked, barred, guard: None })
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
        let own = self.attachment();
        let held = own.guard.lock();
        self.replace_held(segment, attachment, &mut held.unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    /// The attachment of this process.
    fn attachment(&self) -> Arc<Attachment> {
        let found = self.attachment.load_full();
        if found.lineage == Lineage::current() {
            return found;
        }
        let own = Arc::new(Attachment::new(None));
        // Unless another thread is faster.
        self.attachment.compare_and_swap(&found, own);
        match found.guard.try_lock() {
            // It marks the parent. Here it only keeps the memory.
            Ok(mut parents) => *parents = None,
            // A thread that does not exist here was about to change it.
            Err(_) => std::mem::forget(found.clone()),
        }
        self.attachment.load_full()
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
        *self.attachment().guard.lock().unwrap_or_else(PoisonError::into_inner) = None;
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
        if !self.may_look() {
            return None;
        }
        // An untrusted segment is no successor; the next search may find one.
        let quick = quick(place, current.identity().generation);
        let successor = &match quick {
            Some(successor) => successor,
            None => search(place).ok()?.successor(&current)?.clone(),
        };
        let attachment = successor.hold().ok()?;
        let own = self.attachment();
        self.replace_held(successor, attachment, &mut *own.guard.try_lock().ok()?);
        let now = self.get();
        (!Arc::ptr_eq(&now, of)).then_some(now)
    }

    /// Whether this caller is the next one to search for a successor.
    fn may_look(&self) -> bool {
        let now = self.made.elapsed().as_millis() as u64 + 1;
        // Relaxed: no other data depends on it.
        let last = self.looked.load(Ordering::Relaxed);
        (last == 0 || now.saturating_sub(last) >= LOOK_EVERY.as_millis() as u64)
            && self.looked.compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
