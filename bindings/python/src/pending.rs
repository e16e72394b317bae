//! Work in a thread of its own whose end an event loop can wait for.

use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Builder;

use crossbeam::channel::{Receiver, bounded};
use pyo3::prelude::*;
use rustix::event::{EventfdFlags, eventfd};
use tendmap_bindings::{Failure, Kind, Session};

use crate::errors::raise;

type Outcome = Result<Option<Arc<Session>>, Failure>;

/// Work in a thread. The thread is none of Python's, so neither a loop nor the end of
/// the program waits for it.
#[pyclass(frozen, module = "tendmap")]
pub struct _Pending {
    done: Arc<OwnedFd>,
    /// Without capacity: what nobody receives is dropped by that thread.
    coming: Mutex<Option<Receiver<Outcome>>>,
}

impl _Pending {
    pub fn begin(
        py: Python<'_>,
        work: impl FnOnce() -> Outcome + Send + 'static,
    ) -> PyResult<_Pending> {
        let failed = |kind, text| raise(py, Failure::new(kind, text));
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let done = eventfd(0, flags).map_err(|error| {
            let text = format!("can't open an eventfd: {error}; check the limit of open files");
            failed(Kind::Descriptor, text)
        })?;
        let (give, coming) = bounded(0);
        let done = Arc::new(done);
        let tell = done.clone();
        let begun = Builder::new().name("tendmap-connect".into()).spawn(move || {
            let outcome = work();
            // It fails only if there is a value already.
            let _ = rustix::io::write(&tell, &1_u64.to_ne_bytes());
            drop(tell);
            let _ = give.send(outcome);
        });
        match begun {
            Ok(_) => Ok(_Pending { done, coming: Mutex::new(Some(coming)) }),
            Err(error) => {
                let text = format!("can't start a thread: {error}; check the limit of processes");
                Err(failed(Kind::Thread, text))
            }
        }
    }

    /// The result; to be called once `fileno` is readable.
    pub fn result(&self, py: Python<'_>) -> PyResult<Option<Arc<Session>>> {
        let coming = self.coming.lock().unwrap_or_else(PoisonError::into_inner).take();
        let found = py.detach(|| coming.and_then(|coming| coming.recv().ok()));
        let found = found.unwrap_or_else(|| {
            let text = "a thread has panicked; please report what it wrote to stderr";
            Err(Failure::new(Kind::Internal, text))
        });
        found.map_err(|failure| raise(py, failure))
    }
}

#[pymethods]
impl _Pending {
    /// Becomes readable at the end of the work.
    fn fileno(&self) -> RawFd {
        self.done.as_raw_fd()
    }

    /// Drops the result, now or when there is one.
    fn abandon(&self) {
        drop(self.coming.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// The result of work that has none.
    fn end(&self, py: Python<'_>) -> PyResult<()> {
        self.result(py).map(drop)
    }
}
