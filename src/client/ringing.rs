//! When the descriptors of [`Changes`](super::Changes) are made readable: the rule
//! that no change is lost.
//!
//! The loom crate compiles this very file over its own atomics and locks, and runs
//! it through every schedule of a few threads.
//!
//! # Why no change is lost
//!
//! A handle is *cleared* by a read of its eventfd, *then* the head is loaded
//! (**CLEAR**). The thread loads the head, *then* writes the eventfd, and what it
//! notes as told is what it loaded before (**TOLD**). The kernel orders the read and
//! the write of one eventfd by a lock. Let a handle's owner miss a change: its load
//! of the head returns an older value than the thread's load that saw the change.
//!
//! 1. If the thread's write comes after the read, the eventfd is readable again: the
//!    change is not lost.
//! 2. If it comes before the read, the lock orders the thread's load before the
//!    owner's. Loads of one word that are so ordered do not go back: the owner
//!    can't have missed the change.
//!
//! Bells are rung under a lock, under which handles are also added. A handle that is
//! added after the bells were rung was added after the load for it; its first load
//! of the head is later still, and sees that change. A handle is added, and its
//! thread started, in one hold of the lock (**ADD**), and in one hold the thread
//! finds that there is no handle and ends (**END**, **OVER**): no handle is left
//! without a thread.
//!
//! A close first takes effect, then makes all handles readable (**CLOSE**).

use std::sync::{Arc, PoisonError};

use crate::sync::step::{ADD, CLEAR, CLOSE, END, ENDED, OVER, START, TOLD};
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};

/// A descriptor that is readable from the ring to the clear.
pub trait Ring {
    /// Why it can't be cleared.
    type Error;
    /// Makes it readable.
    fn ring(&self);
    /// Makes it unreadable until it is rung again.
    ///
    /// # Errors
    /// It is not there any more.
    fn clear(&self) -> Result<(), Self::Error>;
}

/// The bells of one reader or client in one process, and what their thread does.
/// Equal values of `T` are one publication; `E` is whether the client has ended.
pub struct Ringing<B, T, E> {
    bells: Mutex<Bells<B, T>>,
    /// Not zero: closed.
    closed: AtomicU64,
    ended: E,
}

struct Bells<B, T> {
    bells: Vec<Arc<B>>,
    /// Whether the thread runs.
    runs: bool,
    /// What was last told.
    told: Option<T>,
}

impl<B: Ring, T: Clone + PartialEq, E: Fn() -> bool> Ringing<B, T, E> {
    /// Without bells.
    pub fn new(ended: E) -> Ringing<B, T, E> {
        let bells = Bells { bells: Vec::new(), runs: false, told: None };
        Ringing { bells: Mutex::new(bells), closed: AtomicU64::new(0), ended }
    }

    fn lock(&self) -> MutexGuard<'_, Bells<B, T>> {
        self.bells.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing will be told any more.
    pub fn is_closed(&self) -> bool {
        // Acquire: pairs with `close`.
        self.closed.load(Ordering::Acquire) != 0 || (self.ended)()
    }

    /// Adds a bell; starts the thread if none runs. False if it is closed.
    ///
    /// # Errors
    /// Those of `start`; nothing is left behind.
    pub fn add<X>(
        &self,
        bell: &Arc<B>,
        look: impl FnOnce() -> T,
        start: impl FnOnce() -> Result<(), X>,
    ) -> Result<bool, X> {
        let mut ringing = self.lock();
        if self.is_closed() {
            return Ok(false);
        }
        if !ringing.runs {
            // Loaded before the caller can look at the map for the first time. If a
            // thread has died, the other bells may have missed a change.
            let alone = ringing.bells.is_empty();
            ringing.told = None;
            START.act(|| ringing.told = alone.then(look));
            start().inspect_err(|_| ringing.told = None)?;
            ringing.runs = true;
        }
        ADD.keep(ringing, || self.lock()).bells.push(bell.clone());
        Ok(true)
    }

    /// Removes a bell; true if it was the last one. Then the thread, once woken, ends.
    pub fn remove(&self, bell: &Arc<B>) -> bool {
        let mut ringing = self.lock();
        if let Some(index) = ringing.bells.iter().position(|known| Arc::ptr_eq(known, bell)) {
            ringing.bells.swap_remove(index);
        }
        ringing.bells.is_empty()
    }

    /// Makes the bell unreadable until the next change, and then looks; `None` if it
    /// is closed.
    ///
    /// # Errors
    /// That of [`Ring::clear`].
    pub fn take<L>(&self, bell: &B, look: impl FnOnce() -> L) -> Result<Option<L>, B::Error> {
        let look = || (!self.is_closed()).then(look);
        let (cleared, seen) = CLEAR.in_order(|| bell.clear(), look);
        cleared.map(|()| seen)
    }

    /// Closes it: all bells become readable, and report that. False if it was closed
    /// before.
    pub fn close(&self) -> bool {
        // Under the lock, which handles are added under: none is missed.
        let ringing = self.lock();
        if self.closed.load(Ordering::Relaxed) != 0 {
            return false;
        }
        CLOSE.in_order(
            // Release: pairs with `is_closed`. A handle that is cleared after the
            // ring finds it closed.
            || self.closed.store(1, Ordering::Release),
            || ringing.bells.iter().for_each(|bell| bell.ring()),
        );
        true
    }

    /// The thread: rings all bells when `look`, after each `sleep`, finds something new.
    /// It ends when there is no bell, when it is closed, or when `look` returns `None`.
    pub fn run(&self, mut look: impl FnMut() -> Option<T>, mut sleep: impl FnMut(&T)) {
        while let Some(seen) = look() {
            if !self.tell(&seen, &mut look) {
                return;
            }
            sleep(&seen);
        }
    }

    /// Rings all bells if there is something new; returns whether to go on.
    fn tell(&self, seen: &T, look: impl FnOnce() -> Option<T>) -> bool {
        let mut ringing = self.lock();
        let closed = self.is_closed();
        let mut rings = ringing.told.as_ref() != Some(seen);
        ENDED.act(|| rings |= closed);
        if rings {
            ringing.bells.iter().for_each(|bell| bell.ring());
            ringing.told = TOLD.keep(Some(seen.clone()), look);
        }
        let goes_on = !closed && !ringing.bells.is_empty();
        if !goes_on {
            // A handle that is added later starts another thread.
            let mut ringing = END.keep(ringing, || self.lock());
            OVER.act(|| ringing.runs = false);
            ringing.told = None;
        }
        goes_on
    }

    /// The thread has died: the next handle starts another one.
    pub fn died(&self) {
        self.lock().runs = false;
    }
}
