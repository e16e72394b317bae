//! How long an owner waits between passes that fail.

use std::time::Duration;

use crate::random::rng;

/// The interval grows to at most this many times its length.
const GROWTH: u32 = 8;
/// A grown interval is at most this long, unless the interval itself is longer.
const LONGEST: Duration = Duration::from_secs(30);

/// The number of consecutive failed passes, and the pause that follows from it:
/// the tend interval after the first, then twice as long each time up to eight
/// intervals or 30 s, whichever is less. A random addition of up to a quarter
/// keeps hosts that lost a cluster together from returning to it together.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Counts a failed pass.
    pub fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Whether the pause has grown. In that case the owner checks once an
    /// interval whether a server answers.
    pub fn is_grown(&self) -> bool {
        self.failures > 1
    }

    /// The time until the next check for an answer, randomized like the pauses.
    pub fn glance(&self, interval: Duration) -> Duration {
        interval.mul_f64(1.0 + rng().f64() / 4.0)
    }

    /// Starts over: a pass succeeded, a server answered, or a process asked for
    /// a pass.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// The time from the start of one pass to the start of the next.
    pub fn pause(&self, interval: Duration) -> Duration {
        if self.failures == 0 {
            return interval;
        }
        let factor = 1_u32.checked_shl(self.failures - 1).unwrap_or(GROWTH).clamp(1, GROWTH);
        let grown = interval.saturating_mul(factor).min(LONGEST.max(interval));
        grown.mul_f64(1.0 + rng().f64() / 4.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn after(failures: u32, interval: Duration) -> Backoff {
        let mut backoff = Backoff::default();
        (0..failures).for_each(|_| backoff.failed());
        assert!(backoff.pause(interval) >= interval);
        backoff
    }

    #[test]
    fn the_pause_doubles_up_to_a_bound_and_a_quarter_at_most_is_added() {
        assert_eq!(after(0, SECOND).pause(SECOND), SECOND);
        for (failures, wanted) in [(1, 1), (2, 2), (3, 4), (4, 8), (5, 8), (33, 8), (70, 8)] {
            let backoff = after(failures, SECOND);
            for _ in 0..100 {
                let pause = backoff.pause(SECOND);
                assert!(pause >= SECOND * wanted, "{failures}: {pause:?}");
                assert!(pause <= SECOND * wanted * 5 / 4, "{failures}: {pause:?}");
            }
        }
    }

    #[test]
    fn a_long_interval_stays_as_it_is_but_for_the_jitter() {
        for (interval, wanted) in [(10, 30), (30, 30), (600, 600)] {
            let pause = after(9, SECOND * interval).pause(SECOND * interval);
            assert!(pause >= SECOND * wanted && pause <= SECOND * wanted * 5 / 4, "{pause:?}");
        }
    }

    #[test]
    fn hosts_do_not_come_back_together() {
        let backoff = after(4, SECOND);
        let pauses: std::collections::BTreeSet<_> =
            (0..100).map(|_| backoff.pause(SECOND)).collect();
        assert!(pauses.len() > 50, "{pauses:?}");
    }

    #[test]
    fn it_begins_again() {
        let mut backoff = after(9, SECOND);
        backoff.reset();
        assert_eq!(backoff.pause(SECOND), SECOND);
    }
}
