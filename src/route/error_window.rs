//! The errors of a node within a window of time, as circuit breakers count them.

use std::time::{Duration, Instant};

/// Counts the errors of one node. Keep one per node as a router's local state, report every
/// failed command to it, and do not use a node while it [`is_open`](Self::is_open), that is,
/// while there were too many errors within the window. With the next window the node is tried
/// again.
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

    /// Counts a command that failed because of the node or the network: a
    /// broken connection or a timeout, but not a record that was not found.
    pub fn failed(&mut self, now: Instant) {
        self.turn(now);
        self.begun.get_or_insert(now);
        self.errors = self.errors.saturating_add(1);
    }

    /// The number of errors in this window.
    pub fn errors(&mut self, now: Instant) -> u32 {
        self.turn(now);
        self.errors
    }

    /// Whether there have been too many errors in this window.
    pub fn is_open(&mut self, now: Instant) -> bool {
        self.limit > 0 && self.errors(now) >= self.limit
    }

    /// Ends a window that is over. A window begins with its first error.
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
