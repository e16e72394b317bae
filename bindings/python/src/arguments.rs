//! Numbers, flags, texts and durations as arguments, with errors that name the
//! argument.

use std::time::Instant;

use pyo3::exceptions::PyOverflowError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyString};
use tendmap::client::parse_duration;

use crate::errors::{out_of_range, reworded, utf8, wrong_type, wrong_value};
use crate::keys::kind_of;

/// A whole number that fits `T`, from an int or an object with `__index__`, such as
/// NumPy's integers. A bool or a float is refused: a bool would be a mistake, and a
/// float may have a fraction.
pub fn number<T>(what: &str, found: &Bound<'_, PyAny>, limits: &str) -> PyResult<T>
where
    T: for<'a, 'py> FromPyObject<'a, 'py, Error = PyErr>,
{
    let py = found.py();
    let wrong = || {
        let text = format!("{what} of type {}; wanted a whole number {limits}", kind_of(found));
        wrong_type(py, text)
    };
    if found.is_instance_of::<PyBool>() || found.is_instance_of::<PyFloat>() {
        return Err(wrong());
    }
    found.extract::<T>().map_err(|error| match error.is_instance_of::<PyOverflowError>(py) {
        true => out_of_range(py, format!("{what} is {}; wanted {limits}", written(found))),
        false => reworded(py, error, wrong),
    })
}

/// A number as text. Python refuses to print integers of thousands of digits.
#[cold]
pub fn written(number: &Bound<'_, PyAny>) -> String {
    number.str().map_or_else(|_| "that large".into(), |text| text.to_string())
}

/// True or False, also NumPy's.
pub fn flag(what: &str, found: &Bound<'_, PyAny>) -> PyResult<bool> {
    let py = found.py();
    found.extract::<bool>().map_err(|error| {
        let text = format!("{what} of type {}; wanted True or False", kind_of(found));
        reworded(py, error, || wrong_type(py, text))
    })
}

/// A text.
pub fn text<'a>(what: &str, found: &'a Bound<'_, PyAny>) -> PyResult<&'a str> {
    match found.cast::<PyString>() {
        Ok(text) => utf8(what, text),
        Err(_) => {
            Err(wrong_type(found.py(), format!("{what} of type {}; wanted str", kind_of(found))))
        }
    }
}

/// The end of a timeout that starts now; `None` = never. It is given as all durations
/// are: a number of seconds, "100ms", a timedelta; `None` = for ever.
pub fn deadline(what: &str, found: Option<&Bound<'_, PyAny>>) -> PyResult<Option<Instant>> {
    let Some(found) = found.filter(|found| !found.is_none()) else { return Ok(None) };
    let py = found.py();
    let wanted = "wanted seconds from 0 on, \"100ms\", a timedelta, or None to wait for ever";
    if found.is_instance_of::<PyBool>() {
        return Err(wrong_type(py, format!("{what} of type bool; {wanted}")));
    }
    let any_int = found.is_instance_of::<PyInt>() && found.extract::<i64>().is_err();
    let given = match any_int {
        // More seconds than 64 bits hold; only the sign matters.
        true if found.lt(0)? => "-1e30".into(),
        true => "1e30".into(),
        false => crate::settings::text(what, found)?,
    };
    if given == "inf" && !found.is_instance_of::<PyString>() {
        return Ok(None);
    }
    match parse_duration(&given) {
        // A time beyond the clock's range means for ever.
        Ok(timeout) => Ok(Instant::now().checked_add(timeout)),
        Err(error) if error.too_long => Ok(None),
        Err(_) => {
            let found = found.repr().map_or_else(|_| "that large".into(), |text| text.to_string());
            Err(wrong_value(py, format!("{what} is {found}; {wanted}")))
        }
    }
}

/// A timeout in seconds from now; `None` = for ever.
pub fn seconds(what: &str, found: Option<&Bound<'_, PyAny>>) -> PyResult<Option<f64>> {
    let deadline = deadline(what, found)?;
    Ok(deadline.map(|end| end.saturating_duration_since(Instant::now()).as_secs_f64()))
}
