//! Reading: two loads of the head around the loads of a frame.

use super::head::{Head, Stamp};
use super::word::PAYLOAD_BITS;
use crate::sync::step::{R1, R2, STAMP, UNDER};
use crate::sync::{AtomicU64, Ordering};

/// How often [`read`] tries. A try fails only when a publication completed
/// during it, and publications are at least 50 ms apart.
pub const RETRIES: usize = 64;

/// So many publications completed during a read that it gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadRaced;

/// Opens a read: what is loaded next belongs to this stamp's publication if
/// [`validate`] says so afterwards.
#[inline(always)]
pub fn begin_read(head: &AtomicU64) -> Stamp {
    // Relaxed: the standard library promises loads from read-only pages for
    // this ordering alone; the fence below gives the order.
    let stamp = Head::from_bits(head.load(Ordering::Relaxed)).stamp();
    // R1: pairs with P2, the Release head exchange of the publication.
    R1.fence(Ordering::Acquire);
    stamp
}

/// Closes a read: whether no publication completed since [`begin_read`].
#[inline(always)]
pub fn validate(head: &AtomicU64, stamp: Stamp) -> bool {
    // R2: pairs with P1, the Release fence before a frame's first word: who
    // saw a word of a later publication sees a later head.
    R2.fence(Ordering::Acquire);
    STAMP.check(Head::from_bits(head.load(Ordering::Relaxed)).stamp() == stamp)
}

/// A stamp as a reader keeps it between its reads.
///
/// All that it has loaded since the read that it got the stamp from belongs to
/// that publication, as long as [`validate_cached`] says so: it need not look at
/// the head before it loads, only after. Its bits are never zero, so that memory
/// that was wiped holds no stamp.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachedStamp(u64);

impl CachedStamp {
    /// No stamp: it validates against no head.
    pub const NONE: CachedStamp = CachedStamp(0);
    /// Set with every stamp.
    const SET: u64 = 1;
    /// Bits of a head above its stamp: shifted out, not masked, which takes no
    /// register for a mask.
    const SHIFT: u32 = u64::BITS - PAYLOAD_BITS;

    /// The stamp of that head.
    #[inline(always)]
    const fn of_head(bits: u64) -> CachedStamp {
        CachedStamp(bits << CachedStamp::SHIFT | CachedStamp::SET)
    }

    /// That stamp.
    #[inline(always)]
    pub const fn of(stamp: Stamp) -> CachedStamp {
        CachedStamp::of_head(stamp.bits())
    }

    /// What was kept as these bits.
    #[inline(always)]
    pub const fn from_bits(bits: u64) -> CachedStamp {
        CachedStamp(bits)
    }

    /// Its bits; zero only of [`NONE`](Self::NONE).
    #[inline(always)]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The stamp; one that means nothing of [`NONE`](Self::NONE).
    #[inline(always)]
    pub const fn stamp(self) -> Stamp {
        Stamp::from_bits(self.0 >> CachedStamp::SHIFT)
    }
}

/// Closes a read that was opened earlier, by the same thread or by one whose
/// reads came before: whether no publication completed since.
#[inline(always)]
pub fn validate_cached(head: &AtomicU64, seen: CachedStamp) -> bool {
    // R2: as in `validate`. R1 was made by the read that the stamp is from,
    // and stands before all loads that follow it.
    R2.fence(Ordering::Acquire);
    STAMP.check(CachedStamp::of_head(head.load(Ordering::Relaxed)) == seen)
}

/// How often to try a read of so many words: [`RETRIES`], or less often where that
/// would take a second. Owners leave 50 ms between publications; where every try
/// is disturbed all the same, somebody stores the head without an end.
pub fn tries(words: usize) -> usize {
    const WORDS: usize = 1 << 25;
    (WORDS / words.max(1)).clamp(8, RETRIES)
}

/// Runs `load` until it fell into one publication, at most `tries` times.
///
/// `load` may see a mixture of two publications and must stand it; its result
/// is handed out only when it did not.
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
