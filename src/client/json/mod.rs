//! Statuses and events as JSON: one form for the command line and every
//! language.

use std::time::Duration;

#[cfg(feature = "tend")]
mod event;
mod status;

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
