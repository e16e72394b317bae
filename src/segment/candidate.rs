//! Taking the ownership over: when, and by which steps.
//!
//! Wrong answers here are harmless: a candidate that takes over too early
//! fences a living owner, which becomes a follower; one that comes too late
//! costs time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::error::SegmentError;
use super::lock::{LockFile, byte_of};
use super::ownership::Ownership;
use super::segment::Segment;
use crate::clock::boottime_ms;
use crate::layout::OwnerWord;
use crate::protocol::{Head, Term, load_owner, retire, take_over};

/// How long another candidate may hold the next term's byte without entering
/// it, by this process's own clock, before it is taken for stopped.
const PATIENCE: Duration = Duration::from_millis(100);
/// How long an owner may be silent beyond three intervals before one that may not
/// look at its lock takes it for gone: it shows a sign of life every second.
const SILENCE_MS: u64 = 2000;
/// How often a look at the owner begins again because there is another one.
const LOOKS: usize = 16;
/// How many bytes of stopped candidates are stepped over at a time.
const STEPS: u16 = 64;

/// How things stand with the owner, or what an attempt came to.
#[derive(Debug)]
pub enum Entry {
    /// This process owns the segment now.
    Owner(Box<Ownership>),
    /// An owner lives: it holds its byte.
    Held,
    /// The owner's byte is free, and nobody has taken over yet.
    Free,
    /// The same, but the owner said that it can't reach the cluster: reach it
    /// first.
    Abdicated,
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
    /// Looks, without taking anything: [`Entry::Held`], [`Entry::Free`],
    /// [`Entry::Abdicated`] or [`Entry::Retired`].
    ///
    /// A process that may not open the lock file goes by the owner's heartbeat.
    ///
    /// # Errors
    /// [`SegmentError::Io`] if the lock file can't be read.
    pub fn look(segment: &Segment) -> Result<Entry, SegmentError> {
        let mut head = segment.head();
        // Each of these looks asks the system. Terms that follow each other faster
        // are not those of owners; that one is at work can't be told, nor denied.
        for _ in 0..LOOKS {
            if head.retired() {
                return Ok(Entry::Retired);
            }
            let Some(lock) = segment.lock() else {
                let alive = segment.has_private_owner();
                return Ok(if alive { Entry::Held } else { Entry::Free });
            };
            if !lock.is_open() {
                return Ok(if shows_life(segment, head) { Entry::Held } else { Entry::Free });
            }
            if held(lock, head)? {
                return Ok(Entry::Held);
            }
            let flags = load_owner(segment.mapping().owner(OwnerWord::Flags), head).unwrap_or(0);
            let abdicated = flags & OwnerWord::ABDICATED != 0;
            // The byte is that of a term: if another one was entered meanwhile,
            // its being free says nothing.
            let now = segment.head_now()?;
            if now.term() == head.term() && !now.retired() {
                return Ok(if abdicated { Entry::Abdicated } else { Entry::Free });
            }
            head = now;
        }
        Ok(Entry::Held)
    }

    /// Tries to take over. `hung`: the owner holds its byte, but has not shown
    /// a sign of life for the threshold.
    ///
    /// # Errors
    /// [`SegmentError`] if the lock file can't be used or the segment not be
    /// mapped for writing.
    pub fn enter(&mut self, segment: &Arc<Segment>, hung: bool) -> Result<Entry, SegmentError> {
        let head = segment.head();
        if head.retired() {
            return Ok(Entry::Retired);
        }
        // Private memory is its maker's alone.
        let Some(lock) = segment.lock() else { return Ok(Entry::Held) };
        // A byte that is free in a file that is no longer at the name says
        // nothing: the owner may hold it in the file that is.
        segment.refresh()?;
        let alive =
            || if lock.is_open() { held(lock, head) } else { Ok(shows_life(segment, head)) };
        if !hung && alive()? {
            return Ok(Entry::Held);
        }
        let Some(term) = self.take_byte(lock, head)? else {
            return no_byte(segment, head);
        };
        let entered = self.exchange(segment, lock, head, term);
        if !matches!(entered, Ok(Entry::Owner(_))) {
            lock.unlock(byte_of(term));
        }
        entered
    }

    /// Takes the byte of the next term, or of a later one if the candidate that
    /// holds the next has not moved for a while.
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
    ) -> Result<Entry, SegmentError> {
        let writer = match segment.open_writer() {
            // Nothing leads to it any more: who holds it is to look for the
            // newest segment, as if it were retired.
            Err(error) if error.is_absent() => return Ok(Entry::Retired),
            other => other?,
        };
        if segment.head() != head {
            return Ok(Entry::Lost);
        }
        if segment.is_gone() {
            // Removed under an owner that is gone: nobody else will retire it,
            // nor find it to remove its lock file.
            let _ = retire(writer.head(), head);
            segment.remove_lost_lock();
            return Ok(Entry::Retired);
        }
        debug_assert!(lock.held(byte_of(term)).unwrap_or(true));
        Ok(match take_over(writer.head(), head, term) {
            Ok(head) => {
                Entry::Owner(Box::new(Ownership::enter(segment.clone(), writer, term, head)))
            }
            Err(_) => Entry::Lost,
        })
    }
}

/// No byte was to be had: somebody is entering, or the terms are used up.
fn no_byte(segment: &Arc<Segment>, head: Head) -> Result<Entry, SegmentError> {
    if head.term() < Term::LAST.get() {
        return Ok(Entry::Busy);
    }
    let writer = segment.open_writer()?;
    // Whether this or another exchange retires it is all the same.
    let _ = retire(writer.head(), head);
    Ok(Entry::Retired)
}

/// Whether an owner lives, by its lock, and shows it.
pub(super) fn is_tended(segment: &Segment) -> bool {
    matches!(Candidate::look(segment), Ok(Entry::Held)) && shows_life(segment, segment.head())
}

/// Whether the owner has shown a sign of life lately and has not given the
/// ownership up, by its own words.
fn shows_life(segment: &Segment, head: Head) -> bool {
    let word = |word| load_owner(segment.mapping().owner(word), head).unwrap_or(0);
    let interval = word(OwnerWord::TendIntervalMs);
    let age = boottime_ms().saturating_sub(word(OwnerWord::TurnedMs));
    word(OwnerWord::Flags) & OwnerWord::RELEASED == 0
        && age <= interval.saturating_mul(3).saturating_add(SILENCE_MS)
}

fn held(lock: &LockFile, head: Head) -> Result<bool, SegmentError> {
    let Some(term) = Term::new(head.term()) else { return Ok(false) };
    lock.held(byte_of(term)).map_err(SegmentError::io("look at the locks of", lock.path()))
}
