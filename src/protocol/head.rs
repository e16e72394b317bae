//! The head: the term that owns the segment, and the publication that is live.

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
    /// The largest sequence. At one publication every 50 ms it lasts 200,000
    /// years.
    pub const LAST_SEQUENCE: u64 = SEQUENCE_MASK;

    /// A head that is not retired, of that term and sequence; only the low 47
    /// bits of the sequence are used.
    pub const fn new(term: Term, sequence: u64) -> Head {
        Head((term.get() as u64) << TERM_SHIFT | sequence & SEQUENCE_MASK)
    }

    /// Decodes a head; every pattern is valid.
    pub const fn from_bits(bits: u64) -> Head {
        Head(bits)
    }

    /// The head as bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The number of the owning term; zero only in a corrupt segment.
    pub const fn term(self) -> u16 {
        (self.0 >> TERM_SHIFT) as u16
    }

    /// Whether the segment is retired: no publication will follow in it.
    pub const fn retired(self) -> bool {
        self.0 & RETIRED != 0
    }

    /// The number of the last publication; zero = nothing has been published yet.
    pub const fn sequence(self) -> u64 {
        self.0 & SEQUENCE_MASK
    }

    /// The part that readers compare: everything except the term.
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
/// A takeover does not change the stamp, so it disturbs no reader.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stamp(u64);

impl Stamp {
    /// Decodes a stamp from the low 48 bits.
    pub const fn from_bits(bits: u64) -> Stamp {
        Stamp(bits & PAYLOAD_MASK)
    }

    /// The stamp as bits.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Like [`Head::retired`].
    pub const fn retired(self) -> bool {
        self.0 & RETIRED != 0
    }

    /// Like [`Head::sequence`].
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
