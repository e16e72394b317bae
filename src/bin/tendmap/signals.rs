//! SIGINT, SIGTERM and SIGHUP end a command in its own time.

use crate::failure::Failure;

/// Calls `stop` at each of these signals, from a thread of its own.
///
/// # Errors
/// [`Failure::Failed`] if they can't be caught.
pub fn on_stop(stop: impl FnMut() + Send + 'static) -> Result<(), Failure> {
    ctrlc::set_handler(stop)
        .map_err(|error| Failure::Failed(format!("can't catch signals: {error}")))
}
