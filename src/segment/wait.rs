//! Sleeping on a word of the segment, and waking who sleeps.
//!
//! Every wait has a timeout: a wake-up that is lost between a waiter's look and
//! its sleep costs time, never more.

use core::num::NonZeroU32;
use core::sync::atomic::AtomicU64;
use std::time::Duration;

use rustix::io::Errno;
use rustix::thread::futex::{Flags, wait_bitset, wake_bitset};
use rustix::time::{ClockId, Timespec, clock_gettime};

use crate::layout::futex_half;
use crate::random::rng;

/// How long a wait takes at most where the kernel offers none: nobody is woken.
const UNAIDED: Duration = Duration::from_millis(5);

const EVERYBODY: u32 = 1;
const OWNER: u32 = 1 << 31;

/// Whom a wake is for: 30 personal bits, so that a process can wake its own
/// thread without waking everybody on the host.
#[derive(Clone, Copy, Debug)]
pub struct WakeMask(NonZeroU32);

impl WakeMask {
    /// A bit by chance; two processes may share one.
    pub fn random() -> WakeMask {
        let bit = 2 << rng().u32(0..30);
        WakeMask(NonZeroU32::new(bit).expect("a bit is set"))
    }

    /// The segment's owner, whoever that is.
    pub fn owner() -> WakeMask {
        WakeMask(NonZeroU32::new(OWNER).expect("a bit is set"))
    }
}

/// Sleeps until `word` is woken, at most `timeout`; not at all if its low half
/// is no longer that of `seen`.
///
/// It may also return for no reason. Whether it was woken: a hint only.
pub fn wait(word: &AtomicU64, seen: u64, personal: WakeMask, timeout: Duration) -> bool {
    #[expect(clippy::disallowed_methods, reason = "Monotonic, which is never set")]
    let now = clock_gettime(ClockId::Monotonic);
    let now = Duration::new(now.tv_sec as u64, now.tv_nsec as u32);
    let until = now + timeout.min(Duration::from_secs(3600));
    let until =
        Timespec { tv_sec: until.as_secs() as i64, tv_nsec: i64::from(until.subsec_nanos()) };
    let mask = personal.0 | EVERYBODY;
    // Whatever it returns (woken, timed out, interrupted, changed before), the
    // caller looks again. The private flag is off: waiters and wakers are in
    // different processes.
    match wait_bitset(futex_half(word), Flags::empty(), seen as u32, Some(&until), mask) {
        Ok(()) => true,
        Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => false,
        // A sandbox that forbids the call: there is a pause all the same.
        Err(_) => {
            std::thread::sleep(timeout.min(UNAIDED));
            false
        }
    }
}

/// Wakes everybody who sleeps on `word`, or those of one personal bit.
pub fn wake(word: &AtomicU64, only: Option<WakeMask>) {
    let everybody = NonZeroU32::new(EVERYBODY).expect("not zero");
    let mask = only.map_or(everybody, |personal| personal.0);
    // It works on read-only memory, and can fail only for a bad address.
    let _ = wake_bitset(futex_half(word), Flags::empty(), i32::MAX as u32, mask);
}
