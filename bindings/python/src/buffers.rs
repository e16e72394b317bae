//! Columns of keys from the buffer protocol.

use pyo3::buffer::{Element, ElementType, PyBuffer, PyUntypedBuffer};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyMemoryView, PyString};

use crate::columns::{Column, narrowed};
use crate::errors::{wrong_type, wrong_value};
use crate::keys::kind_of;

/// The keys of an object with a buffer of numbers; `None` if it has no buffer, or is a
/// single key.
pub fn of_buffer(keys: &Bound<'_, PyAny>) -> PyResult<Option<Column>> {
    if keys.is_instance_of::<PyBytes>()
        || keys.is_instance_of::<PyByteArray>()
        || keys.is_instance_of::<PyString>()
    {
        return Ok(None);
    }
    let py = keys.py();
    // A view completes what an object leaves out, such as the strides.
    let view = match PyMemoryView::from(keys) {
        Ok(view) => view,
        Err(error) if keys.is_instance_of::<PyMemoryView>() => {
            return Err(wrong_value(py, format!("keys can't be read: {}", error.value(py))));
        }
        Err(_) => return Ok(None),
    };
    let Ok(buffer) = PyUntypedBuffer::get(&view) else { return Ok(None) };
    if buffer.dimensions() != 1 {
        let found = buffer.dimensions();
        return Err(wrong_type(py, format!("keys of {found} dimensions; wanted one dimension")));
    }
    if buffer.item_count() == 0 {
        // Its memory may be anywhere, which would be refused.
        return Ok(Some(Column::I64(Vec::new())));
    }
    let kind = ElementType::from_format(buffer.format());
    let swapped = is_swapped(buffer.format().to_bytes());
    Ok(Some(match kind {
        ElementType::SignedInteger { bytes: 8 } => Column::I64(copied(&view, swapped)?),
        ElementType::SignedInteger { bytes: 4 } => Column::I32(copied(&view, swapped)?),
        ElementType::SignedInteger { bytes: 2 } => {
            let keys: Vec<i16> = copied(&view, swapped)?;
            Column::I32(keys.into_iter().map(i32::from).collect())
        }
        ElementType::UnsignedInteger { bytes: 4 } => Column::U32(copied(&view, swapped)?),
        ElementType::UnsignedInteger { bytes: 2 } => {
            let keys: Vec<u16> = copied(&view, swapped)?;
            Column::U32(keys.into_iter().map(u32::from).collect())
        }
        ElementType::UnsignedInteger { bytes: 8 } => {
            let keys: Vec<u64> = copied(&view, swapped)?;
            Column::I64(narrowed(py, keys.into_iter())?)
        }
        ElementType::Float { bytes: 8 } => Column::F64(copied(&view, swapped)?),
        ElementType::Float { bytes: 4 } => {
            let keys: Vec<f32> = copied(&view, swapped)?;
            Column::F64(keys.into_iter().map(f64::from).collect())
        }
        // Bytes may be one key, or many small numbers.
        _ => {
            let (kind, format) = (kind_of(keys), buffer.format().to_string_lossy());
            let text = format!(
                "keys of type {kind} with a buffer of format {format:?}; wanted integers of 16 to \
                 64 bits or doubles: memoryview(…).cast(\"q\")"
            );
            return Err(wrong_type(py, text));
        }
    }))
}

/// The byte order that a format names: whether it is another one than this machine's;
/// `None` if it names none.
pub fn is_swapped(format: &[u8]) -> Option<bool> {
    match format {
        [b'<', ..] => Some(cfg!(target_endian = "big")),
        [b'>' | b'!', ..] => Some(cfg!(target_endian = "little")),
        _ => None,
    }
}

/// A number in a buffer.
trait Number: Element {
    /// Reads one, of this machine's byte order or the other.
    fn read(bytes: &[u8], swapped: bool) -> Self;
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Number for $number {
            fn read(bytes: &[u8], swapped: bool) -> $number {
                let mut own = [0; size_of::<$number>()];
                own.copy_from_slice(bytes);
                if swapped {
                    own.reverse();
                }
                <$number>::from_ne_bytes(own)
            }
        }
    )*};
}

numbers!(i16, i32, i64, u16, u32, u64, f32, f64);

fn copied<T: Number>(view: &Bound<'_, PyMemoryView>, swapped: Option<bool>) -> PyResult<Vec<T>> {
    let Some(swapped) = swapped else { return PyBuffer::<T>::get(view)?.to_vec(view.py()) };
    // PyO3 takes ">" for this machine's byte order, and "<" for none.
    let bytes = view.call_method0("tobytes")?.cast_into::<PyBytes>()?;
    let items = bytes.as_bytes().chunks_exact(size_of::<T>());
    Ok(items.map(|item| T::read(item, swapped)).collect())
}
