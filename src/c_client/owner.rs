//! Who owns a segment of the C client, judged from its header and from what is
//! known of the process that it names.
//!
//! A client that is owner never looks whether it still is, rewrites the
//! timestamp, and stores `lock` = 0 at its close. So a living one is waited
//! for. All of this decides only *when* a mirror takes over: two owners at once
//! store the same cluster's state, and the one that finds another pid in the
//! header yields.

use super::header;
use crate::layout::ForeignSegment;

/// How long the C client lets an owner be silent before it takes over, unless
/// configured otherwise (`shm_takeover_threshold_sec`).
pub const THRESHOLD_MS: u64 = 30_000;

/// How far behind a mirror keeps the timestamp. Clients subtract it from a time
/// that they took earlier, without a sign: it must never be in their future.
pub const LAG_MS: u64 = 2_000;

/// The pid that the clients take for a living process: `kill(-1, 0)` succeeds.
pub const ALWAYS: u32 = u32::MAX;

/// The words of the header that show the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerWords {
    /// Whether there is an owner.
    pub lock: u8,
    /// Its pid.
    pub pid: u32,
    /// When it tended last, CLOCK_MONOTONIC in ms.
    pub timestamp: u64,
    /// Whether the segment is complete.
    pub ready: u8,
}

impl OwnerWords {
    /// Loads them; each is of its own moment.
    pub fn load(segment: &ForeignSegment) -> OwnerWords {
        OwnerWords {
            lock: segment.load_u8(header::LOCK),
            pid: segment.load_u32(header::OWNER_PID),
            timestamp: segment.load_u64(header::TIMESTAMP),
            ready: segment.load_u8(header::READY),
        }
    }

    /// Whether they name the process of that pid as the owner.
    pub fn is_of(&self, pid: u32) -> bool {
        self.lock != 0 && self.pid == pid
    }

    /// The time since the timestamp; `None` if that is in the future by more
    /// than a second, as after a restart of the host.
    pub fn age(&self, now: u64) -> Option<u64> {
        (self.timestamp <= now + 1_000).then(|| now.saturating_sub(self.timestamp))
    }
}

/// What is known of the process that the header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// It was seen with the segment mapped, and lives.
    Lives,
    /// It was seen with the segment mapped, and has exited since.
    Exited,
    /// A mirror that held the lock of this key wrote the pid, and that lock is
    /// free now.
    EarlierMirror,
    /// Nothing.
    None,
}

/// Who owns the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// No process: the first that sets `lock` is owner.
    Nobody,
    /// A process that is gone or was silent for too long.
    Gone,
    /// A process that may live.
    Other {
        /// Its pid, as it wrote it.
        pid: u32,
    },
}

/// Judges an owner that is not this mirror.
pub fn judge(words: OwnerWords, now: u64, evidence: Evidence) -> Owner {
    if words.lock == 0 {
        return Owner::Nobody;
    }
    let silent = words.age(now).is_none_or(|age| age > THRESHOLD_MS + LAG_MS);
    match evidence {
        Evidence::Exited | Evidence::EarlierMirror => Owner::Gone,
        Evidence::Lives | Evidence::None if silent => Owner::Gone,
        Evidence::Lives | Evidence::None => Owner::Other { pid: words.pid },
    }
}

/// Takes ownership from what was judged; returns whether that succeeded. It
/// fails if another process was faster.
pub fn take(segment: &ForeignSegment, from: Owner, words: OwnerWords, pid: u32) -> bool {
    let taken = match from {
        Owner::Other { .. } => false,
        // The exchange by which clients become owner, too.
        Owner::Nobody => segment.replace_u8(header::LOCK, 0, 1),
        // Clients that take over compare the pid that they found dead.
        Owner::Gone => segment.replace_u32(header::OWNER_PID, words.pid, pid),
    };
    if taken {
        segment.store_u32(header::OWNER_PID, pid);
    }
    taken
}

/// Whether the header still shows this mirror as the owner.
pub fn is_held(segment: &ForeignSegment, pid: u32) -> bool {
    OwnerWords::load(segment).is_of(pid)
}

/// Gives ownership up, if this mirror still has it: a client takes over at its
/// next look.
pub fn release(segment: &ForeignSegment, pid: u32) {
    if is_held(segment, pid) {
        segment.replace_u8(header::LOCK, 1, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn words(lock: u8, age: u64) -> OwnerWords {
        OwnerWords { lock, pid: 7, timestamp: NOW - age, ready: 1 }
    }

    #[test]
    fn an_unlocked_segment_has_no_owner_whatever_else_it_says() {
        for evidence in [Evidence::Lives, Evidence::Exited, Evidence::None] {
            assert_eq!(judge(words(0, 0), NOW, evidence), Owner::Nobody);
        }
    }

    #[test]
    fn a_living_owner_is_waited_for() {
        for evidence in [Evidence::Lives, Evidence::None] {
            for age in [0, THRESHOLD_MS, THRESHOLD_MS + LAG_MS] {
                assert_eq!(judge(words(1, age), NOW, evidence), Owner::Other { pid: 7 });
            }
        }
    }

    #[test]
    fn an_owner_that_exited_or_was_an_earlier_mirror_is_gone_at_once() {
        for evidence in [Evidence::Exited, Evidence::EarlierMirror] {
            assert_eq!(judge(words(1, 0), NOW, evidence), Owner::Gone);
        }
    }

    #[test]
    fn a_silent_owner_is_gone_after_the_threshold_and_the_lag() {
        for evidence in [Evidence::Lives, Evidence::None] {
            let age = THRESHOLD_MS + LAG_MS + 1;
            assert_eq!(judge(words(1, age), NOW, evidence), Owner::Gone);
        }
    }

    #[test]
    fn a_timestamp_of_the_future_is_of_another_boot() {
        let future = |ahead| OwnerWords { timestamp: NOW + ahead, ..words(1, 0) };
        assert_eq!(judge(future(1_000), NOW, Evidence::None), Owner::Other { pid: 7 });
        assert_eq!(judge(future(1_001), NOW, Evidence::None), Owner::Gone);
    }
}
