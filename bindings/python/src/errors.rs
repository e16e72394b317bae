//! Errors as exceptions: the classes are Python's (`_errors.py`), the texts
//! those of the Rust library.

use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use tendmap_bindings::{Failure, Kind};

/// The exception of a failure.
#[cold]
pub fn raise(py: Python<'_>, failure: impl Into<Failure>) -> PyErr {
    let failure = failure.into();
    let made = py
        .import("tendmap._errors")
        .and_then(|module| module.getattr("BY_KIND")?.get_item(failure.kind as i32))
        .and_then(|class| class.call1((&failure.text,)));
    match made {
        Ok(exception) => PyErr::from_value(exception),
        Err(_) => PyException::new_err(failure.text),
    }
}

/// What a closed client answers.
#[cold]
pub fn closed(py: Python<'_>) -> PyErr {
    raise(py, Failure::new(Kind::Closed, "the client is closed"))
}
