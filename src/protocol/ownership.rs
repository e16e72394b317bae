//! Entering a term, retiring a segment, and the owner's words.

use super::head::Head;
use super::word::{CONTENTION, Term, Word};
use crate::sync::step::{ENTER, EVENT, OWNER_TAG, OWNER_TERM, OWNER_WORD, RETIRE, TAKE};
use crate::sync::{AtomicU64, Ordering, Step};

/// The head was not what the caller had seen: another process was faster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "another process was faster: the head has term {} and sequence {}",
    .found.term(),
    .found.sequence()
)]
pub struct TakeoverLost {
    /// The head that was found.
    pub found: Head,
}

/// An owner word has a newer tag than the writer's term: the writer is fenced, or
/// the word is corrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an owner word has tag {found}; wanted at most the writer's term, {term}")]
pub struct NewerTag {
    /// The tag that was found.
    pub found: u16,
    /// The writer's term.
    pub term: u16,
}

/// Takes over ownership: the head changes from `seen` to the same publication under `term`.
/// Nothing else is needed.
///
/// # Errors
/// [`TakeoverLost`] if the head is no longer `seen`.
///
/// # Panics
/// If `seen` is retired or its term is not older than `term`.
pub fn take_over(head: &AtomicU64, seen: Head, term: Term) -> Result<Head, TakeoverLost> {
    assert!(term.get() > seen.term(), "a term is entered from an older one");
    assert!(!seen.retired(), "a retired segment has no further owner");
    exchange(TAKE, head, seen, seen.with_term(term))
}

/// Retires the segment: no publication will follow, and the live frame remains.
///
/// # Errors
/// [`TakeoverLost`] if the head is no longer `seen`.
pub fn retire(head: &AtomicU64, seen: Head) -> Result<Head, TakeoverLost> {
    exchange(RETIRE, head, seen, seen.to_retired())
}

fn exchange(step: Step, head: &AtomicU64, seen: Head, new: Head) -> Result<Head, TakeoverLost> {
    // Acquire pairs with P2: a caller that continues from `seen` sees its
    // frame. Because the exchange is a read-modify-write, it continues P2's
    // release sequence, so readers of the new head see that frame too.
    step.exchange(head, seen.bits(), new.bits(), ENTER.order(Ordering::Acquire))
        .map(|_| new)
        .map_err(|found| TakeoverLost { found: Head::from_bits(found) })
}

/// Stores an owner word, unless it has a newer term. If other processes keep changing the word,
/// it is left to them.
///
/// # Errors
/// [`NewerTag`] if the word's tag is newer than `term`.
pub fn store_owner(word: &AtomicU64, term: Term, payload: u64) -> Result<(), NewerTag> {
    update_owner(word, term, |_| payload)
}

/// Adds to an owner word, continuing the value of an older term.
///
/// # Errors
/// As [`store_owner`].
pub fn add_owner(word: &AtomicU64, term: Term, by: u64) -> Result<(), NewerTag> {
    update_owner(word, term, |before| before.wrapping_add(by))
}

fn update_owner(word: &AtomicU64, term: Term, new: impl Fn(u64) -> u64) -> Result<(), NewerTag> {
    // Relaxed: owner words are independent, and none is read to draw
    // conclusions about another.
    let mut found = word.load(Ordering::Relaxed);
    for _ in 0..CONTENTION {
        let old = Word::from_bits(found);
        if !OWNER_TAG.check(old.tag() <= term.get()) {
            return Err(NewerTag { found: old.tag(), term: term.get() });
        }
        let wanted = Word::new(term, new(old.payload())).bits();
        match OWNER_WORD.exchange(word, found, wanted, Ordering::Relaxed) {
            Ok(_) => break,
            Err(now) => found = now,
        }
    }
    Ok(())
}

/// Loads an owner word as of `head`; `None` unless the head's term wrote it.
pub fn load_owner(word: &AtomicU64, head: Head) -> Option<u64> {
    // Relaxed: see `update_owner`.
    let word = Word::from_bits(word.load(Ordering::Relaxed));
    (OWNER_TERM.check(word.tag() == head.term()) && word.tag() != 0).then(|| word.payload())
}

/// Increments the event word, so that a waiter that has checked it before does
/// not sleep. Any process may do so: the tag only ever grows, and the payload
/// always changes.
pub fn raise_event(word: &AtomicU64, head: Head) {
    // Relaxed: the futex call that follows orders it against the waiter's
    // check, which the kernel makes under its own lock.
    let mut found = word.load(Ordering::Relaxed);
    // If another process was faster, the word has been incremented: a waiter
    // does not sleep.
    for _ in 0..CONTENTION {
        let old = Word::from_bits(found);
        let term = Term::new(old.tag().max(head.term())).unwrap_or(Term::FIRST);
        let wanted = Word::new(term, old.payload().wrapping_add(1)).bits();
        match EVENT.exchange(word, found, wanted, Ordering::Relaxed) {
            Ok(_) => return,
            Err(now) => found = now,
        }
    }
}
