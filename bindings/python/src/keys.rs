//! Keys as Python objects.

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyByteArray, PyBytes, PyFloat, PyInt, PyString};
use tendmap::route::{Digest, Key};
use tendmap_bindings::{key_out_of_range, wrong_key};

use crate::arguments::written;
use crate::errors::{out_of_range, reworded, utf8, wrong_type};

/// The digest of a key in a set.
#[inline(always)]
pub fn digest(set: &str, key: &Bound<'_, PyAny>) -> PyResult<Digest> {
    // The type is known at compile time: this saves a fifth of the time outside of the hash.
    match key.is_exact_instance_of::<PyInt>() {
        true => Ok(Digest::of(set, integer(key)?)),
        false => with_key(key, |key| Digest::of(set, key)),
    }
}

/// Runs `f` with the key as a Rust value: int, str, bytes, bytearray or float.
#[inline]
pub fn with_key<R>(key: &Bound<'_, PyAny>, f: impl FnOnce(Key<'_>) -> R) -> PyResult<R> {
    if key.is_exact_instance_of::<PyInt>() {
        return Ok(f(Key::Integer(integer(key)?)));
    }
    if let Ok(text) = key.cast::<PyString>() {
        return Ok(f(Key::Str(utf8("key", text)?)));
    }
    other(key, f)
}

#[cold]
fn other<R>(key: &Bound<'_, PyAny>, f: impl FnOnce(Key<'_>) -> R) -> PyResult<R> {
    if let Ok(bytes) = key.cast::<PyBytes>() {
        return Ok(f(Key::Bytes(bytes.as_bytes())));
    }
    if let Ok(bytes) = key.cast::<PyByteArray>() {
        return Ok(f(Key::Bytes(&bytes.to_vec())));
    }
    if let Ok(number) = key.cast::<PyFloat>() {
        return Ok(f(Key::Double(number.value())));
    }
    // NumPy's integers and the like; a bool would be a mistake.
    if !key.is_instance_of::<PyBool>() && key.hasattr("__index__")? {
        return Ok(f(Key::Integer(integer(key)?)));
    }
    Err(wrong(key))
}

#[cold]
fn wrong(key: &Bound<'_, PyAny>) -> PyErr {
    let wanted = "int, str, bytes, bytearray or float";
    wrong_type(key.py(), wrong_key(&kind_of(key), wanted).text)
}

#[inline]
fn integer(key: &Bound<'_, PyAny>) -> PyResult<i64> {
    key.extract().map_err(|error| no_integer(key, error))
}

#[cold]
fn no_integer(key: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    if !error.is_instance_of::<PyOverflowError>(key.py()) {
        return reworded(key.py(), error, || wrong(key));
    }
    out_of_range(key.py(), key_out_of_range(&written(key)).text)
}

/// The name of an object's type.
#[cold]
pub fn kind_of(object: &Bound<'_, PyAny>) -> String {
    object.get_type().name().map_or_else(|_| "?".into(), |name| name.to_string())
}
