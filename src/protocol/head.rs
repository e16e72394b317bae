//! The head: which term owns the segment and which publication is live.

use core::fmt;

use super::word::{PAYLOAD_MASK, Term};

const SEQUENCE_BITS: u32 = 47;
const SEQUENCE_MASK: u64 = (1 << SEQUENCE_BITS) - 1;
const RETIRED: u64 = 1 << SEQUENCE_BITS;
const TERM_SHIFT: u32 = 48;

/// The head word: `term:16 | retired:1 | sequence:47`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Head(u64);

impl Head {
    /// The largest sequence. At 50 ms a publication it lasts 200,000 years.
    pub const LAST_SEQUENCE: u64 = SEQUENCE_MASK;

    /// A living head of that term and sequence, of which the low 47 bits count.
    pub const fn new(term: Term, sequence: u64) -> Head {
        Head((term.get() as u64) << TERM_SHIFT | sequence & SEQUENCE_MASK)
    }

    /// The head with these bits; every pattern is one.
    pub const fn from_bits(bits: u64) -> Head {
        Head(bits)
    }

    /// Its bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The number of the owning term; zero only in a segment that is corrupt.
    pub const fn term(self) -> u16 {
        (self.0 >> TERM_SHIFT) as u16
    }

    /// Whether no publication will follow in this segment.
    pub const fn retired(self) -> bool {
        self.0 & RETIRED != 0
    }

    /// The number of the last publication; zero = nothing published yet.
    pub const fn sequence(self) -> u64 {
        self.0 & SEQUENCE_MASK
    }

    /// What readers compare: everything but the term.
    pub const fn stamp(self) -> Stamp {
        Stamp(self.0 & PAYLOAD_MASK)
    }

    /// The same publication under another term.
    pub const fn with_term(self, term: Term) -> Head {
        Head((term.get() as u64) << TERM_SHIFT | self.0 & PAYLOAD_MASK)
    }

    /// The head after one more publication; `None` at the last sequence.
    pub const fn next(self) -> Option<Head> {
        if self.sequence() == SEQUENCE_MASK { None } else { Some(Head(self.0 + 1)) }
    }

    /// The same head, retired.
    pub const fn to_retired(self) -> Head {
        Head(self.0 | RETIRED)
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let retired = if self.retired() { ", retired" } else { "" };
        write!(f, "Head(term {}, sequence {}{retired})", self.term(), self.sequence())
    }
}

/// The low 48 bits of a head: retired and sequence.
///
/// A takeover leaves it as it was, so that it disturbs no reader.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stamp(u64);

impl Stamp {
    /// The stamp with these bits, of which the low 48 count.
    pub const fn from_bits(bits: u64) -> Stamp {
        Stamp(bits & PAYLOAD_MASK)
    }

    /// Its bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// As [`Head::retired`].
    pub const fn retired(self) -> bool {
        self.0 & RETIRED != 0
    }

    /// As [`Head::sequence`].
    pub const fn sequence(self) -> u64 {
        self.0 & SEQUENCE_MASK
    }

    /// The frame of that publication, 0 or 1.
    pub const fn frame(self) -> usize {
        (self.0 & 1) as usize
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let retired = if self.retired() { ", retired" } else { "" };
        write!(f, "Stamp(sequence {}{retired})", self.sequence())
    }
}
