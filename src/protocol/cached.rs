//! What a reader keeps between its reads, and when it has to read again.
//!
//! Tables rarely change, so a reader keeps them, together with the stamp of the
//! last publication that they are known to be part of, and with their
//! generation, the tagged word that the owner increments when it changes a
//! record. A lookup costs one load of the head while the stamp is the same.
//! After a publication the generation decides whether the tables must be read
//! again.
//!
//! The reader works in this order:
//!
//! 1. It loads what it looks up from the frame of the kept stamp, then closes
//!    the read with [`Cached::validate`]. If that fails, it continues with step
//!    2.
//! 2. [`Cached::check`] opens a read. After a [`Check::Hit`] it looks up, and
//!    closes the read with [`validate`](super::validate).
//! 3. After [`Check::Stale`] it loads the generation from the frame of the
//!    stamp. [`Cached::admit`] decides what follows.
//! 4. After [`Admit::Reread`] it reads the tables and their generation under
//!    one check of the head ([`read`](super::read)), takes them over, and only
//!    then calls [`Cached::keep`].
//!
//! A reader that moves to another segment, or that needs more of the tables
//! than before, calls [`Cached::forget`].

use super::head::Stamp;
use super::read::{CachedStamp, begin_read, validate, validate_cached};
use super::word::Word;
use crate::sync::AtomicU64;
use crate::sync::step::{GENERATION, MOVED, RETIRED, SAME, TAGGED};

/// A cell for the bits of a kept stamp. Zero means no stamp, so the cell may be
/// in memory that is wiped in a forked child.
pub trait StampCell {
    /// Loads the bits.
    fn get(&self) -> u64;
    /// Stores the bits.
    fn set(&self, bits: u64);
}

/// The stamp and the generation of the tables that a reader keeps.
#[derive(Debug)]
pub struct Cached<C> {
    stamp: C,
    /// The tag is zero if no tables are kept.
    generation: Word,
}

/// The result of opening a read, see [`Cached::check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The head still has the kept stamp, which is this one: the tables are
    /// valid.
    Hit(Stamp),
    /// The head has this stamp, which is not the kept one.
    Stale(Stamp),
}

/// What a reader with a stale stamp must do, see [`Cached::admit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// The tables are part of the new publication, too.
    Same,
    /// The tables must be read again.
    Reread,
    /// Another publication completed during the read: start again.
    Raced,
}

impl<C: StampCell> Cached<C> {
    /// Keeps nothing yet; the stamp will be stored in that cell.
    pub fn new(stamp: C) -> Cached<C> {
        stamp.set(CachedStamp::NONE.bits());
        Cached { stamp, generation: Word::from_bits(0) }
    }

    /// Keeps what this one keeps, with the stamp in another cell. In a forked
    /// child the stamp is gone from both.
    pub fn copy(&self, stamp: C) -> Cached<C> {
        stamp.set(self.stamp.get());
        Cached { stamp, generation: self.generation }
    }

    #[inline(always)]
    fn stamp(&self) -> CachedStamp {
        CachedStamp::from_bits(self.stamp.get())
    }

    /// Closes a lookup in the frame of the kept stamp; returns the stamp if no
    /// publication has completed since.
    #[inline(always)]
    pub fn validate(&self, head: &AtomicU64) -> Option<Stamp> {
        let kept = self.stamp();
        if validate_cached(head, kept) { Some(kept.stamp()) } else { None }
    }

    /// Opens a read, which [`validate`](super::validate) closes.
    #[inline(always)]
    pub fn check(&self, head: &AtomicU64) -> Check {
        let stamp = begin_read(head);
        if SAME.check(CachedStamp::of(stamp) == self.stamp()) {
            Check::Hit(stamp)
        } else {
            Check::Stale(stamp)
        }
    }

    /// Decides for a reader with a stale stamp, which loaded `generation` from
    /// the frame of `stamp`, whether the tables that it keeps are part of that
    /// publication.
    ///
    /// The generation is compared as the whole tagged word: equal numbers have
    /// the same meaning only if they are of the same owner. If it differs,
    /// nothing is kept any more.
    pub fn admit(&mut self, head: &AtomicU64, stamp: Stamp, generation: Word) -> Admit {
        let kept = self.generation;
        let number = kept.payload() == generation.payload();
        let same = number && TAGGED.check(kept.tag() == generation.tag());
        if kept.tag() == 0 || !GENERATION.check(same) {
            // Whatever was loaded, the tables kept next are read under a check
            // of their own.
            self.forget();
            return Admit::Reread;
        }
        if !validate(head, stamp) {
            return Admit::Raced;
        }
        self.keep_stamp(stamp);
        Admit::Same
    }

    /// Keeps tables of that generation, which were read under the stamp `read`,
    /// for a reader that was [admitted](Self::admit) under `stamp`. Returns the
    /// stamp with which the reader continues, or `None` if it must start again
    /// because the segment has been retired.
    ///
    /// The read of the tables was a read of its own. A reader that started
    /// again after each later publication would read the tables for each of
    /// them, and would never finish if publications never pause.
    #[must_use]
    pub fn keep(&mut self, stamp: Stamp, read: Stamp, generation: Word) -> Option<Stamp> {
        self.generation = generation;
        if read.retired() != stamp.retired() {
            return None;
        }
        self.keep_stamp(read);
        Some(read)
    }

    /// Drops what is kept: the next read reads the tables in full.
    pub fn forget(&mut self) {
        MOVED.act(|| {
            self.stamp.set(CachedStamp::NONE.bits());
            self.generation = Word::from_bits(0);
        });
    }

    /// The stamp of a retired head is never kept, although its tables are: each
    /// read then finds it stale, and the reader looks for the segment's
    /// successor.
    fn keep_stamp(&mut self, stamp: Stamp) {
        let keep = RETIRED.check(!stamp.retired());
        let kept = if keep { CachedStamp::of(stamp) } else { CachedStamp::NONE };
        self.stamp.set(kept.bits());
    }
}
