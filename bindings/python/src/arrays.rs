//! NumPy's arrays of keys, and the arrays of results.

use numpy::{
    Element, PyArray1, PyArrayDescrMethods, PyArrayMethods, PyUntypedArray, PyUntypedArrayMethods,
    dtype,
};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyType};
use pyo3::{IntoPyObjectExt, PyTypeInfo};

use crate::buffers::is_swapped;
use crate::columns::{Column, narrowed, null, with_room};
use crate::errors::{wrong_type, wrong_value};
use crate::keys::kind_of;

/// `keys` as an array, if it is one. NumPy is used only if it was imported
/// completely, because it need not be installed.
pub fn as_array<'a, 'py>(
    keys: &'a Bound<'py, PyAny>,
) -> PyResult<Option<&'a Bound<'py, PyUntypedArray>>> {
    let py = keys.py();
    let modules = py.import("sys")?.getattr("modules")?;
    let Ok(numpy) = modules.get_item("numpy") else { return Ok(None) };
    let Ok(class) = numpy.getattr("ndarray") else { return Ok(None) };
    if !class.is_instance_of::<PyType>() || !keys.is_instance(&class)? {
        return Ok(None);
    }
    Ok(keys.cast::<PyUntypedArray>().ok())
}

/// What an array holds.
pub enum Held<'py> {
    Column(Column),
    /// Objects of any kind.
    Objects(Bound<'py, PyList>),
}

/// The keys of an array.
///
/// While the interpreter's lock is released another thread may write to an array, or
/// resize it (`resize(refcheck=False)` frees its memory even if there are buffers of
/// it). So the keys are copied before.
pub fn held<'py>(keys: &Bound<'py, PyUntypedArray>) -> PyResult<Held<'py>> {
    let py = keys.py();
    if keys.ndim() != 1 {
        let found = keys.ndim();
        return Err(wrong_type(py, format!("keys of {found} dimensions; wanted one dimension")));
    }
    refuse_masked(keys)?;
    let descr = keys.dtype();
    Ok(Held::Column(match (descr.kind(), descr.itemsize()) {
        (b'i', 8) => Column::I64(plain(keys, "int64")?),
        (b'i', 4) => Column::I32(plain(keys, "int32")?),
        (b'u', 4) => Column::U32(plain(keys, "uint32")?),
        (b'u', 8) => {
            let wide: Vec<u64> = plain(keys, "uint64")?;
            Column::I64(narrowed(py, wide.into_iter())?)
        }
        (b'i' | b'u', _) => Column::I64(plain(keys, "int64")?),
        (b'f', 2 | 4 | 8) => Column::F64(plain(keys, "float64")?),
        (b'U', size) => texts(keys, size / 4)?,
        (b'S', size) => bytes(keys, size)?,
        // NumPy makes the objects, without Python code for each.
        (b'O' | b'T', _) => {
            return Ok(Held::Objects(method(keys, "tolist")?.call1((keys,))?.cast_into()?));
        }
        _ => {
            let text = format!(
                "keys of type {descr}; wanted integers that int64 can hold, doubles, texts or bytes"
            );
            return Err(wrong_type(py, text));
        }
    }))
}

/// Refuses a masked array (`numpy.ma`) with a masked element: it is no key.
fn refuse_masked(keys: &Bound<'_, PyUntypedArray>) -> PyResult<()> {
    let py = keys.py();
    let modules = py.import("sys")?.getattr("modules")?;
    let Ok(masked) = modules.get_item("numpy.ma") else { return Ok(()) };
    if !keys.is_instance(&masked.getattr("MaskedArray")?)? {
        return Ok(());
    }
    let mask = masked.call_method1("getmaskarray", (keys,))?;
    if !mask.call_method0("any")?.is_truthy()? {
        return Ok(());
    }
    Err(null(py, mask.call_method0("argmax")?.extract()?))
}

/// A method of NumPy's own class, because a subclass may override it.
fn method<'py>(array: &Bound<'py, PyUntypedArray>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    PyUntypedArray::type_object(array.py()).getattr(name)
}

/// The content as numbers of this type, where that loses nothing.
fn plain<T: Element + Copy>(keys: &Bound<'_, PyUntypedArray>, name: &str) -> PyResult<Vec<T>> {
    let py = keys.py();
    match keys.cast::<PyArray1<T>>() {
        Ok(same) if same.is_contiguous() && same.is_aligned() => content(same),
        _ => {
            let options = PyDict::new(py);
            options.set_item("casting", "safe")?;
            options.set_item("order", "C")?;
            options.set_item("subok", false)?;
            let copy = method(keys, "astype")?.call((keys, name), Some(&options));
            let copy = copy.map_err(|error| match error.is_instance_of::<PyTypeError>(py) {
                true => {
                    let found = keys.dtype().to_string();
                    wrong_type(py, format!("keys of type {found}; wanted {name}"))
                }
                false => error,
            })?;
            content(&copy.cast_into()?)
        }
    }
}

fn content<T: Element + Copy>(array: &Bound<'_, PyArray1<T>>) -> PyResult<Vec<T>> {
    let py = array.py();
    let read = array
        .try_readonly()
        .map_err(|error| wrong_type(py, format!("keys can't be read: {error}")))?;
    let mut keys = with_room(read.len())?;
    keys.extend_from_slice(read.as_slice()?);
    Ok(keys)
}

/// The units of texts or bytes of one width, of the machine's byte order.
fn units<T: Element + Copy>(keys: &Bound<'_, PyUntypedArray>, unit: &str) -> PyResult<Vec<T>> {
    let py = keys.py();
    let order = keys.dtype().call_method1("newbyteorder", ("=",))?;
    let options = PyDict::new(py);
    options.set_item("order", "C")?;
    options.set_item("subok", false)?;
    let copy = method(keys, "astype")?.call((keys, order), Some(&options))?;
    content(&copy.call_method1("view", (unit,))?.cast_into()?)
}

/// Texts of NumPy: UCS-4, filled up with zeros.
fn texts(keys: &Bound<'_, PyUntypedArray>, width: usize) -> PyResult<Column> {
    let py = keys.py();
    let (mut whole, mut ends) = (String::new(), with_room(keys.len())?);
    if width == 0 {
        ends.resize(keys.len(), 0);
        return Ok(Column::Texts(whole, ends));
    }
    let units: Vec<u32> = units(keys, "uint32")?;
    for (index, text) in units.chunks_exact(width).enumerate() {
        let end = text.iter().rposition(|&unit| unit != 0).map_or(0, |last| last + 1);
        for &unit in &text[..end] {
            let Some(letter) = char::from_u32(unit) else {
                let text = format!(
                    "key {index} has {unit:#x}, which is no character that UTF-8 can encode"
                );
                return Err(crate::errors::wrong_text(py, text));
            };
            whole.push(letter);
        }
        ends.push(whole.len());
    }
    Ok(Column::Texts(whole, ends))
}

/// Bytes of NumPy, filled up with zeros.
fn bytes(keys: &Bound<'_, PyUntypedArray>, width: usize) -> PyResult<Column> {
    let (mut whole, mut ends) = (Vec::new(), with_room(keys.len())?);
    if width == 0 {
        ends.resize(keys.len(), 0);
        return Ok(Column::Bytes(whole, ends));
    }
    let units: Vec<u8> = units(keys, "uint8")?;
    for key in units.chunks_exact(width) {
        let end = key.iter().rposition(|&unit| unit != 0).map_or(0, |last| last + 1);
        whole.extend_from_slice(&key[..end]);
        ends.push(whole.len());
    }
    Ok(Column::Bytes(whole, ends))
}

/// Where indexes are written.
pub enum Out<'py> {
    Array(Bound<'py, PyArray1<u16>>),
    /// An object with a buffer.
    Buffer(Bound<'py, PyAny>),
}

const WANTED: &str = "wanted a contiguous, aligned NumPy array of uint16 of one dimension";

impl<'py> Out<'py> {
    /// A new one.
    pub fn new(py: Python<'py>, len: usize) -> PyResult<Out<'py>> {
        // By NumPy's own function, which raises if there is no memory.
        match py.import("numpy") {
            Ok(numpy) => {
                let made = numpy.call_method1("zeros", (len, dtype::<u16>(py)))?;
                Ok(Out::Array(made.cast_into()?))
            }
            Err(_) => {
                let one = py.import("array")?.call_method1("array", ("H", (0,)))?;
                Ok(Out::Buffer(one.mul(len)?))
            }
        }
    }

    /// The caller's, if it fits.
    pub fn given(out: Bound<'py, PyAny>, len: usize) -> PyResult<Out<'py>> {
        let py = out.py();
        let checked = |found: usize| match found == len {
            true => Ok(()),
            false => Err(wrong_value(py, format!("out of {found} indexes for {len} keys"))),
        };
        if as_array(&out)?.is_none()
            && let Ok(buffer) = pyo3::buffer::PyBuffer::<u16>::get(&out)
        {
            // PyO3 takes ">" for this machine's byte order.
            let foreign = is_swapped(buffer.format().to_bytes()) == Some(true);
            if foreign || buffer.readonly() || !buffer.is_c_contiguous() {
                return Err(wrong_type(py, format!("out can't be written; {WANTED}")));
            }
            checked(buffer.item_count())?;
            return Ok(Out::Buffer(out));
        }
        let out = out.cast_into::<PyArray1<u16>>().map_err(|error| {
            let found = error.into_inner();
            let what = match found.cast::<PyUntypedArray>() {
                Ok(array) => format!("{} of {} dimensions", array.dtype(), array.ndim()),
                Err(_) => kind_of(&found),
            };
            wrong_type(py, format!("out of type {what}; {WANTED}"))
        })?;
        if !out.is_contiguous() {
            return Err(wrong_type(py, format!("out is not contiguous; {WANTED}")));
        }
        if !out.is_aligned() {
            return Err(wrong_type(py, format!("out is not aligned; {WANTED}")));
        }
        checked(out.len())?;
        drop(out.try_readwrite().map_err(|error| unwritable(py, error))?);
        Ok(Out::Array(out))
    }

    pub fn into_object(self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        match self {
            Out::Array(array) => array.into_bound_py_any(py),
            Out::Buffer(object) => Ok(object),
        }
    }

    /// Writes the indexes of the batch.
    pub fn fill(&self, py: Python<'_>, batch: &tendmap::route::Batch) -> PyResult<()> {
        match self {
            Out::Array(array) => {
                let mut place = array.try_readwrite().map_err(|error| unwritable(py, error))?;
                tendmap_bindings::indexes(batch, place.as_slice_mut()?);
            }
            Out::Buffer(object) => {
                let buffer = pyo3::buffer::PyBuffer::<u16>::get(object)?;
                let mut indexes = vec![0; batch.len()];
                tendmap_bindings::indexes(batch, &mut indexes);
                buffer.copy_from_slice(py, &indexes)?;
            }
        }
        Ok(())
    }
}

fn unwritable(py: Python<'_>, why: impl std::fmt::Display) -> PyErr {
    let wanted = "wanted memory that neither the keys nor another thread's call use";
    wrong_type(py, format!("out can't be written: {why}; {wanted}"))
}

/// Refuses an `out` in the memory of the keys.
pub fn refuse_overlap(keys: &Bound<'_, PyUntypedArray>, out: &Bound<'_, PyAny>) -> PyResult<()> {
    let copied = !keys.is_contiguous() || keys.dtype().itemsize() < 4;
    if copied || as_array(out)?.is_none() {
        return Ok(());
    }
    let py = out.py();
    let shared = py.import("numpy")?.call_method1("may_share_memory", (keys, out))?;
    match shared.is_truthy()? {
        true => Err(unwritable(py, "it shares memory with the keys")),
        false => Ok(()),
    }
}
