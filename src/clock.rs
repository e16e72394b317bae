//! Clocks, for ages.

use rustix::time::{ClockId, clock_gettime};

use crate::descriptor;
use crate::layout::ForkLocal;

/// How far this process's time namespace is ahead of the host, in milliseconds.
/// (A child may be in another one than its parent.)
static AHEAD: ForkLocal<i64> = ForkLocal::new();

/// Milliseconds since boot, including suspension. For displayed ages: it is never
/// set, and the same in all processes of the host, also in other time namespaces.
pub fn boottime_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "Boottime, which is never set")]
    let now = clock_gettime(ClockId::Boottime);
    let now = now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000;
    now.saturating_add_signed(AHEAD.get_or_init(ahead).saturating_neg())
}

/// The time from `at` to `now`, in milliseconds of [`boottime_ms`]. `None` if `at` is 0,
/// which means never, or is in the future by more than a second: then it is of an earlier
/// boot of the host.
pub fn age_ms(at: u64, now: u64) -> Option<u64> {
    (at > 0 && at <= now.saturating_add(1_000)).then(|| now.saturating_sub(at))
}

/// How long a heartbeat or a pass may be late beyond three intervals before its process is
/// considered gone. Heartbeats come at least once a second.
const SILENCE_MS: u64 = 2_000;

/// Whether something that recurs at that interval, in milliseconds, has happened lately: at
/// `at`, a time of [`boottime_ms`].
pub fn is_recent(at: u64, interval: u64) -> bool {
    let limit = interval.saturating_mul(3).saturating_add(SILENCE_MS);
    age_ms(at, boottime_ms()).is_some_and(|age| age <= limit)
}

/// What the kernel adds to the clock for this process: 0 if it has no time
/// namespace of its own, or can't find out.
fn ahead() -> i64 {
    let namespace = |name: &str| std::fs::read_link(format!("/proc/self/ns/{name}")).ok();
    // The file shows the offsets of future children.
    match (namespace("time"), namespace("time_for_children")) {
        (Some(own), Some(of_children)) if own == of_children => {
            offset(&descriptor::read("/proc/self/timens_offsets".as_ref()).unwrap_or_default())
        }
        _ => 0,
    }
}

/// The offset of `boottime` in milliseconds: a line has the clock's name, seconds
/// and nanoseconds.
fn offset(text: &[u8]) -> i64 {
    let text = String::from_utf8_lossy(text);
    let found = text.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        words.next().filter(|&clock| clock == "boottime")?;
        let seconds: i64 = words.next()?.parse().ok()?;
        let nanoseconds: i64 = words.next()?.parse().ok()?;
        seconds.checked_mul(1000)?.checked_add(nanoseconds / 1_000_000)
    });
    found.unwrap_or(0)
}

/// Milliseconds of CLOCK_MONOTONIC, the clock of the C client's timestamps: without
/// suspension, and the same in all processes of a time namespace.
#[cfg(feature = "c-client")]
pub fn monotonic_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "Monotonic, which is never set")]
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_is_read_and_anything_else_is_none() {
        let of = |text: &str| offset(text.as_bytes());
        assert_eq!(
            of("monotonic           5         0\nboottime      100000  7000000\n"),
            100_000_007
        );
        assert_eq!(
            of("monotonic           5         0\nboottime      -40000         0\n"),
            -40_000_000
        );
        for text in
            ["", "boottime", "boottime x 0", "boottime 9223372036854775807 0", "monotonic 5 0"]
        {
            assert_eq!(of(text), 0, "{text}");
        }
    }
}
