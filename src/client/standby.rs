//! Which followers watch the owner most closely, and how each of them sleeps.
//!
//! Two followers each hold a byte of the lock file. The **standby** sleeps on
//! the event word for a few milliseconds at a time, so it wakes at once when an
//! owner releases, and soon when one dies. The **reserve** sleeps on the
//! owner's death itself, if its pid is available, and checks the standby's
//! byte: it takes over if the standby is killed too, or stopped. All others
//! look four times a second, at randomized times, so that with many of them one
//! looks soon.

use std::time::{Duration, Instant};

use crate::random::rng;
use crate::segment::{
    LockFile, ProcessExit, RESERVE, STANDBY, Segment, SegmentError, WaitOutcome, WakeMask, wait,
};

/// How often a follower looks, on average.
pub(super) const POLL: Duration = Duration::from_millis(250);
/// How often the standby looks.
const STANDBY_POLL: Duration = Duration::from_millis(4);
/// How often the reserve looks.
const RESERVE_POLL: Duration = Duration::from_millis(25);
/// How long the reserve leaves a free ownership to the standby.
const STANDBY_FIRST: Duration = Duration::from_millis(5);
/// How long the others leave a free ownership to the standby and the reserve.
const RESERVE_FIRST: Duration = Duration::from_millis(50);

/// How closely a follower watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rank {
    /// It holds the standby's byte.
    Standby,
    /// It holds the reserve's.
    Reserve,
    /// It holds none.
    Other,
}

/// A follower's rank, and the state that belongs to it.
pub(super) struct Standing {
    rank: Rank,
    /// When it next tries to lock a byte.
    due: Instant,
    /// The term of the owner whose death it waits for, if the owner's pid is
    /// available, while the owner lives.
    death: Option<(u16, Option<ProcessExit>)>,
    /// The owner has died.
    died: bool,
}

impl Standing {
    /// The standing of a new follower.
    pub fn new() -> Standing {
        Standing { rank: Rank::Other, due: Instant::now(), death: None, died: false }
    }

    pub fn rank(&self) -> Rank {
        self.rank
    }

    /// How often it looks, on average.
    pub fn poll(&self) -> Duration {
        match self.rank {
            Rank::Standby => STANDBY_POLL,
            Rank::Reserve => RESERVE_POLL,
            Rank::Other => POLL,
        }
    }

    /// How long to sleep until the next look.
    pub fn pause(&self) -> Duration {
        match self.rank {
            Rank::Other => POLL.mul_f64(0.75 + 0.5 * rng().f64()),
            _ => self.poll(),
        }
    }

    /// How long it leaves a free ownership to the processes that watch more
    /// closely. A follower woken by the owner's death need not wait: it is the
    /// first to know.
    pub fn patience(&self) -> Duration {
        match self.rank {
            _ if self.died => Duration::ZERO,
            Rank::Standby => Duration::ZERO,
            Rank::Reserve => STANDBY_FIRST,
            Rank::Other => RESERVE_FIRST,
        }
    }

    /// Tries to lock a byte, if that is due.
    ///
    /// # Errors
    /// [`SegmentError::Io`] if the lock file can't be used.
    pub fn ask(&mut self, segment: &Segment) -> Result<(), SegmentError> {
        if Instant::now() < self.due { Ok(()) } else { self.ask_now(segment) }
    }

    /// Tries to lock the standby's byte, and otherwise the reserve's.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn ask_now(&mut self, segment: &Segment) -> Result<(), SegmentError> {
        let Some(lock) = segment.lock() else { return Ok(()) };
        segment.refresh()?;
        let take = |byte| {
            let action = SegmentError::io("lock a byte of", lock.path());
            lock.try_lock(byte).map_err(action)
        };
        let rank = match () {
            () if take(STANDBY)? => Rank::Standby,
            () if take(RESERVE)? => Rank::Reserve,
            () => Rank::Other,
        };
        if rank == Rank::Standby && self.rank == Rank::Reserve {
            lock.unlock(RESERVE);
        }
        self.rank = rank;
        let again = if rank == Rank::Reserve { RESERVE_POLL } else { POLL };
        self.due = Instant::now() + again;
        Ok(())
    }

    /// There is a new owner, which has left its follower's byte: try to lock
    /// that soon.
    pub fn hurry(&mut self, not_before: Instant) {
        self.due = not_before;
        (self.death, self.died) = (None, false);
    }

    /// Releases its byte, and does not try to lock one before `until`.
    pub fn leave(&mut self, segment: &Segment, until: Instant) {
        if let Some(lock) = segment.lock() {
            match self.rank {
                Rank::Standby => lock.unlock(STANDBY),
                Rank::Reserve => lock.unlock(RESERVE),
                Rank::Other => {}
            }
        }
        (self.rank, self.due) = (Rank::Other, until);
    }

    /// The owner of that term was seen alive: the reserve waits for its death.
    pub fn watch(&mut self, lock: Option<&LockFile>, term: u16) {
        if self.rank != Rank::Reserve {
            self.death = None;
        } else if self.death.as_ref().is_none_or(|(watched, _)| *watched != term) {
            self.death = Some((term, lock.and_then(|lock| ProcessExit::of(lock, term.into()))));
        }
    }

    /// Sleeps until the event word differs from `seen`, at most that long; a
    /// reserve also wakes when the owner dies.
    pub fn sleep(&mut self, segment: &Segment, seen: u64, personal: WakeMask, pause: Duration) {
        let event = segment.mapping().event();
        match &mut self.death {
            Some((_, death @ Some(_))) => {
                // Relaxed: like the load of `seen`. A later event is found at
                // the next look.
                let same = event.load(crate::sync::Ordering::Relaxed) == seen;
                let waited = death.as_ref().filter(|_| same).map(|death| death.wait(pause));
                if matches!(waited, Some(WaitOutcome::Ended | WaitOutcome::Lost)) {
                    // There is nothing more to wait for.
                    *death = None;
                    self.died = waited == Some(WaitOutcome::Ended);
                }
            }
            _ => drop(wait(event, seen, personal, pause)),
        }
    }
}
