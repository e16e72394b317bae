//! Arrow's C data interface, as Python packages exchange it: objects export capsules
//! (<https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html>).
//!
//! This depends only on Arrow's arrays. pyo3-arrow does the same, but brings casts,
//! comparisons, time zones and classes for all of them into the module.

use std::ffi::{CStr, c_char};

use arrow_array::ffi::{FFI_ArrowArray, FFI_ArrowSchema, from_ffi_and_data_type};
use arrow_array::ffi_stream::FFI_ArrowArrayStream;
use arrow_array::{ArrayRef, make_array};
use arrow_data::ArrayData;
use arrow_schema::{ArrowError, DataType};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyTuple};

/// An exported column: the type of its elements, and their arrays.
pub struct Exported {
    /// The type of all chunks.
    pub kind: DataType,
    /// One array, or those of a stream.
    pub chunks: Vec<ArrayRef>,
}

/// The column that an object exports; `None` if it exports none. `wanted` is asked for
/// the type first: nothing is read of any other, and there are no chunks then.
///
/// # Errors
/// TypeError for an object that exports something else; exceptions of the object's code.
pub fn exported(
    object: &Bound<'_, PyAny>,
    wanted: impl FnOnce(&DataType) -> bool,
) -> PyResult<Option<Exported>> {
    let py = object.py();
    // Looked up in the class: an instance may answer to any name.
    let class = object.get_type();
    if class.hasattr(intern!(py, "__arrow_c_array__"))? {
        let found = object.call_method0(intern!(py, "__arrow_c_array__"))?;
        let pair = found.cast_into::<PyTuple>()?;
        let (schema, array) = pair.extract::<(Bound<'_, PyCapsule>, Bound<'_, PyCapsule>)>()?;
        return of_array(&schema, &array, wanted).map(Some);
    }
    if class.hasattr(intern!(py, "__arrow_c_stream__"))? {
        let found = object.call_method0(intern!(py, "__arrow_c_stream__"))?;
        return of_stream(&found.cast_into()?, wanted).map(Some);
    }
    Ok(None)
}

fn of_array(
    schema: &Bound<'_, PyCapsule>,
    array: &Bound<'_, PyCapsule>,
    wanted: impl FnOnce(&DataType) -> bool,
) -> PyResult<Exported> {
    let schema = schema.pointer_checked(Some(c"arrow_schema"))?.cast::<FFI_ArrowSchema>();
    let array = array.pointer_checked(Some(c"arrow_array"))?.cast::<FFI_ArrowArray>();
    // SAFETY: a capsule of this name holds this structure, and lives as long as the
    // argument.
    let kind = kind_of(unsafe { schema.as_ref() })?;
    if !wanted(&kind) {
        return Ok(Exported { kind, chunks: Vec::new() });
    }
    // SAFETY: as above. It is moved out of the capsule, which is left empty.
    let array = unsafe { FFI_ArrowArray::from_raw(array.as_ptr()) };
    if array.is_released() {
        return Err(refused("it was read before"));
    }
    // SAFETY: the object exports an array of the type that it exports with it.
    let data = unsafe { from_ffi_and_data_type(array, kind.clone()) };
    Ok(Exported { kind, chunks: vec![checked(data)?] })
}

fn of_stream(
    stream: &Bound<'_, PyCapsule>,
    wanted: impl FnOnce(&DataType) -> bool,
) -> PyResult<Exported> {
    let stream = stream.pointer_checked(Some(c"arrow_array_stream"))?;
    // SAFETY: a capsule of this name holds this structure, and lives as long as the
    // argument. It is moved out of the capsule, which is left empty.
    let mut stream =
        unsafe { FFI_ArrowArrayStream::from_raw(stream.cast::<FFI_ArrowArrayStream>().as_ptr()) };
    let (Some(get_schema), Some(get_next), Some(_)) =
        (stream.get_schema, stream.get_next, stream.release)
    else {
        return Err(refused("it was read before"));
    };
    let mut schema = FFI_ArrowSchema::empty();
    // SAFETY: the stream's own function; the structure is released when it is dropped.
    if unsafe { get_schema(&mut stream, &mut schema) } != 0 {
        return Err(last_error(&mut stream));
    }
    let kind = kind_of(&schema)?;
    let mut chunks = Vec::new();
    if !wanted(&kind) {
        return Ok(Exported { kind, chunks });
    }
    loop {
        let mut array = FFI_ArrowArray::empty();
        // SAFETY: as above.
        if unsafe { get_next(&mut stream, &mut array) } != 0 {
            return Err(last_error(&mut stream));
        }
        if array.is_released() {
            return Ok(Exported { kind, chunks });
        }
        // SAFETY: all arrays of a stream are of its schema's type.
        let data = unsafe { from_ffi_and_data_type(array, kind.clone()) };
        chunks.push(checked(data)?);
    }
}

/// An array whose values are all within its buffers, and whose texts are UTF-8. Packages
/// that make arrays of buffers need not check that themselves.
fn checked(data: Result<ArrayData, ArrowError>) -> PyResult<ArrayRef> {
    let data = data.map_err(refused)?;
    // The offsets of an empty part lie behind its values, of which it has none.
    if !data.is_empty() {
        data.validate_full().map_err(refused)?;
    }
    Ok(make_array(data))
}

fn kind_of(schema: &FFI_ArrowSchema) -> PyResult<DataType> {
    // SAFETY: the format is the first member of this C structure. Arrow's crate would
    // panic without one (in a released structure), or if it is no text.
    let format = unsafe { std::ptr::from_ref(schema).cast::<*const c_char>().read() };
    // SAFETY: a text that ends with a zero, and belongs to the structure.
    if format.is_null() || unsafe { CStr::from_ptr(format) }.to_str().is_err() {
        return Err(refused("it has no type"));
    }
    DataType::try_from(schema).map_err(refused)
}

fn last_error(stream: &mut FFI_ArrowArrayStream) -> PyErr {
    // SAFETY: called after an error, as the interface wants it.
    let text = stream.get_last_error.map(|ask| unsafe { ask(stream) });
    match text {
        // SAFETY: a text that ends with a zero, until the next call.
        Some(text) if !text.is_null() => refused(unsafe { CStr::from_ptr(text) }.to_string_lossy()),
        _ => refused("its stream has failed"),
    }
}

fn refused(why: impl std::fmt::Display) -> PyErr {
    PyTypeError::new_err(why.to_string())
}
