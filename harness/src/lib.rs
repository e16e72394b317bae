//! What all measurements share: the map that they are made on, the segment that it
//! is published in, work beside other work, and the statistics of what was measured.

#![forbid(unsafe_code)]

pub mod beside;
pub mod fixed;
pub mod sample;
pub mod shape;
