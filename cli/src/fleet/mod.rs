//! Worker processes on one key and a simulated cluster, for the demo and the soak
//! test.

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
    /// A worker's number, the time, and its message.
    Worker(usize, Instant, Message),
    /// A worker's output has ended.
    Gone(usize),
    /// The command must stop.
    Stop,
}
