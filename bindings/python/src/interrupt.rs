//! Waits that a signal can end.

use crossbeam::channel::{Receiver, RecvTimeoutError, bounded};
use std::thread::Builder;
use std::time::Duration;

use pyo3::prelude::*;
use tendmap::internals::layout::Lineage;
use tendmap_bindings::{Failure, Kind};

use crate::errors::raise;

/// How often a waiting thread checks for signals.
pub const LOOK_FOR_SIGNALS: Duration = Duration::from_millis(100);

/// The result of `work`, which runs in a thread of its own. The interpreter's lock is
/// released meanwhile.
///
/// # Errors
/// The exception of a signal's handler (KeyboardInterrupt). The result of the work is
/// then dropped in its own thread.
pub fn interruptible<T: Send + 'static>(
    py: Python<'_>,
    work: impl Fn() -> T + Clone + Send + 'static,
) -> PyResult<T> {
    let process = Lineage::current();
    let mut coming = begin(py, work.clone())?;
    loop {
        let (back, found) = py.detach(move || {
            let found = coming.recv_timeout(LOOK_FOR_SIGNALS);
            (coming, found)
        });
        coming = back;
        match found {
            Ok(made) => return Ok(made),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => {
                let text = "a thread has panicked; please report what it wrote to stderr";
                return Err(raise(py, Failure::new(Kind::Internal, text)));
            }
        }
        if Lineage::current() != process {
            // A handler has forked, and the thread belongs to the parent. A lock
            // in here may be held by it.
            std::mem::forget(coming);
            return interruptible(py, work);
        }
    }
}

fn begin<T: Send + 'static>(
    py: Python<'_>,
    work: impl FnOnce() -> T + Send + 'static,
) -> PyResult<Receiver<T>> {
    // Without capacity: a value that is not received is dropped by that thread,
    // not by this one.
    let (give, coming) = bounded(0);
    let begun = Builder::new().name("tendmap-connect".into()).spawn(move || {
        let _ = give.send(work());
    });
    match begun {
        Ok(_) => Ok(coming),
        Err(error) => {
            let text = format!("can't start a thread: {error}; check the limit of processes");
            Err(raise(py, Failure::new(Kind::Thread, text)))
        }
    }
}
