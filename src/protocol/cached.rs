//! What a reader keeps between its reads, and when it has to read again.
//!
//! Tables change seldom, and a reader that looks up often keeps them: with the
//! stamp of the last publication that they are known to be part of, and with
//! their generation, the tagged word that the owner raises when it changes a
//! record. A lookup costs one look at the head while the stamp is the same. After
//! a publication the generation decides whether the tables must be read again.
//!
//! The reader works in this order:
//!
//! 1. It loads what it looks up from the frame of the kept stamp, then closes the
//!    read with [`Cached::validate`]. If that fails, it goes on with 2.
//! 2. [`Cached::check`] opens a read. After a [`Check::Hit`] it looks up, and
//!    closes the read with [`validate`](super::validate).
//! 3. After [`Check::Stale`] it loads the generation from the frame of the stamp.
//!    [`Cached::admit`] decides what follows.
//! 4. After [`Admit::Reread`] it reads the tables and their generation under one
//!    check of the head ([`read`](super::read)), takes them over, and only then
//!    calls [`Cached::keep`].
//!
//! A reader that moves to another segment, or that needs more of the tables than
//! before, calls [`Cached::forget`].

use super::head::Stamp;
use super::read::{CachedStamp, begin_read, validate, validate_cached};
use super::word::Word;
use crate::sync::AtomicU64;
use crate::sync::step::{GENERATION, MOVED, RETIRED, SAME, TAGGED};

/// Where the bits of a kept stamp are stored. Zero is no stamp, so that the cell
/// may lie in memory that is wiped in a forked child.
pub trait StampCell {
    /// The bits.
    fn get(&self) -> u64;
    /// Stores other bits.
    fn set(&self, bits: u64);
}

/// The stamp and the generation of the tables that a reader keeps.
#[derive(Debug)]
pub struct Cached<C> {
    stamp: C,
    /// Its tag is zero if no tables are kept.
    generation: Word,
}

/// How a read begins, see [`Cached::check`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check {
    /// The head still has the kept stamp, which is this one: the tables are good.
    Hit(Stamp),
    /// The head has this stamp, and it is not the kept one.
    Stale(Stamp),
}

/// What a stale reader has to do, see [`Cached::admit`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admit {
    /// The tables are part of the new publication too.
    Same,
    /// The tables must be read again.
    Reread,
    /// A publication completed meanwhile: begin again.
    Raced,
}

impl<C: StampCell> Cached<C> {
    /// Nothing is kept yet; the stamp will be in that cell.
    pub fn new(stamp: C) -> Cached<C> {
        stamp.set(CachedStamp::NONE.bits());
        Cached { stamp, generation: Word::from_bits(0) }
    }

    #[inline(always)]
    fn stamp(&self) -> CachedStamp {
        CachedStamp::from_bits(self.stamp.get())
    }

    /// Closes a lookup in the frame of the kept stamp: that stamp if no
    /// publication completed since.
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

    /// Decides for a stale reader, which loaded `generation` from the frame of
    /// `stamp`, whether the tables that it keeps are part of that publication.
    ///
    /// The generation is compared as the whole tagged word: only the same owner
    /// gives an equal number an equal meaning. If it is another one, nothing is
    /// kept any more.
    pub fn admit(&mut self, head: &AtomicU64, stamp: Stamp, generation: Word) -> Admit {
        let kept = self.generation;
        let number = kept.payload() == generation.payload();
        let same = number && TAGGED.check(kept.tag() == generation.tag());
        if kept.tag() == 0 || !GENERATION.check(same) {
            // Whatever was loaded: what is kept next is read under a check of
            // its own.
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
    /// by a reader that was [admitted](Self::admit) under `stamp`. The stamp under
    /// which the reader goes on; `None` if it has to begin again, because the
    /// segment was retired meanwhile.
    ///
    /// The read of the tables has opened another read. A reader that began again
    /// after each later publication would read the tables for each: where heads
    /// follow each other without an end, it would never end.
    #[must_use]
    pub fn keep(&mut self, stamp: Stamp, read: Stamp, generation: Word) -> Option<Stamp> {
        self.generation = generation;
        if read.retired() != stamp.retired() {
            return None;
        }
        self.keep_stamp(read);
        Some(read)
    }

    /// Keeps nothing any more: what the next read finds is read in full.
    pub fn forget(&mut self) {
        MOVED.act(|| {
            self.stamp.set(CachedStamp::NONE.bits());
            self.generation = Word::from_bits(0);
        });
    }

    /// A retired head's stamp is never kept, though its tables are: each read
    /// finds it stale, and the reader looks for the segment's successor.
    fn keep_stamp(&mut self, stamp: Stamp) {
        let keep = RETIRED.check(!stamp.retired());
        let kept = if keep { CachedStamp::of(stamp) } else { CachedStamp::NONE };
        self.stamp.set(kept.bits());
    }
}
