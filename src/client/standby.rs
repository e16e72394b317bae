//! Which followers watch the owner most closely, and how each of them sleeps.
//!
//! Two followers hold a byte each of the lock file. The **standby** sleeps on
//! the event word for a few milliseconds at a time, so that it is awake at once
//! when an owner releases, and soon when one dies. The **reserve** sleeps on the
//! owner's death itself, where its pid can be had, and looks after the standby's
//! byte: when the standby is killed too, or is stopped, it is there. All others
//! look four times a second, each at moments of its own, so that of many the
//! next one to look comes soon.

use std::time::{Duration, Instant};

use crate::random::rng;
use crate::segment::{
    LockFile, ProcessExit, RESERVE, STANDBY, Segment, SegmentError, Waited, WakeMask, wait,
};

/// How often a follower looks, on average.
pub(super) const POLL: Duration = Duration::from_millis(250);
/// How often the standby looks.
const STANDBY_POLL: Duration = Duration::from_millis(4);
/// How often the reserve looks.
const RESERVE_POLL: Duration = Duration::from_millis(25);
/// How long the reserve leaves a free ownership to the standby.
const STANDBY_FIRST: Duration = Duration::from_millis(5);
/// How long the others leave it to both.
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

/// A follower's rank, and what goes with it.
pub(super) struct Standing {
    rank: Rank,
    /// When it asks for a byte again.
    due: Instant,
    /// The term of the owner whose death is waited for, if its pid can be had
    /// and as long as it lives.
    death: Option<(u16, Option<ProcessExit>)>,
    /// It has died.
    died: bool,
}

impl Standing {
    /// Of a follower that has just become one.
    pub fn new() -> Standing {
        Standing { rank: Rank::Other, due: Instant::now(), death: None, died: false }
    }

    /// Its rank.
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

    /// How long it leaves a free ownership to those that watch more closely.
    /// Who was woken by the owner's death is the first to know of it.
    pub fn patience(&self) -> Duration {
        match self.rank {
            _ if self.died => Duration::ZERO,
            Rank::Standby => Duration::ZERO,
            Rank::Reserve => STANDBY_FIRST,
            Rank::Other => RESERVE_FIRST,
        }
    }

    /// Asks for a byte if it is time to.
    ///
    /// # Errors
    /// [`SegmentError::Io`] if the lock file can't be used.
    pub fn ask(&mut self, segment: &Segment) -> Result<(), SegmentError> {
        if Instant::now() < self.due { Ok(()) } else { self.ask_now(segment) }
    }

    /// Asks for a byte: the standby's, else the reserve's.
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

    /// Another owner: whoever it was has left a byte.
    pub fn hurry(&mut self, not_before: Instant) {
        self.due = not_before;
        (self.death, self.died) = (None, false);
    }

    /// Gives its byte away, and asks for none before then.
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

    /// Sleeps until the event word is no longer as `seen`, at most that long;
    /// a reserve until the owner dies.
    pub fn sleep(&mut self, segment: &Segment, seen: u64, personal: WakeMask, pause: Duration) {
        let event = segment.mapping().event();
        match &mut self.death {
            Some((_, death @ Some(_))) => {
                // Relaxed: as where `seen` was loaded. What is raised from here
                // on is found at the next look.
                let same = event.load(crate::sync::Ordering::Relaxed) == seen;
                let waited = death.as_ref().filter(|_| same).map(|death| death.wait(pause));
                if matches!(waited, Some(Waited::Ended | Waited::Lost)) {
                    // Nothing more is to be waited for there.
                    *death = None;
                    self.died = waited == Some(Waited::Ended);
                }
            }
            _ => drop(wait(event, seen, personal, pause)),
        }
    }
}
