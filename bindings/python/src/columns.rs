//! Columns of keys, and those that Arrow arrays hold.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType};
use arrow_schema::DataType;
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;
use tendmap_arrow::{Exported, exported};

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
    let py = keys.py();
    let found = exported(keys, |kind| reader(kind).is_some()).map_err(|error| {
        let (kind, why) = (kind_of(keys), error.value(py).to_string());
        let text = format!("keys of type {kind} can't be read as an Arrow array: {why}");
        reworded(py, error, || wrong_type(py, text))
    })?;
    let Some(Exported { kind, chunks }) = found else { return Ok(None) };
    refuse_nulls(py, &chunks)?;
    let Some(read) = reader(&kind) else {
        let text = format!(
            "keys of Arrow's type {kind}; wanted one of integers, doubles, texts or bytes: cast it"
        );
        return Err(wrong_type(py, text));
    };
    read(py, chunks).map(Some)
}

/// Makes keys of arrays of one type, without nulls.
type Reader = fn(Python<'_>, Vec<ArrayRef>) -> PyResult<Column>;

/// How arrays of a type, or dictionaries of it, are read; `None` if they can't be keys.
fn reader(kind: &DataType) -> Option<Reader> {
    Some(match element(kind) {
        DataType::Int64 => |_, chunks| Ok(Column::I64(joined::<Int64Type, _>(&chunks)?)),
        DataType::Int32 => |_, chunks| Ok(Column::I32(joined::<Int32Type, _>(&chunks)?)),
        DataType::Int16 => |_, chunks| Ok(Column::I32(joined::<Int16Type, _>(&chunks)?)),
        DataType::Int8 => |_, chunks| Ok(Column::I32(joined::<Int8Type, _>(&chunks)?)),
        DataType::UInt32 => |_, chunks| Ok(Column::U32(joined::<UInt32Type, _>(&chunks)?)),
        DataType::UInt16 => |_, chunks| Ok(Column::U32(joined::<UInt16Type, _>(&chunks)?)),
        DataType::UInt8 => |_, chunks| Ok(Column::U32(joined::<UInt8Type, _>(&chunks)?)),
        DataType::UInt64 => |py, chunks| {
            let wide: Vec<u64> = joined::<UInt64Type, _>(&chunks)?;
            Ok(Column::I64(narrowed(py, wide.into_iter())?))
        },
        DataType::Float64 => |_, chunks| Ok(Column::F64(joined::<Float64Type, _>(&chunks)?)),
        DataType::Float32 => |_, chunks| Ok(Column::F64(joined::<Float32Type, _>(&chunks)?)),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            |_, chunks| Ok(Column::Arrow(chunks, true))
        }
        DataType::Binary
        | DataType::LargeBinary
        | DataType::BinaryView
        | DataType::FixedSizeBinary(_) => |_, chunks| Ok(Column::Arrow(chunks, false)),
        // A column of nothing.
        DataType::Null => |_, _| Ok(Column::I64(Vec::new())),
        _ => return None,
    })
}

/// The type of the values: those of a dictionary, if it is one.
fn element(kind: &DataType) -> &DataType {
    match kind {
        DataType::Dictionary(_, values) => values,
        kind => kind,
    }
}

fn refuse_nulls(py: Python<'_>, chunks: &[ArrayRef]) -> PyResult<()> {
    let mut before = 0;
    for chunk in chunks {
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

/// The values of an array without nulls, and the index of each row's value if they are a
/// dictionary.
fn values(chunk: &ArrayRef) -> (&ArrayRef, Option<Vec<usize>>) {
    match chunk.as_any_dictionary_opt() {
        Some(dictionary) if chunk.is_empty() => (dictionary.values(), Some(Vec::new())),
        Some(dictionary) => (dictionary.values(), Some(dictionary.normalized_keys())),
        None => (chunk, None),
    }
}

/// The numbers of all chunks, widened if necessary.
fn joined<P, K>(chunks: &[ArrayRef]) -> PyResult<Vec<K>>
where
    P: ArrowPrimitiveType,
    K: From<P::Native>,
{
    let mut keys = with_room(chunks.iter().map(|chunk| chunk.len()).sum())?;
    for chunk in chunks {
        let (values, rows) = values(chunk);
        let values = values.as_primitive::<P>().values();
        match rows {
            None => keys.extend(values.iter().map(|&key| K::from(key))),
            Some(rows) => keys.extend(rows.into_iter().map(|row| K::from(values[row]))),
        }
    }
    Ok(keys)
}

/// The texts of arrays without nulls.
pub fn texts(chunks: &[ArrayRef]) -> Vec<&str> {
    gathered(chunks, |values, keys| match values.data_type() {
        DataType::Utf8 => {
            keys.extend(values.as_string::<i32>().iter().map(Option::unwrap_or_default))
        }
        DataType::LargeUtf8 => {
            keys.extend(values.as_string::<i64>().iter().map(Option::unwrap_or_default))
        }
        _ => keys.extend(values.as_string_view().iter().map(Option::unwrap_or_default)),
    })
}

/// The bytes of arrays without nulls.
pub fn blobs(chunks: &[ArrayRef]) -> Vec<&[u8]> {
    gathered(chunks, |values, keys| match values.data_type() {
        DataType::Binary => {
            keys.extend(values.as_binary::<i32>().iter().map(Option::unwrap_or_default))
        }
        DataType::LargeBinary => {
            keys.extend(values.as_binary::<i64>().iter().map(Option::unwrap_or_default))
        }
        DataType::FixedSizeBinary(_) => {
            keys.extend(values.as_fixed_size_binary().iter().map(Option::unwrap_or_default));
        }
        _ => keys.extend(values.as_binary_view().iter().map(Option::unwrap_or_default)),
    })
}

/// The keys of all rows. `read` appends the values of an array, of which a dictionary may
/// have unused ones that are null.
fn gathered<'a, K: Copy>(
    chunks: &'a [ArrayRef],
    read: impl Fn(&'a ArrayRef, &mut Vec<K>),
) -> Vec<K> {
    let mut keys = Vec::with_capacity(chunks.iter().map(|chunk| chunk.len()).sum());
    for chunk in chunks {
        match values(chunk) {
            (values, None) => read(values, &mut keys),
            (values, Some(rows)) => {
                let mut words = Vec::with_capacity(values.len());
                read(values, &mut words);
                keys.extend(rows.into_iter().map(|row| words[row]));
            }
        }
    }
    keys
}
