//! Errors of a node within a window of time: what circuit breakers go by.

use std::time::{Duration, Instant};

/// Counts the errors of one node. Hang one on each node as a router's local
/// state, tell it of every failed command, and leave a node alone while it
/// [`is_open`](Self::is_open): too many errors within the window. With the next
/// window it is tried again.
///
/// ```
/// use std::time::{Duration, Instant};
/// use tendmap::route::ErrorWindow;
///
/// let mut errors = ErrorWindow::new(2, Duration::from_secs(1));
/// let now = Instant::now();
/// errors.failed(now);
/// assert!(!errors.is_open(now));
/// errors.failed(now);
/// assert!(errors.is_open(now));
/// assert!(!errors.is_open(now + Duration::from_secs(1)));
/// ```
#[derive(Clone, Debug)]
pub struct ErrorWindow {
    limit: u32,
    window: Duration,
    begun: Option<Instant>,
    errors: u32,
}

impl ErrorWindow {
    /// A window of that length in which `limit` errors are too many; 0 = there
    /// are never too many. Aerospike clients know the limit as
    /// `max_error_rate`, 100 by default, within `error_rate_window`, one tend
    /// interval by default.
    #[must_use]
    pub fn new(limit: u32, window: Duration) -> ErrorWindow {
        ErrorWindow { limit, window, begun: None, errors: 0 }
    }

    /// A command failed by the node or the way to it: a broken connection or a
    /// timeout, not a record that was not found.
    pub fn failed(&mut self, now: Instant) {
        self.turn(now);
        self.begun.get_or_insert(now);
        self.errors = self.errors.saturating_add(1);
    }

    /// How many errors there were in this window.
    pub fn errors(&mut self, now: Instant) -> u32 {
        self.turn(now);
        self.errors
    }

    /// Whether there were too many errors in this window.
    pub fn is_open(&mut self, now: Instant) -> bool {
        self.limit > 0 && self.errors(now) >= self.limit
    }

    /// A window begins with its first error and ends by itself.
    fn turn(&mut self, now: Instant) {
        if self.begun.is_some_and(|begun| now.saturating_duration_since(begun) >= self.window) {
            self.begun = None;
            self.errors = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_one_window_add_up_and_those_of_two_do_not() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut errors = ErrorWindow::new(3, second);
        for (after, wanted) in [(0, 1), (400, 2), (1000, 1), (1999, 2), (1999, 3), (2000, 1)] {
            let now = start + Duration::from_millis(after);
            errors.failed(now);
            assert_eq!(errors.errors(now), wanted, "after {after} ms");
            assert_eq!(errors.is_open(now), wanted >= 3);
        }
    }

    #[test]
    fn without_a_limit_it_never_opens_and_a_clock_that_stands_still_harms_nothing() {
        let now = Instant::now();
        let mut errors = ErrorWindow::new(0, Duration::ZERO);
        for _ in 0..1000 {
            errors.failed(now);
            assert!(!errors.is_open(now));
        }
    }
}
