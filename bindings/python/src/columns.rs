//! Columns of keys from Arrow and from the buffer protocol.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray};
use arrow_schema::DataType;
use pyo3::buffer::{Element, ElementType, PyBuffer, PyUntypedBuffer};
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyString};
use pyo3_arrow::PyChunkedArray;
use pyo3_arrow::input::AnyArray;

use crate::errors::{out_of_range, reworded, wrong_type, wrong_value};
use crate::keys::kind_of;

/// Keys that belong to the call: routing them needs no lock of the interpreter's.
pub enum Column {
    I64(Vec<i64>),
    I32(Vec<i32>),
    U32(Vec<u32>),
    F64(Vec<f64>),
    /// Arrow's texts and bytes, which nothing changes.
    Arrow(Vec<ArrayRef>, bool),
    /// Texts one after the other, and the end of each.
    Texts(String, Vec<usize>),
    /// Bytes one after the other, and the end of each.
    Bytes(Vec<u8>, Vec<usize>),
}

impl Column {
    pub fn len(&self) -> usize {
        match self {
            Column::I64(keys) => keys.len(),
            Column::I32(keys) => keys.len(),
            Column::U32(keys) => keys.len(),
            Column::F64(keys) => keys.len(),
            Column::Arrow(chunks, _) => chunks.iter().map(|chunk| chunk.len()).sum(),
            Column::Texts(_, ends) | Column::Bytes(_, ends) => ends.len(),
        }
    }
}

/// A list with room for `len` elements, which may be too many for the memory.
pub fn with_room<T>(len: usize) -> PyResult<Vec<T>> {
    let mut list = Vec::new();
    list.try_reserve_exact(len).map_err(|_| PyMemoryError::new_err(()))?;
    Ok(list)
}

/// Wide integers as keys.
///
/// # Errors
/// ArgumentRangeError, with the index of the key.
pub fn narrowed(py: Python<'_>, keys: impl ExactSizeIterator<Item = u64>) -> PyResult<Vec<i64>> {
    let mut narrow = with_room(keys.len())?;
    for (index, key) in keys.enumerate() {
        let Ok(key) = i64::try_from(key) else {
            let text = format!("key {index} is {key}; wanted an integer of 64 bits, signed");
            return Err(out_of_range(py, text));
        };
        narrow.push(key);
    }
    Ok(narrow)
}

/// The keys of an object that exports Arrow arrays; `None` if it does not.
pub fn of_arrow(keys: &Bound<'_, PyAny>) -> PyResult<Option<Column>> {
    let class = keys.get_type();
    if !class.hasattr("__arrow_c_array__")? && !class.hasattr("__arrow_c_stream__")? {
        return Ok(None);
    }
    let py = keys.py();
    let refused = |error: PyErr| {
        let kind = kind_of(keys);
        let text = format!("keys of type {kind} can't be read as an Arrow array");
        reworded(py, error, || wrong_type(py, text))
    };
    let found = keys.extract::<AnyArray>().map_err(refused)?;
    let found = found.into_chunked_array().map_err(|error| refused(error.into()))?;
    let (chunks, kind) = (found.chunks().to_vec(), found.data_type().clone());
    refuse_nulls(py, &found)?;
    Ok(Some(match kind {
        DataType::Int64 => Column::I64(joined::<Int64Type, _>(&chunks)?),
        DataType::Int32 => Column::I32(joined::<Int32Type, _>(&chunks)?),
        DataType::Int16 => Column::I32(joined::<Int16Type, _>(&chunks)?),
        DataType::Int8 => Column::I32(joined::<Int8Type, _>(&chunks)?),
        DataType::UInt32 => Column::U32(joined::<UInt32Type, _>(&chunks)?),
        DataType::UInt16 => Column::U32(joined::<UInt16Type, _>(&chunks)?),
        DataType::UInt8 => Column::U32(joined::<UInt8Type, _>(&chunks)?),
        DataType::UInt64 => {
            let wide: Vec<u64> = joined::<UInt64Type, _>(&chunks)?;
            Column::I64(narrowed(py, wide.into_iter())?)
        }
        DataType::Float64 => Column::F64(joined::<Float64Type, _>(&chunks)?),
        DataType::Float32 => Column::F64(joined::<Float32Type, _>(&chunks)?),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Column::Arrow(chunks, true),
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => Column::Arrow(chunks, false),
        // A column of nulls only, or of nothing.
        DataType::Null if found_none(&chunks) => Column::I64(Vec::new()),
        kind => {
            let text = format!(
                "keys of Arrow's type {kind}; wanted one of integers, doubles, texts or bytes: cast \
                 it"
            );
            return Err(wrong_type(py, text));
        }
    }))
}

fn found_none(chunks: &[ArrayRef]) -> bool {
    chunks.iter().all(|chunk| chunk.is_empty())
}

fn refuse_nulls(py: Python<'_>, keys: &PyChunkedArray) -> PyResult<()> {
    let mut before = 0;
    for chunk in keys.chunks() {
        if chunk.logical_null_count() > 0 {
            let nulls = chunk.logical_nulls();
            let within = (0..chunk.len())
                .find(|&index| nulls.as_ref().is_none_or(|nulls| nulls.is_null(index)));
            return Err(null(py, before + within.unwrap_or(0)));
        }
        before += chunk.len();
    }
    Ok(())
}

/// The error of a row without a key.
#[cold]
pub fn null(py: Python<'_>, index: usize) -> PyErr {
    wrong_value(py, format!("key {index} is null; wanted a key in each row: drop the others"))
}

/// The numbers of all chunks, widened if necessary.
fn joined<P, K>(chunks: &[ArrayRef]) -> PyResult<Vec<K>>
where
    P: ArrowPrimitiveType,
    K: From<P::Native>,
{
    let mut keys = with_room(chunks.iter().map(|chunk| chunk.len()).sum())?;
    for chunk in chunks {
        let chunk: &PrimitiveArray<P> = chunk.as_primitive();
        keys.extend(chunk.values().iter().map(|&key| K::from(key)));
    }
    Ok(keys)
}

/// The texts of arrays without nulls.
pub fn texts(chunks: &[ArrayRef]) -> Vec<&str> {
    let mut keys = Vec::with_capacity(chunks.iter().map(|chunk| chunk.len()).sum());
    for chunk in chunks {
        match chunk.data_type() {
            DataType::Utf8 => keys.extend(chunk.as_string::<i32>().iter().flatten()),
            DataType::LargeUtf8 => keys.extend(chunk.as_string::<i64>().iter().flatten()),
            _ => keys.extend(chunk.as_string_view().iter().flatten()),
        }
    }
    keys
}

/// The bytes of arrays without nulls.
pub fn blobs(chunks: &[ArrayRef]) -> Vec<&[u8]> {
    let mut keys = Vec::with_capacity(chunks.iter().map(|chunk| chunk.len()).sum());
    for chunk in chunks {
        match chunk.data_type() {
            DataType::Binary => keys.extend(chunk.as_binary::<i32>().iter().flatten()),
            DataType::LargeBinary => keys.extend(chunk.as_binary::<i64>().iter().flatten()),
            DataType::FixedSizeBinary(_) => {
                keys.extend(chunk.as_fixed_size_binary().iter().flatten());
            }
            _ => keys.extend(chunk.as_binary_view().iter().flatten()),
        }
    }
    keys
}

/// The keys of an object with a buffer of numbers; `None` if it has no buffer, or is a
/// single key.
pub fn of_buffer(keys: &Bound<'_, PyAny>) -> PyResult<Option<Column>> {
    if keys.is_instance_of::<PyBytes>()
        || keys.is_instance_of::<PyByteArray>()
        || keys.is_instance_of::<PyString>()
    {
        return Ok(None);
    }
    let Ok(buffer) = PyUntypedBuffer::get(keys) else { return Ok(None) };
    let py = keys.py();
    if buffer.dimensions() != 1 {
        let found = buffer.dimensions();
        return Err(wrong_type(py, format!("keys of {found} dimensions; wanted one dimension")));
    }
    let format = buffer.format().to_string_lossy().into_owned();
    let wrong = || {
        let kind = kind_of(keys);
        let text = format!(
            "keys of type {kind} with a buffer of format {format:?}; wanted integers of 16 to 64 \
             bits or doubles: memoryview(…).cast(\"q\")"
        );
        wrong_type(py, text)
    };
    // Bytes may be one key, or many small numbers.
    let kind = ElementType::from_format(buffer.format());
    if buffer.item_count() == 0 {
        // Its memory may be anywhere, which would be refused.
        return Ok(Some(Column::I64(Vec::new())));
    }
    Ok(Some(match kind {
        ElementType::SignedInteger { bytes: 8 } => Column::I64(copied(py, keys)?),
        ElementType::SignedInteger { bytes: 4 } => Column::I32(copied(py, keys)?),
        ElementType::SignedInteger { bytes: 2 } => {
            let keys: Vec<i16> = copied(py, keys)?;
            Column::I32(keys.into_iter().map(i32::from).collect())
        }
        ElementType::UnsignedInteger { bytes: 4 } => Column::U32(copied(py, keys)?),
        ElementType::UnsignedInteger { bytes: 2 } => {
            let keys: Vec<u16> = copied(py, keys)?;
            Column::U32(keys.into_iter().map(u32::from).collect())
        }
        ElementType::UnsignedInteger { bytes: 8 } => {
            let keys: Vec<u64> = copied(py, keys)?;
            Column::I64(narrowed(py, keys.into_iter())?)
        }
        ElementType::Float { bytes: 8 } => Column::F64(copied(py, keys)?),
        ElementType::Float { bytes: 4 } => {
            let keys: Vec<f32> = copied(py, keys)?;
            Column::F64(keys.into_iter().map(f64::from).collect())
        }
        _ => return Err(wrong()),
    }))
}

fn copied<T: Element>(py: Python<'_>, keys: &Bound<'_, PyAny>) -> PyResult<Vec<T>> {
    let kind = kind_of(keys);
    let buffer = PyBuffer::<T>::get(keys).map_err(|error| {
        let text = format!("keys of type {kind} have a buffer that can't be read: {error}");
        wrong_type(py, text)
    })?;
    buffer.to_vec(py)
}
