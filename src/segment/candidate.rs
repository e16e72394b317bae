//! Taking over ownership: when, and in which steps.
//!
//! Wrong decisions here are harmless: a candidate that takes over too early
//! fences a living owner, which becomes a follower; one that is too late only
//! costs time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::attachment::Segment;
use super::error::SegmentError;
use super::lock::{LockFile, byte_of};
use super::ownership::Ownership;
use crate::clock::is_recent;
use crate::layout::OwnerWord;
use crate::protocol::{Head, Term, load_owner, retire, take_over};

/// How long another candidate may hold the next term's byte without entering
/// the term, by this process's own clock, before it is considered stopped.
const PATIENCE: Duration = Duration::from_millis(100);
/// How often a look at the owner is repeated because the owner changed.
const LOOKS: usize = 16;
/// How many bytes of stopped candidates are skipped at a time.
const STEPS: u16 = 64;

/// The state of a segment's ownership, as a look at it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerState {
    /// The owner is alive: it holds its byte.
    Alive,
    /// The owner's byte is free, and no process has taken over yet.
    Vacant,
    /// The owner's byte is free, and the owner had reported that it can't reach
    /// the cluster: check that first.
    Abdicated,
    /// The segment is retired: look for its successor.
    Retired,
}

/// The outcome of an attempt to take over.
#[derive(Debug)]
pub enum TakeoverOutcome {
    /// This process now owns the segment.
    Won(Box<Ownership>),
    /// The owner is alive: it holds its byte.
    OwnerAlive,
    /// Another candidate is about to enter.
    Busy,
    /// Another candidate was faster.
    Lost,
    /// The segment is retired: look for its successor.
    Retired,
}

/// A process that may become owner.
#[derive(Debug, Default)]
pub struct Candidate {
    /// The head at which the next byte was found held, and since when.
    blocked: Option<(Head, Instant)>,
}

impl Candidate {
    /// Looks without locking anything.
    ///
    /// A process that may not open the lock file relies on the owner's heartbeat.
    ///
    /// # Errors
    /// [`SegmentError::Io`] if the lock file can't be read.
    pub fn look(segment: &Segment) -> Result<OwnerState, SegmentError> {
        let mut head = segment.head();
        // Each look makes system calls. Terms that change faster than that are
        // not those of real owners; whether one is alive can't be determined.
        for _ in 0..LOOKS {
            if head.retired() {
                return Ok(OwnerState::Retired);
            }
            let Some(lock) = segment.lock() else {
                let alive = segment.has_private_owner();
                return Ok(if alive { OwnerState::Alive } else { OwnerState::Vacant });
            };
            if !lock.is_open() {
                return Ok(if shows_life(segment, head) {
                    OwnerState::Alive
                } else {
                    OwnerState::Vacant
                });
            }
            if held(lock, head)? {
                return Ok(OwnerState::Alive);
            }
            let flags = load_owner(segment.mapping().owner(OwnerWord::Flags), head).unwrap_or(0);
            let abdicated = flags & OwnerWord::ABDICATED != 0;
            // The byte is that of a term: if another term was entered since, it
            // means nothing that the byte is free.
            let now = segment.head_now()?;
            if now.term() == head.term() && !now.retired() {
                return Ok(if abdicated { OwnerState::Abdicated } else { OwnerState::Vacant });
            }
            head = now;
        }
        Ok(OwnerState::Alive)
    }

    /// Tries to take over. `hung`: the owner holds its byte, but has shown no heartbeat for the
    /// threshold.
    ///
    /// # Errors
    /// [`SegmentError`] if the lock file can't be used or the segment can't be mapped for
    /// writing.
    pub fn enter(
        &mut self,
        segment: &Arc<Segment>,
        hung: bool,
    ) -> Result<TakeoverOutcome, SegmentError> {
        let head = segment.head();
        if head.retired() {
            return Ok(TakeoverOutcome::Retired);
        }
        // Private memory belongs to its creator only.
        let Some(lock) = segment.lock() else { return Ok(TakeoverOutcome::OwnerAlive) };
        // A free byte means nothing if the file is no longer the one at the
        // name: the owner may hold the byte in that one.
        segment.refresh()?;
        let alive =
            || if lock.is_open() { held(lock, head) } else { Ok(shows_life(segment, head)) };
        if !hung && alive()? {
            return Ok(TakeoverOutcome::OwnerAlive);
        }
        let Some(term) = self.take_byte(lock, head)? else {
            return no_byte(segment, head);
        };
        let entered = self.exchange(segment, lock, head, term);
        if !matches!(entered, Ok(TakeoverOutcome::Won(_))) {
            lock.unlock(byte_of(term));
        }
        entered
    }

    /// Locks the byte of the next term, or of a later one if the candidate that
    /// holds the next byte has not moved for a while.
    fn take_byte(&mut self, lock: &LockFile, head: Head) -> Result<Option<Term>, SegmentError> {
        let action = || SegmentError::io("lock a byte of", lock.path());
        let mut steps = 1..=1;
        if let Some((since_head, since)) = self.blocked {
            if since_head == head && since.elapsed() >= PATIENCE {
                steps = 1..=STEPS;
            }
        }
        for by in steps {
            let Some(number) = head.term().checked_add(by) else { break };
            let Some(term) = Term::new(number) else { break };
            if lock.try_lock(byte_of(term)).map_err(action())? {
                self.blocked = None;
                return Ok(Some(term));
            }
        }
        if self.blocked.is_none_or(|(since_head, _)| since_head != head) {
            self.blocked = Some((head, Instant::now()));
        }
        Ok(None)
    }

    fn exchange(
        &self,
        segment: &Arc<Segment>,
        lock: &LockFile,
        head: Head,
        term: Term,
    ) -> Result<TakeoverOutcome, SegmentError> {
        let writer = match segment.open_writer() {
            // The name no longer leads to the segment: its users must look for
            // the newest segment, as if it were retired.
            Err(error) if error.is_absent() => return Ok(TakeoverOutcome::Retired),
            other => other?,
        };
        if segment.head() != head {
            return Ok(TakeoverOutcome::Lost);
        }
        if segment.is_gone() {
            // The segment was removed while its owner was gone: no other
            // process will retire it, or find it to remove its lock file.
            let _ = retire(writer.head(), head);
            segment.remove_lost_lock();
            return Ok(TakeoverOutcome::Retired);
        }
        debug_assert!(lock.held(byte_of(term)).unwrap_or(true));
        Ok(match take_over(writer.head(), head, term) {
            Ok(head) => TakeoverOutcome::Won(Box::new(Ownership::enter(
                segment.clone(),
                writer,
                term,
                head,
            ))),
            Err(_) => TakeoverOutcome::Lost,
        })
    }
}

/// No byte could be locked: another process is entering, or the terms are
/// exhausted.
fn no_byte(segment: &Arc<Segment>, head: Head) -> Result<TakeoverOutcome, SegmentError> {
    if head.term() < Term::LAST.get() {
        return Ok(TakeoverOutcome::Busy);
    }
    let writer = segment.open_writer()?;
    // It does not matter whether this or another exchange retires it.
    let _ = retire(writer.head(), head);
    Ok(TakeoverOutcome::Retired)
}

/// Whether an owner is alive, according to its lock, and shows heartbeats.
pub(super) fn is_tended(segment: &Segment) -> bool {
    matches!(Candidate::look(segment), Ok(OwnerState::Alive)) && shows_life(segment, segment.head())
}

/// Whether the owner's words show a recent heartbeat and ownership that was not
/// given up.
fn shows_life(segment: &Segment, head: Head) -> bool {
    let word = |word| load_owner(segment.mapping().owner(word), head).unwrap_or(0);
    let interval = word(OwnerWord::TendIntervalMs);
    word(OwnerWord::Flags) & OwnerWord::RELEASED == 0
        && is_recent(word(OwnerWord::TurnedMs), interval)
}

fn held(lock: &LockFile, head: Head) -> Result<bool, SegmentError> {
    let Some(term) = Term::new(head.term()) else { return Ok(false) };
    lock.held(byte_of(term)).map_err(SegmentError::io("look at the locks of", lock.path()))
}
