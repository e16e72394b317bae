//! The library's own threads.

use std::io;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

pub(crate) use crate::layout::NativeThread;
#[cfg(feature = "tend")]
use crate::layout::own_descriptors;

/// Signals that a thread raises by what it does: blocked, they would end the
/// process without the handler that the host may have for them.
const OWN: [Signal; 6] = [
    Signal::SIGBUS,
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGSEGV,
    Signal::SIGSYS,
    Signal::SIGTRAP,
];

/// Starts a thread, in a forked child as well, that takes none of the host's signals:
/// handlers run on the host's threads, and signals that those block stay pending for
/// the thread that waits for them.
///
/// # Errors
/// The error of the system call, if no further thread can be started.
pub(crate) fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<NativeThread<T>> {
    let mut blocked = SigSet::all();
    for signal in OWN {
        blocked.remove(signal);
    }
    // A thread inherits the mask of its creator. If the mask cannot be changed,
    // start the thread anyway.
    let before = blocked.thread_swap_mask(SigmaskHow::SIG_BLOCK);
    let thread = NativeThread::spawn(name, work);
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
    thread
}

/// Does work that opens files and sockets by itself, as name lookups in the C
/// library do, where none of them can get a number that the host uses: in a
/// thread with its own descriptor table, if that is possible.
#[cfg(feature = "tend")]
pub(crate) fn apart<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> T + Send + 'static,
) -> io::Result<NativeThread<T>> {
    spawn(name, move || {
        own_descriptors();
        work()
    })
}
