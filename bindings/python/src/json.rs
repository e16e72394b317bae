//! JSON of the Rust library as Python's objects.

use pyo3::prelude::*;
use serde_json::Value;

use crate::ending::Call;

/// The object of a value.
pub fn loads<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    let _call = Call::begin(py);
    py.import("json")?.call_method1("loads", (value.to_string(),))
}
