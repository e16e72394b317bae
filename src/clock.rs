//! Clocks, for ages.

use rustix::time::{ClockId, clock_gettime};

/// Milliseconds since boot, including suspension. For displayed ages: it is the
/// same in all processes and is never set.
pub fn boottime_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "Boottime, which is never set")]
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// Milliseconds of CLOCK_MONOTONIC, the clock of the C client's timestamps: the
/// same in all processes of a host, without suspension.
#[cfg(feature = "c-client")]
pub fn monotonic_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "Monotonic, which is never set")]
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}
