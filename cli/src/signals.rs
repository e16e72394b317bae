//! Handles signals in a thread, outside signal handlers.

use std::sync::Arc;
use std::{fs, thread};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use tendmap::internals::explain::explain;

use crate::failure::Failure;

/// Makes a write beyond the limit on the length of files (RLIMIT_FSIZE) an error. By
/// default it ends the process by a signal: one that tends because of the length of its
/// log, and one that writes a file before it can remove a part of it.
pub fn survive_file_limit() {
    // Without it, the signal has its default effect.
    let _ = flag::register(SIGXFSZ, Arc::default());
}

/// The meaning of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// SIGINT or SIGTERM: end the command.
    Stop,
    /// SIGHUP: read the configuration again, or end if there is none.
    Reload,
}

/// Calls `handle` at each of these signals, from a separate thread. A SIGHUP that
/// was ignored at the start of the process, as with `nohup`, stays ignored unless
/// it makes the command read the configuration again.
///
/// # Errors
/// [`Failure::Failed`] if they can't be caught.
pub fn on_signal(
    reloads: bool,
    mut handle: impl FnMut(Asked) + Send + 'static,
) -> Result<(), Failure> {
    let failed = |error| Failure::Failed(format!("can't catch signals: {}", explain(&error)));
    let hangs_up = reloads || !ignores(SIGHUP);
    let caught = [SIGINT, SIGTERM].into_iter().chain(hangs_up.then_some(SIGHUP));
    let mut signals = Signals::new(caught).map_err(failed)?;
    let serve = move || {
        for signal in signals.forever() {
            handle(if signal == SIGHUP { Asked::Reload } else { Asked::Stop });
        }
    };
    let no_thread = |error| {
        let raise = "raise the limit of threads (RLIMIT_NPROC, `ulimit -u`)";
        Failure::Failed(format!("can't start a thread for signals: {error}; {raise}"))
    };
    thread::Builder::new().name("tendmap-signals".into()).spawn(serve).map_err(no_thread)?;
    Ok(())
}

/// Calls `stop` at each signal that ends a command.
///
/// # Errors
/// As [`on_signal`].
pub fn on_stop(mut stop: impl FnMut() + Send + 'static) -> Result<(), Failure> {
    on_signal(false, move |_| stop())
}

/// Whether this process ignores a signal; `false` if that is unknown.
fn ignores(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}
