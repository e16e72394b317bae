//! Worker processes on one key and a simulated cluster, for the demo and the soak
//! test.

pub mod check;
mod gaps;
mod kill_point;
pub mod message;
pub mod stage;
pub mod worker;
pub mod workers;

use std::iter;
use std::time::Instant;

use crossbeam::channel::{Receiver, RecvTimeoutError};
use message::Message;

/// A message to the parent.
pub enum Told {
    /// A worker's number, the time, and its message.
    Worker(usize, Instant, Message),
    /// A worker's output has ended.
    Gone(usize),
    /// The command must stop.
    Stop,
}

/// The messages until that time; [`Told::Stop`] if nothing sends any more.
///
/// One that is there is returned even if the time has passed, but no second one: on a busy
/// processor workers report faster than this process gets its turns, and there would always be
/// another message.
pub fn heard(told: &Receiver<Told>, until: Instant) -> impl Iterator<Item = Told> {
    let mut late = false;
    iter::from_fn(move || {
        if late {
            return None;
        }
        let next = match told.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(next) => next,
            Err(RecvTimeoutError::Timeout) => return None,
            Err(RecvTimeoutError::Disconnected) => Told::Stop,
        };
        late = Instant::now() >= until;
        Some(next)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crossbeam::channel::unbounded;

    use super::*;

    #[test]
    fn h200_workers_that_report_without_a_pause_do_not_hold_their_reader() {
        let (to, told) = unbounded();
        let report = || to.send(Told::Gone(7)).unwrap();
        report();
        for (length, most) in [(Duration::ZERO, 1), (Duration::from_millis(5), 1_000_000)] {
            let until = Instant::now() + length;
            let mut count = 0;
            for _ in heard(&told, until) {
                // Another one is there before this one is read.
                report();
                count += 1;
                assert!(count <= most && Instant::now() < until + Duration::from_secs(60));
            }
            assert!(count > 0);
        }
    }

    #[test]
    fn listening_ends_with_the_last_worker() {
        let (to, told) = unbounded();
        to.send(Told::Gone(7)).unwrap();
        drop(to);
        let mut heard = heard(&told, Instant::now() + Duration::from_secs(3600));
        assert!(matches!(heard.next(), Some(Told::Gone(7))));
        assert!(matches!(heard.next(), Some(Told::Stop)));
    }
}
