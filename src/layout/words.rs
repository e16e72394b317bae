//! The fixed words: head, owner block, event.

use std::sync::atomic::{AtomicU32, AtomicU64};

use static_assertions::const_assert;

use super::header::Header;

/// Index of the head word.
pub const HEAD: usize = 256 / 8;
/// Index of the owner block's first word.
pub const OWNER: usize = 384 / 8;
/// Index of the event word.
pub const EVENT: usize = 512 / 8;

// Each part lies on cache lines of its own (128 bytes: lines come in pairs).
const_assert!(size_of::<Header>() <= HEAD * 8);
const_assert!(HEAD + 16 <= OWNER);
const_assert!(OWNER + OwnerWord::COUNT <= EVENT);
const_assert!(EVENT * 8 + 128 <= 4096);

/// The words of the owner block. One counts only while its tag is the head's
/// term, for a new owner rewrites them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnerWord {
    /// Raised at every turn of the owner's loop and while a pass waits.
    Heartbeat,
    /// Time of the last heartbeat, CLOCK_BOOTTIME in ms, for display.
    TurnedMs,
    /// Time of the last successful tend, CLOCK_BOOTTIME in ms; 0 = never.
    TendedMs,
    /// The owner's pid as it sees itself, for display.
    Pid,
    /// Bit 0: the owner can't reach the cluster and is giving up ownership.
    /// Bit 1: it goes on, but offers the ownership to one that can do better.
    /// Bit 2: it has given it up.
    /// Bits 16 to 47: a hash of the hosts that it was given; 0 = not known.
    Flags,
    /// Publications since the segment was made.
    Publications,
    /// Takeovers since the segment was made.
    Takeovers,
    /// Passes that failed.
    TendErrors,
    /// Nodes and namespaces that found no place, at the last pass.
    Refused,
    /// Passes that succeeded.
    Tends,
    /// The owner's tend interval in ms, to judge ages by.
    TendIntervalMs,
    /// How long the last pass took, in microseconds.
    PassUs,
    /// Bytes received from the servers, over all connections.
    BytesIn,
    /// Nodes that did not answer, or not well, at the last pass.
    Failing,
    /// Nodes that did not answer, let nobody in or were another one, at most
    /// once a pass, whether that succeeded or not.
    AskErrors,
    /// Nodes whose replies could not be used, in the same way.
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
    /// How many words the block has.
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

    /// In [`Flags`](OwnerWord::Flags): the owner abdicated.
    pub const ABDICATED: u64 = 1;
    /// In [`Flags`](OwnerWord::Flags): the owner lacks something of its machine,
    /// and offers the ownership to a process that does not.
    pub const OFFERED: u64 = 2;
    /// In [`Flags`](OwnerWord::Flags): where the hash of the hosts begins.
    pub const HOSTS_SHIFT: u32 = 16;
    /// In [`Flags`](OwnerWord::Flags): the bits of that hash.
    pub const HOSTS: u64 = 0xffff_ffff << OwnerWord::HOSTS_SHIFT;

    /// In [`Flags`](OwnerWord::Flags): the owner has given the ownership up, for
    /// those that may not look at its lock.
    pub const RELEASED: u64 = 4;

    /// Its index from the segment's start.
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
    // within it, live as long as it does, and any bits are a valid AtomicU32.
    unsafe { &*base.add(half) }
}
