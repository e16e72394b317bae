//! Entering a term, leaving a segment, and the owner's words.

use super::head::Head;
use super::word::{CONTENTION, Term, Word};
use crate::sync::step::{ENTER, EVENT, OWNER_TAG, OWNER_TERM, OWNER_WORD, RETIRE, TAKE};
use crate::sync::{AtomicU64, Ordering, Step};

/// The head was not what the caller had seen: somebody else came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TakeoverLost {
    /// What the head is instead.
    pub found: Head,
}

/// Takes the ownership over: the head goes from `seen` to the same publication
/// under `term`. That is the whole of it.
///
/// # Errors
/// [`TakeoverLost`] if the head moved meanwhile.
///
/// # Panics
/// If `seen` is retired or its term is not older than `term`.
pub fn take_over(head: &AtomicU64, seen: Head, term: Term) -> Result<Head, TakeoverLost> {
    assert!(term.get() > seen.term(), "a term is entered from an older one");
    assert!(!seen.retired(), "a retired segment has no further owner");
    exchange(TAKE, head, seen, seen.with_term(term))
}

/// Retires the segment: no publication will follow, the live frame stays.
///
/// # Errors
/// [`TakeoverLost`] if the head was not `seen`.
pub fn retire(head: &AtomicU64, seen: Head) -> Result<Head, TakeoverLost> {
    exchange(RETIRE, head, seen, seen.to_retired())
}

fn exchange(step: Step, head: &AtomicU64, seen: Head, new: Head) -> Result<Head, TakeoverLost> {
    // Acquire pairs with P2: who continues from `seen` sees its frame. Being a
    // read-modify-write it continues P2's release sequence, so that readers of
    // the new head see that frame too.
    step.exchange(head, seen.bits(), new.bits(), ENTER.order(Ordering::Acquire))
        .map(|_| new)
        .map_err(|found| TakeoverLost { found: Head::from_bits(found) })
}

/// Stores an owner word, unless a newer term has it. One that never stays as it is
/// for a moment is left to whoever stores there.
///
/// # Errors
/// The tag that was found, if it is newer than `term`: the caller is fenced,
/// or the word is corrupt.
pub fn store_owner(word: &AtomicU64, term: Term, payload: u64) -> Result<(), u16> {
    update_owner(word, term, |_| payload)
}

/// Adds to an owner word; what an older term left there is continued.
///
/// # Errors
/// As [`store_owner`].
pub fn add_owner(word: &AtomicU64, term: Term, by: u64) -> Result<(), u16> {
    update_owner(word, term, |before| before.wrapping_add(by))
}

fn update_owner(word: &AtomicU64, term: Term, new: impl Fn(u64) -> u64) -> Result<(), u16> {
    // Relaxed: owner words stand alone, none is read to mean something about
    // another.
    let mut found = word.load(Ordering::Relaxed);
    for _ in 0..CONTENTION {
        let old = Word::from_bits(found);
        if !OWNER_TAG.check(old.tag() <= term.get()) {
            return Err(old.tag());
        }
        let wanted = Word::new(term, new(old.payload())).bits();
        match OWNER_WORD.exchange(word, found, wanted, Ordering::Relaxed) {
            Ok(_) => break,
            Err(now) => found = now,
        }
    }
    Ok(())
}

/// Loads an owner word as of `head`: `None` unless the head's term wrote it.
pub fn load_owner(word: &AtomicU64, head: Head) -> Option<u64> {
    // Relaxed: see `update_owner`.
    let word = Word::from_bits(word.load(Ordering::Relaxed));
    (OWNER_TERM.check(word.tag() == head.term()) && word.tag() != 0).then(|| word.payload())
}

/// Raises the event word by one, so that a waiter that looked before does not
/// sleep. Anyone may: the tag only ever grows, the payload always changes.
pub fn raise_event(word: &AtomicU64, head: Head) {
    // Relaxed: the futex call that follows orders it against the waiter's
    // check, which the kernel makes under its own lock.
    let mut found = word.load(Ordering::Relaxed);
    // Where another one comes first it has been raised: a waiter does not sleep.
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
