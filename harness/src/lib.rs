//! The parts that all measurements share: the map and its segment, work in another
//! thread, and statistics.

#![forbid(unsafe_code)]

pub mod beside;
pub mod fixed;
pub mod sample;
pub mod shape;
