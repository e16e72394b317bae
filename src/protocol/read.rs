//! Reading: two loads of the head around the loads of a frame.

use super::head::{Head, Stamp};
use crate::sync::step::{R1, R2, STAMP};
use crate::sync::{AtomicU64, Ordering};

/// How often [`read`] tries. A try fails only when a publication completed
/// during it, and publications are at least 50 ms apart.
pub const RETRIES: usize = 64;

/// So many publications completed during a read that it gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disturbed;

/// Opens a read: what is loaded next belongs to this stamp's publication if
/// [`unchanged`] says so afterwards.
#[inline(always)]
pub fn begin(head: &AtomicU64) -> Stamp {
    // Relaxed: the standard library promises loads from read-only pages for
    // this ordering alone; the fence below gives the order.
    let stamp = Head::from_bits(head.load(Ordering::Relaxed)).stamp();
    // R1: pairs with P2, the Release head exchange of the publication.
    R1.fence(Ordering::Acquire);
    stamp
}

/// Closes a read: whether no publication completed since [`begin`].
#[inline(always)]
pub fn unchanged(head: &AtomicU64, stamp: Stamp) -> bool {
    // R2: pairs with P1, the Release fence before a frame's first word: who
    // saw a word of a later publication sees a later head.
    R2.fence(Ordering::Acquire);
    STAMP.check(Head::from_bits(head.load(Ordering::Relaxed)).stamp() == stamp)
}

/// Runs `load` until it fell into one publication, at most [`RETRIES`] times.
///
/// `load` may see a mixture of two publications and must stand it; its result
/// is handed out only when it did not.
pub fn read<T>(
    head: &AtomicU64,
    mut load: impl FnMut(Stamp) -> T,
) -> Result<(Stamp, T), Disturbed> {
    for _ in 0..RETRIES {
        let stamp = begin(head);
        let value = load(stamp);
        if unchanged(head, stamp) {
            return Ok((stamp, value));
        }
    }
    Err(Disturbed)
}
