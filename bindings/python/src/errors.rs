//! Errors as exceptions: the classes are Python's (`_errors.py`), the texts
//! those of the Rust library.

use pyo3::exceptions::{PyArithmeticError, PyException, PyTypeError, PyUnicodeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyString;
use tendmap::internals::text::Printable;
use tendmap_bindings::{Failure, Kind, not_utf8, zero_byte};

/// The exception of a failure.
#[cold]
pub fn raise(py: Python<'_>, failure: impl Into<Failure>) -> PyErr {
    let failure = failure.into();
    let class = py
        .import("tendmap._errors")
        .and_then(|module| module.getattr("BY_KIND")?.get_item(failure.kind as i32));
    made(class, failure.text)
}

/// The exception of pickling or copying what belongs to a process.
#[cold]
pub fn not_pickled(py: Python<'_>, class: &str) -> PyErr {
    let text = format!(
        "a tendmap.{class} is neither pickled nor copied: it belongs to its process; pass its \
         arguments, and make another one there (a client that was made before a fork may be \
         used after it)"
    );
    wrong_type(py, text)
}

/// An argument of a type that the call does not take; also a TypeError.
#[cold]
pub fn wrong_type(py: Python<'_>, text: impl Into<String>) -> PyErr {
    named(py, "ArgumentTypeError", text.into())
}

/// An argument of a value that the call does not take; also a ValueError.
#[cold]
pub fn wrong_value(py: Python<'_>, text: impl Into<String>) -> PyErr {
    raise(py, Failure::new(Kind::Argument, text))
}

/// A text that UTF-8 can't encode; also a UnicodeError.
#[cold]
pub fn wrong_text(py: Python<'_>, text: String) -> PyErr {
    named(py, "TextError", text)
}

/// A name of a namespace or a set, which has no zero byte.
pub fn without_zero<'a>(py: Python<'_>, what: &str, name: &'a str) -> PyResult<&'a str> {
    match name.contains('\0') {
        true => Err(raise(py, zero_byte(what))),
        false => Ok(name),
    }
}

/// A number outside of its range; also an OverflowError and a ValueError.
#[cold]
pub fn out_of_range(py: Python<'_>, text: impl Into<String>) -> PyErr {
    named(py, "ArgumentRangeError", text.into())
}

/// A text as UTF-8.
///
/// # Errors
/// TextError, also a UnicodeError, if it has half a surrogate pair. It does not
/// repeat the text, which may be a password.
#[inline]
pub fn utf8<'a>(what: &str, text: &'a Bound<'_, PyString>) -> PyResult<&'a str> {
    text.to_str().map_err(|error| no_text(what, text.py(), error))
}

#[cold]
fn no_text(what: &str, py: Python<'_>, error: PyErr) -> PyErr {
    if !error.is_instance_of::<PyUnicodeError>(py) {
        return error;
    }
    let place = error
        .value(py)
        .getattr("start")
        .map_or_else(|_| String::new(), |start| format!(" at position {start}"));
    let why = format!(
        "it has half a surrogate pair{place}; surrogates come from bytes that were decoded with \
         \"surrogateescape\""
    );
    wrong_text(py, not_utf8(what, why).text)
}

/// The error of a failed conversion by Python (`__index__`, `__float__`), in the words of
/// the caller and with the original exception as its cause. Any other exception of such
/// code belongs to the application and is passed on.
#[cold]
pub fn reworded(py: Python<'_>, error: PyErr, other: impl FnOnce() -> PyErr) -> PyErr {
    let refusal = error.is_instance_of::<PyTypeError>(py)
        || error.is_instance_of::<PyValueError>(py)
        || error.is_instance_of::<PyArithmeticError>(py);
    if !refusal {
        return error;
    }
    let known = py.import("tendmap._errors").and_then(|module| module.getattr("Error"));
    if known.is_ok_and(|known| error.value(py).is_instance(&known).unwrap_or(false)) {
        return error;
    }
    let reworded = other();
    reworded.set_cause(py, Some(error));
    reworded
}

fn named(py: Python<'_>, name: &str, text: String) -> PyErr {
    made(py.import("tendmap._errors").and_then(|module| module.getattr(name)), text)
}

/// Creates every exception, and escapes its text, so that it has no effect on a
/// terminal.
fn made(class: PyResult<Bound<'_, PyAny>>, text: String) -> PyErr {
    let text = Printable(text).to_string();
    match class.and_then(|class| class.call1((&text,))) {
        Ok(exception) => PyErr::from_value(exception),
        Err(_) => PyException::new_err(text),
    }
}
