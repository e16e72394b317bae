//! Signals are handled in a command's own time.

use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::failure::Failure;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// SIGINT or SIGTERM: an end.
    Stop,
    /// SIGHUP: to read the configuration anew, or an end where there is none.
    Reload,
}

/// Calls `handle` at each of these signals, from a thread of its own.
///
/// # Errors
/// [`Failure::Failed`] if they can't be caught.
pub fn on_signal(mut handle: impl FnMut(Asked) + Send + 'static) -> Result<(), Failure> {
    let failed = |error| Failure::Failed(format!("can't catch signals: {error}"));
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(failed)?;
    let serve = move || {
        for signal in signals.forever() {
            handle(if signal == SIGHUP { Asked::Reload } else { Asked::Stop });
        }
    };
    thread::Builder::new().name("tendmap-signals".into()).spawn(serve).map_err(failed)?;
    Ok(())
}

/// Calls `stop` at each of them.
///
/// # Errors
/// As [`on_signal`].
pub fn on_stop(mut stop: impl FnMut() + Send + 'static) -> Result<(), Failure> {
    on_signal(move |_| stop())
}
