//! The only place that names atomics. The loom crate puts its own module of
//! this name beside the very files of `protocol`.

pub use core::sync::atomic::{AtomicU64, Ordering, fence};
