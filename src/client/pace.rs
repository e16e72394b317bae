//! A rate limit for events that other processes cause.

use std::time::{Duration, Instant};

/// Allows a number of events at once, and then one per interval.
#[derive(Debug)]
pub(super) struct Pace {
    most: u32,
    every: Duration,
    left: u32,
    /// The time up to which spent permits have been restored.
    since: Instant,
}

impl Pace {
    /// `most` events at once, and then one per `every`.
    pub fn new(most: u32, every: Duration) -> Pace {
        Pace { most, every, left: most, since: Instant::now() }
    }

    /// Takes a permit; returns how long to wait before using it, which is zero
    /// while permits are left.
    pub fn take(&mut self) -> Duration {
        self.take_at(Instant::now())
    }

    fn take_at(&mut self, now: Instant) -> Duration {
        let elapsed = now.saturating_duration_since(self.since);
        let back = elapsed.as_nanos() / self.every.as_nanos();
        if back >= u128::from(self.most - self.left) {
            (self.left, self.since) = (self.most, now);
        } else {
            self.left += back as u32;
            self.since += self.every * back as u32;
        }
        match self.left.checked_sub(1) {
            Some(left) => {
                self.left = left;
                Duration::ZERO
            }
            None => {
                // This takes the permit that is restored next.
                let wait = (self.since + self.every).saturating_duration_since(now);
                self.since += self.every;
                wait
            }
        }
    }

    /// Takes a permit if one is available without waiting.
    pub fn take_now(&mut self) -> bool {
        let now = Instant::now();
        let (left, since) = (self.left, self.since);
        let free = self.take_at(now).is_zero();
        if !free {
            (self.left, self.since) = (left, since);
        }
        free
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY: Duration = Duration::from_millis(10);

    #[test]
    fn h131_what_comes_too_often_waits_its_turn() {
        let mut pace = Pace::new(3, EVERY);
        let begun = pace.since;
        for _ in 0..3 {
            assert_eq!(pace.take_at(begun), Duration::ZERO);
        }
        // A caller that always waits as long as requested never waits longer
        // than one interval.
        let mut now = begun;
        for _ in 0..100 {
            let wait = pace.take_at(now);
            assert!(wait <= EVERY);
            now += wait;
        }
        assert_eq!(now, begun + EVERY * 100);
        assert_eq!(pace.take_at(now + EVERY), Duration::ZERO);
        // After a rest there are as many permits as at the start, and no more.
        now += Duration::from_secs(3600);
        let at_once = (0..10).filter(|_| pace.take_at(now).is_zero()).count();
        assert_eq!(at_once, 3);
    }

    #[test]
    fn h131_what_is_not_waited_for_takes_nothing() {
        let mut pace = Pace::new(1, Duration::from_secs(3600));
        assert!(pace.take_now());
        for _ in 0..5 {
            assert!(!pace.take_now());
        }
        assert!(pace.take() <= Duration::from_secs(3600));
    }
}
