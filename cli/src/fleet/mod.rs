//! Worker processes on one key beside a simulated cluster: what the demo
//! and the soak run.

pub mod check;
mod gaps;
mod kill_point;
pub mod message;
pub mod stage;
pub mod worker;
pub mod workers;

use std::time::Instant;

use message::Message;

/// A message to the parent.
pub enum Told {
    /// By a worker, when.
    Worker(usize, Instant, Message),
    /// A worker's output has ended.
    Gone(usize),
    /// To stop.
    Stop,
}
