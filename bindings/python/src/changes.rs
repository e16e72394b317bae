//! Changes of the map, as a descriptor for event loops.

use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use tendmap_bindings::{Failure, changes_closed};

use crate::ending::Call;
use crate::errors::raise;

/// Changes of the map, as a descriptor that an event loop polls for reading:
/// `Client.changes` and `Reader.changes` make it.
///
/// When `fileno()` is readable, `take()` makes it unreadable again and returns the
/// live sequence. No change is lost; several in short succession may be reported
/// once. Never read from the descriptor and never close it. In asyncio, iterate:
///
///     async for sequence in client.changes():
///         print(client.nodes())
///
/// The iteration may be cancelled at any time, goes on where it was left, and ends
/// when the client is closed. It holds no thread. A forked child makes another one.
#[pyclass(frozen, weakref, module = "tendmap")]
pub struct Changes(Mutex<Option<tendmap::Changes>>);

impl Changes {
    pub fn new(changes: tendmap::Changes) -> Changes {
        Changes(Mutex::new(Some(changes)))
    }

    /// Its lock is held only briefly, together with the interpreter's.
    fn open(&self) -> MutexGuard<'_, Option<tendmap::Changes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask<T>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&tendmap::Changes) -> Result<T, Failure>,
    ) -> PyResult<T> {
        let found = match &*self.open() {
            Some(changes) => f(changes),
            None => Err(changes_closed()),
        };
        found.map_err(|failure| raise(py, failure))
    }
}

#[pymethods]
impl Changes {
    /// The descriptor.
    fn fileno(&self, py: Python<'_>) -> PyResult<RawFd> {
        self.ask(py, |changes| Ok(changes.as_raw_fd()))
    }

    /// Makes the descriptor unreadable until the next change, and returns the live
    /// sequence. It does not wait.
    ///
    /// Raises ClosedError once the client is closed, ForkedError in a forked child.
    fn take(&self, py: Python<'_>) -> PyResult<u64> {
        self.ask(py, |changes| Ok(changes.take()?))
    }

    /// The live publication. The descriptor is not changed.
    #[getter]
    fn sequence(&self, py: Python<'_>) -> PyResult<u64> {
        self.ask(py, |changes| Ok(changes.sequence()))
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.open().is_none()
    }

    /// Closes the descriptor; remove it from loops before. Closing again does
    /// nothing.
    fn close(&self, py: Python<'_>) {
        let changes = self.open().take();
        py.detach(|| drop(changes));
    }

    fn __enter__(this: Py<Changes>) -> Py<Changes> {
        this
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(&self, py: Python<'_>, _args: &Bound<'_, PyTuple>) {
        self.close(py);
    }

    fn __aiter__(this: Bound<'_, Changes>) -> PyResult<Bound<'_, PyAny>> {
        let py = this.py();
        let _call = Call::begin(py);
        py.import("tendmap._asyncio")?.call_method1("Iterator", (this,))
    }

    /// It is never pickled or copied.
    fn __reduce_ex__(&self, py: Python<'_>, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(crate::errors::not_pickled(py, "Changes"))
    }

    fn __repr__(&self) -> String {
        match &*self.open() {
            Some(changes) => format!("<tendmap.Changes, descriptor {}>", changes.as_raw_fd()),
            None => "<tendmap.Changes, closed>".into(),
        }
    }
}
