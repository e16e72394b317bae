//! Sleeping on a word of the segment, and waking the sleepers.
//!
//! Every wait has a timeout: a wake-up that is lost between a waiter's check
//! and its sleep only costs time.

use core::num::NonZeroU32;
use core::sync::atomic::AtomicU64;
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::futex::{Flags, wait_bitset, wake_bitset};
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::layout::futex_half;
use crate::random::rng;

/// The maximum length of a wait if the kernel does not support waiting: then
/// wakes have no effect.
const UNAIDED: Duration = Duration::from_millis(5);

const EVERYBODY: u32 = 1;
const OWNER: u32 = 1 << 31;

/// The target of a wake: 30 personal bits, so that a process can wake its own
/// thread without waking all processes of the host.
#[derive(Clone, Copy, Debug)]
pub struct WakeMask(NonZeroU32);

impl WakeMask {
    /// A random bit; two processes may share one.
    pub fn random() -> WakeMask {
        let bit = 2 << rng().u32(0..30);
        WakeMask(NonZeroU32::new(bit).expect("a bit is set"))
    }

    /// The segment's owner, whichever process that is.
    pub fn owner() -> WakeMask {
        WakeMask(NonZeroU32::new(OWNER).expect("a bit is set"))
    }
}

/// Sleeps until `word` is woken, at most for `timeout`; does not sleep if its
/// low half differs from that of `seen`.
///
/// It may also return without a reason. The result says whether it was woken,
/// which is only a hint.
pub fn wait(word: &AtomicU64, seen: u64, personal: WakeMask, timeout: Duration) -> bool {
    #[expect(clippy::disallowed_methods, reason = "Monotonic, which is never set")]
    let now = clock_gettime(ClockId::Monotonic);
    let now = Duration::new(now.tv_sec as u64, now.tv_nsec as u32);
    let until = now + timeout.min(Duration::from_secs(3600));
    let until =
        Timespec { tv_sec: until.as_secs() as i64, tv_nsec: i64::from(until.subsec_nanos()) };
    let mask = personal.0 | EVERYBODY;
    // Whatever the result (woken, timed out, interrupted, changed before), the
    // caller checks again. The private flag is off: waiters and wakers are in
    // different processes.
    match wait_bitset(futex_half(word), Flags::empty(), seen as u32, Some(&until), mask) {
        Ok(()) => true,
        Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => false,
        // A sandbox forbids the call: pause nevertheless.
        Err(_) => {
            std::thread::sleep(timeout.min(UNAIDED));
            false
        }
    }
}

/// Wakes all sleepers on `word`, or those of one personal bit.
pub fn wake(word: &AtomicU64, only: Option<WakeMask>) {
    let everybody = NonZeroU32::new(EVERYBODY).expect("not zero");
    let mask = only.map_or(everybody, |personal| personal.0);
    // The call works on read-only memory, and can fail only for an invalid
    // address.
    let _ = wake_bitset(futex_half(word), Flags::empty(), i32::MAX as u32, mask);
}
