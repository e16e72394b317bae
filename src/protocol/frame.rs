//! Publishing: first the words of the frame that is not live, then the head.

use core::ops::{ControlFlow, Range};

use super::draft::Draft;
use super::head::Head;
use super::ownership::retire;
use super::word::{CONTENTION, Term, Word};
use crate::sync::step::{HEAD, OWN, P1, P2, TAG, WORD};
use crate::sync::{AtomicU64, Ordering};

/// Why a publication failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// Another term owns the segment, or it is retired: the caller is no longer
    /// the owner.
    #[error("another term owns the segment, or it is retired")]
    Fenced,
    /// The word at this index of the frame had a newer tag although there was
    /// no takeover, or it kept changing. The segment is now retired; the live
    /// frame is intact.
    #[error("another process wrote word {index} of the frame")]
    Corrupt {
        /// The index of the word in its frame.
        index: usize,
    },
    /// The sequence is exhausted; the segment is now retired.
    #[error("the sequence is exhausted")]
    Exhausted,
}

/// The owner's side: its term, the head as it last stored it, and what it wrote.
///
/// There must be only one publisher per term, in one process.
#[derive(Debug)]
pub struct Publisher {
    term: Term,
    head: Head,
    /// What is to be published, and which words of each frame this publisher
    /// has already written. No older writer can change a word under this
    /// publisher's tag, so such a word need not be loaded again.
    draft: Draft,
}

impl Publisher {
    /// The publisher of a term that was just entered; `head` is the result of entering.
    ///
    /// # Panics
    /// If the head is retired or of another term.
    pub fn new(term: Term, head: Head) -> Publisher {
        assert!(!head.retired(), "nothing is published in a retired segment");
        assert_eq!(head.term(), term.get(), "a publisher starts from its own head");
        Publisher { term, head, draft: Draft::default() }
    }

    /// The publisher's term.
    pub fn term(&self) -> Term {
        self.term
    }

    /// The head as this publisher last stored it.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Stores payloads for the next publication, one per word, starting at the
    /// frame's word `first`; returns whether any of them changed. Words that
    /// are not set again keep their payloads.
    pub fn set(&mut self, first: usize, payloads: &[u64]) -> bool {
        self.draft.set(first, payloads)
    }

    /// The payloads that were set.
    ///
    /// # Panics
    /// If nothing was ever set at or beyond the end of the range.
    pub fn get(&self, words: Range<usize>) -> &[u64] {
        self.draft.get(words)
    }

    /// Forgets what it wrote: the next publication to either frame checks every
    /// word again.
    pub fn forget(&mut self) {
        self.draft.forget();
    }

    /// The frame that the next publication goes to, 0 or 1.
    pub fn next_frame(&self) -> usize {
        self.head.stamp().frame() ^ 1
    }

    /// Writes what was [`set`](Self::set), up to the extent of the publication, to `frame`, which
    /// must be the one of [`next_frame`](Self::next_frame), and makes it the live one.
    ///
    /// # Errors
    /// [`PublishError`]; the live frame is untouched in every case.
    ///
    /// # Panics
    /// If the extent exceeds the frame.
    pub fn publish(
        &mut self,
        head: &AtomicU64,
        frame: &[AtomicU64],
        reach: &[Range<usize>],
    ) -> Result<Head, PublishError> {
        let next = self.write(head, frame, reach)?;
        // P2: Release pairs with R1, so that a reader of this head sees every
        // word above.
        let release = P2.order(Ordering::Release);
        match HEAD.exchange(head, self.head.bits(), next.bits(), release) {
            Ok(_) => {
                self.head = next;
                Ok(next)
            }
            Err(_) => Err(PublishError::Fenced),
        }
    }

    /// The first part of a publication: everything except the exchange of the head. Returns the
    /// new head for that exchange. An owner that dies during a publication leaves behind a prefix
    /// of what this does.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    ///
    /// # Panics
    /// As [`publish`](Self::publish).
    #[doc(hidden)]
    pub fn write(
        &mut self,
        head: &AtomicU64,
        frame: &[AtomicU64],
        reach: &[Range<usize>],
    ) -> Result<Head, PublishError> {
        let Some(next) = self.head.next() else {
            return Err(match retire(head, self.head) {
                Ok(_) => PublishError::Exhausted,
                Err(_) => PublishError::Fenced,
            });
        };
        let (term, number) = (self.term, self.next_frame());

        // P1: pairs with R2. A reader that sees any word stored below sees a
        // head at least as new as it was before this fence, which is past the
        // publication that this frame held.
        P1.fence(Ordering::Release);
        for words in reach {
            let write =
                |index: usize, payload| write(&frame[index], term, Word::new(term, payload));
            if let Err((index, Newer)) = self.draft.write_due(number, words.clone(), write) {
                return Err(match retire(head, self.head) {
                    Ok(_) => PublishError::Corrupt { index },
                    Err(_) => PublishError::Fenced,
                });
            }
        }
        Ok(next)
    }
}

/// The word's tag is newer than the writer's term, or the word keeps changing
/// although only an owner stores to it.
#[derive(Debug, thiserror::Error)]
#[error("a word has a newer tag than the writer's term, or keeps changing")]
struct Newer;

/// Stores `wanted`, a word of `term`, unless the word has a newer term.
fn write(word: &AtomicU64, term: Term, wanted: Word) -> Result<(), Newer> {
    // Relaxed throughout: the fence before the frame and the head exchange
    // after it give the order. The word itself only needs to be exchanged from
    // exactly the value whose tag was checked.
    match attempt(word, word.load(Ordering::Relaxed), term, wanted) {
        ControlFlow::Break(outcome) => outcome,
        ControlFlow::Continue(now) => contended(word, now, term, wanted),
    }
}

/// One attempt to exchange the word from `found`; what it holds now if another
/// process was faster.
#[inline(always)]
fn attempt(
    word: &AtomicU64,
    found: u64,
    term: Term,
    wanted: Word,
) -> ControlFlow<Result<(), Newer>, u64> {
    let old = Word::from_bits(found);
    if !TAG.check(old.tag() <= term.get()) {
        return ControlFlow::Break(Err(Newer));
    }
    // An equal payload under an older tag is not enough: its writer may still
    // wake up.
    if old.payload() == wanted.payload() && OWN.check(old.tag() == term.get()) {
        return ControlFlow::Break(Ok(()));
    }
    match WORD.exchange(word, found, wanted.bits(), Ordering::Relaxed) {
        Ok(_) => ControlFlow::Break(Ok(())),
        Err(now) => ControlFlow::Continue(now),
    }
}

/// Further attempts, as many as honest writers can make necessary.
#[cold]
fn contended(word: &AtomicU64, mut found: u64, term: Term, wanted: Word) -> Result<(), Newer> {
    for _ in 0..CONTENTION {
        match attempt(word, found, term, wanted) {
            ControlFlow::Break(outcome) => return outcome,
            ControlFlow::Continue(now) => found = now,
        }
    }
    Err(Newer)
}
