//! The fixed words: head, owner block, event.

use std::sync::atomic::{AtomicU32, AtomicU64};

use static_assertions::const_assert;

use super::header::Header;

/// The index of the head word.
pub const HEAD: usize = 256 / 8;
/// The index of the owner block's first word.
pub const OWNER: usize = 384 / 8;
/// The index of the event word.
pub const EVENT: usize = 512 / 8;
/// The index of the first histogram's first word.
pub const TIMES: usize = 640 / 8;
/// The number of words of a histogram: its buckets, their sum, and a spare one.
pub const TIMES_WORDS: usize = 16;
/// The number of buckets of a histogram. The last one has no upper bound.
pub const TIMES_BUCKETS: usize = 14;
/// The number of histograms.
pub const TIMES_KINDS: usize = 2;

// Each part lies on cache lines of its own (128 bytes: lines come in pairs).
const_assert!(size_of::<Header>() <= HEAD * 8);
const_assert!(HEAD + 16 <= OWNER);
const_assert!(OWNER + OwnerWord::COUNT <= EVENT);
const_assert!(EVENT + 16 <= TIMES);
const_assert!(TIMES_BUCKETS < TIMES_WORDS);
const_assert!((TIMES + TIMES_KINDS * TIMES_WORDS) * 8 <= 4096);

/// The words of the owner block. A word is valid only while its tag is the
/// head's term, because a new owner rewrites all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerWord {
    /// Incremented in every iteration of the owner's loop and while a pass waits.
    Heartbeat,
    /// The time of the last heartbeat, CLOCK_BOOTTIME in ms, for display.
    TurnedMs,
    /// The time of the last successful pass, CLOCK_BOOTTIME in ms; 0 = never.
    TendedMs,
    /// The owner's pid in its own pid namespace, for display.
    Pid,
    /// Bit 0: the owner can't reach the cluster and is giving up ownership.
    /// Bit 1: it goes on, but offers the ownership to one that can do better.
    /// Bit 2: it has given it up.
    /// Bits 16 to 47: a hash of the hosts that it was given; 0 = not known.
    Flags,
    /// The number of publications since the segment was created.
    Publications,
    /// The number of takeovers since the segment was created.
    Takeovers,
    /// The number of failed passes.
    TendErrors,
    /// The number of nodes and namespaces that did not fit in the map in the
    /// last pass.
    Refused,
    /// The number of successful passes.
    Tends,
    /// The owner's tend interval in ms, for judging ages.
    TendIntervalMs,
    /// The length of the last pass in microseconds.
    PassUs,
    /// Bytes received from the servers, over all connections.
    BytesIn,
    /// The number of nodes that gave no answer, or an invalid one, in the last
    /// pass.
    Failing,
    /// How often a node did not answer, refused the login or was another node:
    /// at most once per node and pass, including failed passes.
    AskErrors,
    /// How often a node's reply could not be used, counted in the same way.
    BadReplies,
}

const _: () = {
    let mut index = 0;
    while index < OwnerWord::COUNT {
        assert!(OwnerWord::ALL[index] as usize == index, "each word is listed, in order");
        index += 1;
    }
};

impl OwnerWord {
    /// The number of words of the block.
    pub const COUNT: usize = 16;

    /// Every word in use.
    pub const ALL: [OwnerWord; OwnerWord::COUNT] = [
        OwnerWord::Heartbeat,
        OwnerWord::TurnedMs,
        OwnerWord::TendedMs,
        OwnerWord::Pid,
        OwnerWord::Flags,
        OwnerWord::Publications,
        OwnerWord::Takeovers,
        OwnerWord::TendErrors,
        OwnerWord::Refused,
        OwnerWord::Tends,
        OwnerWord::TendIntervalMs,
        OwnerWord::PassUs,
        OwnerWord::BytesIn,
        OwnerWord::Failing,
        OwnerWord::AskErrors,
        OwnerWord::BadReplies,
    ];

    /// In [`Flags`](OwnerWord::Flags): the owner has abdicated.
    pub const ABDICATED: u64 = 1;
    /// In [`Flags`](OwnerWord::Flags): the owner lacks a local resource, and
    /// offers ownership to a process that does not.
    pub const OFFERED: u64 = 2;
    /// In [`Flags`](OwnerWord::Flags): the position of the hash of the hosts.
    pub const HOSTS_SHIFT: u32 = 16;
    /// In [`Flags`](OwnerWord::Flags): the bits of that hash.
    pub const HOSTS: u64 = 0xffff_ffff << OwnerWord::HOSTS_SHIFT;

    /// In [`Flags`](OwnerWord::Flags): the owner has given up ownership; for
    /// processes that may not look at its lock.
    pub const RELEASED: u64 = 4;

    /// The word's index from the segment's start.
    pub const fn index(self) -> usize {
        OWNER + self as usize
    }
}

/// The low half of a word, for the kernel to wait on. It is never loaded or
/// stored through this reference.
pub fn futex_half(word: &AtomicU64) -> &AtomicU32 {
    let half = if cfg!(target_endian = "little") { 0 } else { 1 };
    let base = core::ptr::from_ref(word).cast::<AtomicU32>();
    // SAFETY: both halves of an aligned word are aligned for a half word, lie
    // within it, and live as long as it does, and any bits are a valid
    // AtomicU32.
    unsafe { &*base.add(half) }
}
