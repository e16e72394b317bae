//! Terms and tagged words.

use core::fmt;

/// The number of bits of a word that hold its value.
pub const PAYLOAD_BITS: u32 = 48;
/// The largest payload, which is also the mask that extracts it.
pub const PAYLOAD_MASK: u64 = (1 << PAYLOAD_BITS) - 1;

/// How often to retry an exchange of a word that keeps changing. Late owners
/// collide at a word once or twice. If it fails this often, some process keeps
/// storing there and would never be outrun.
pub const CONTENTION: usize = 1000;

/// The number of an ownership within one segment, 1 to 65,535.
///
/// Incremented at each takeover; numbers may be skipped and are never reused.
/// Zero is not a term: it is the tag of a word that was never written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(u16);

impl Term {
    /// The term of a segment's creator.
    pub const FIRST: Term = Term(1);
    /// The last term. After it the segment can only be retired.
    pub const LAST: Term = Term(u16::MAX);

    /// The term of that number; `None` for zero.
    pub const fn new(number: u16) -> Option<Term> {
        if number == 0 { None } else { Some(Term(number)) }
    }

    /// The number of the term, 1 to 65,535.
    pub const fn get(self) -> u16 {
        self.0
    }

    /// The term with a number that is larger by `by`; `None` if it would exceed
    /// [`LAST`](Self::LAST).
    pub const fn after(self, by: u16) -> Option<Term> {
        match self.0.checked_add(by) {
            Some(number) => Some(Term(number)),
            None => None,
        }
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Term({})", self.0)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One mutable word of the segment: `tag:16 | payload:48`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Word(u64);

impl Word {
    /// The word that the owner of `term` writes for `payload`; only the low 48
    /// bits are used.
    pub const fn new(term: Term, payload: u64) -> Word {
        Word((term.0 as u64) << PAYLOAD_BITS | payload & PAYLOAD_MASK)
    }

    /// Decodes a word; every pattern is valid.
    pub const fn from_bits(bits: u64) -> Word {
        Word(bits)
    }

    /// The word as bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The number of the term that wrote it; zero = never written.
    pub const fn tag(self) -> u16 {
        (self.0 >> PAYLOAD_BITS) as u16
    }

    /// The value of the word.
    pub const fn payload(self) -> u64 {
        self.0 & PAYLOAD_MASK
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Word({}|{:#x})", self.tag(), self.payload())
    }
}
