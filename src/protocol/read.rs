//! Reading: two loads of the head around the loads of a frame.

use super::head::{Head, Stamp};
use super::word::PAYLOAD_BITS;
use crate::sync::step::{R1, R2, STAMP, UNDER};
use crate::sync::{AtomicU64, Ordering};

/// How often [`read`] tries. A try fails only if a publication completes during
/// it, and publications are at least 50 ms apart.
pub const RETRIES: usize = 64;

/// A read gave up because a publication completed during every try.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a publication completed during every try")]
pub struct ReadRaced;

/// Opens a read: what is loaded next belongs to this stamp's publication if
/// [`validate`] confirms it afterwards.
#[inline(always)]
pub fn begin_read(head: &AtomicU64) -> Stamp {
    // Relaxed: the standard library guarantees loads from read-only pages for
    // this ordering only; the fence below gives the order.
    let stamp = Head::from_bits(head.load(Ordering::Relaxed)).stamp();
    // R1: pairs with P2, the Release head exchange of the publication.
    R1.fence(Ordering::Acquire);
    stamp
}

/// Closes a read: whether no publication completed since [`begin_read`].
#[inline(always)]
pub fn validate(head: &AtomicU64, stamp: Stamp) -> bool {
    // R2: pairs with P1, the Release fence before a frame's first word. A
    // reader that saw a word of a later publication sees a later head.
    R2.fence(Ordering::Acquire);
    STAMP.check(Head::from_bits(head.load(Ordering::Relaxed)).stamp() == stamp)
}

/// A stamp as a reader keeps it between its reads.
///
/// Everything that the reader has loaded since the read that returned the stamp
/// belongs to that publication, as long as [`validate_cached`] confirms it: the
/// reader need not load the head first, only afterwards. The bits are never
/// zero, so memory that was wiped holds no stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachedStamp(u64);

impl CachedStamp {
    /// No stamp: it matches no head.
    pub const NONE: CachedStamp = CachedStamp(0);
    /// Set in every stamp.
    const SET: u64 = 1;
    /// The bits of a head above its stamp. They are shifted out, not masked,
    /// which saves the register for a mask.
    const SHIFT: u32 = u64::BITS - PAYLOAD_BITS;

    /// The stamp of that head.
    #[inline(always)]
    const fn of_head(bits: u64) -> CachedStamp {
        CachedStamp(bits << CachedStamp::SHIFT | CachedStamp::SET)
    }

    /// Encodes a stamp.
    #[inline(always)]
    pub const fn of(stamp: Stamp) -> CachedStamp {
        CachedStamp::of_head(stamp.bits())
    }

    /// Decodes kept bits.
    #[inline(always)]
    pub const fn from_bits(bits: u64) -> CachedStamp {
        CachedStamp(bits)
    }

    /// The kept stamp as bits; zero only for [`NONE`](Self::NONE).
    #[inline(always)]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The stamp; meaningless for [`NONE`](Self::NONE).
    #[inline(always)]
    pub const fn stamp(self) -> Stamp {
        Stamp::from_bits(self.0 >> CachedStamp::SHIFT)
    }
}

/// Closes a read that was opened earlier, by the same thread or in a read that
/// happened before: whether no publication has completed since.
#[inline(always)]
pub fn validate_cached(head: &AtomicU64, seen: CachedStamp) -> bool {
    // R2: as in `validate`. R1 was made by the read that returned the stamp,
    // and precedes all loads that follow that read.
    R2.fence(Ordering::Acquire);
    STAMP.check(CachedStamp::of_head(head.load(Ordering::Relaxed)) == seen)
}

/// How often to try a read of that many words: [`RETRIES`], or less often if
/// that would take a second. Owners leave 50 ms between publications; if every
/// try is disturbed nevertheless, some process keeps storing to the head.
pub fn tries(words: usize) -> usize {
    const WORDS: usize = 1 << 25;
    (WORDS / words.max(1)).clamp(8, RETRIES)
}

/// Runs `load` until all of its loads belong to one publication, at most
/// `tries` times.
///
/// `load` may see a mixture of two publications and must tolerate it; its
/// result is returned only if it did not.
pub fn read<T>(
    head: &AtomicU64,
    tries: usize,
    mut load: impl FnMut(Stamp) -> T,
) -> Result<(Stamp, T), ReadRaced> {
    for _ in 0..tries {
        let stamp = begin_read(head);
        let value = load(stamp);
        if UNDER.check(validate(head, stamp)) {
            return Ok((stamp, value));
        }
    }
    Err(ReadRaced)
}
