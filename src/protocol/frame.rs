//! Publishing: the words of the frame that is not live, then the head.

use core::fmt;
use core::ops::{ControlFlow, Range};

use super::draft::Draft;
use super::head::Head;
use super::ownership::retire;
use super::word::{CONTENTION, Term, Word};
use crate::sync::step::{HEAD, OWN, P1, P2, TAG, WORD};
use crate::sync::{AtomicU64, Ordering};

/// Why a publication did not take place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishError {
    /// Another term owns the segment, or it was retired: stop being owner.
    Fenced,
    /// The word at this index of the frame carried a tag from the future
    /// though nobody had taken over, or did not stay as it was. The segment is retired now; the live
    /// frame is whole.
    Corrupt {
        /// Index of the word in its frame.
        index: usize,
    },
    /// The sequence is used up; the segment is retired now.
    Exhausted,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PublishError::Fenced => f.write_str("another term owns the segment, or it is retired"),
            PublishError::Corrupt { index } => {
                write!(f, "another process wrote word {index} of the frame")
            }
            PublishError::Exhausted => f.write_str("the sequence is exhausted"),
        }
    }
}

/// The owner's side: its term, the head as it left it, and what it wrote.
///
/// There must be one publisher a term, in one process.
#[derive(Debug)]
pub struct Publisher {
    term: Term,
    head: Head,
    /// What is to be published, and which words this publisher has not left so
    /// in each frame. A word under the own tag can't be changed by any older
    /// writer, so what it has left so need not be loaded again.
    draft: Draft,
}

impl Publisher {
    /// The publisher of a term just entered, `head` being what the entry left.
    ///
    /// # Panics
    /// If the head is retired or of another term: nobody publishes there.
    pub fn new(term: Term, head: Head) -> Publisher {
        assert!(!head.retired(), "nothing is published in a retired segment");
        assert_eq!(head.term(), term.get(), "a publisher starts from its own head");
        Publisher { term, head, draft: Draft::default() }
    }

    /// Its term.
    pub fn term(&self) -> Term {
        self.term
    }

    /// The head as this publisher last left it.
    pub fn head(&self) -> Head {
        self.head
    }

    /// Puts payloads into the next publication, one a word from the frame's word
    /// `first` on; whether one of them is another than what was put there
    /// before. What is not put again stays as it is.
    pub fn set(&mut self, first: usize, payloads: &[u64]) -> bool {
        self.draft.set(first, payloads)
    }

    /// The payloads that were put there.
    ///
    /// # Panics
    /// If nothing was ever put there or further on.
    pub fn get(&self, words: Range<usize>) -> &[u64] {
        self.draft.get(words)
    }

    /// Forgets what it wrote: the next publication of either frame looks at
    /// every word again.
    pub fn forget(&mut self) {
        self.draft.forget();
    }

    /// The frame that the next publication goes to, 0 or 1.
    pub fn next_frame(&self) -> usize {
        self.head.stamp().frame() ^ 1
    }

    /// Writes what was [`set`](Self::set), as far as the publication is to
    /// reach, to `frame`, which must be the one of
    /// [`next_frame`](Self::next_frame), and makes it the live one.
    ///
    /// # Errors
    /// [`PublishError`]; the live frame is untouched by all of them.
    ///
    /// # Panics
    /// If it is to reach beyond the frame.
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

    /// The first part of a publication: all of it but the exchange of the head,
    /// which is to go to what this gives. An owner that dies somewhere in a
    /// publication leaves what this does as far as it came.
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

        // P1: pairs with R2. A reader that sees any word stored below sees the
        // head at least as new as it was before this fence, that is past the
        // publication that this frame held.
        P1.fence(Ordering::Release);
        for words in reach {
            let bring =
                |index: usize, payload| write(&frame[index], term, Word::new(term, payload));
            if let Err((index, Newer)) = self.draft.bring(number, words.clone(), bring) {
                return Err(match retire(head, self.head) {
                    Ok(_) => PublishError::Corrupt { index },
                    Err(_) => PublishError::Fenced,
                });
            }
        }
        Ok(next)
    }
}

/// Its tag is newer than the writer's term, or it never stays as it is: nobody
/// but an owner stores there.
struct Newer;

/// Brings one word to `wanted`, a word of `term`, unless a newer term has it.
fn write(word: &AtomicU64, term: Term, wanted: Word) -> Result<(), Newer> {
    // Relaxed throughout: the fence before the frame and the head exchange
    // after it give the order; the word itself only needs to be exchanged from
    // the very value whose tag was looked at.
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
    // The payload under an older tag is not enough: its writer may yet wake.
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
