//! Many keys at once: sequences of any keys, or NumPy arrays of integers.

use std::ops::Range;

use numpy::{
    Element, PyArray1, PyArrayDescrMethods, PyArrayMethods, PyReadonlyArray1, PyUntypedArray,
    PyUntypedArrayMethods, dtype,
};
use pyo3::PyTypeInfo;
use pyo3::exceptions::{PyMemoryError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyInt, PyString, PyType};
use tendmap::map::Slot;
use tendmap::route::{InSet, Key, Keys, NamespaceHandle, Policy};
use tendmap_bindings::NO_NODE as NONE;

use crate::client::Client;
use crate::errors::{raise, utf8, wrong_type, wrong_value};
use crate::keys::{kind_of, with_key};
use crate::lent::Lent;

/// The index that means "no node".
pub const NO_NODE: u16 = NONE;

/// Batches of fewer keys keep the interpreter's lock: releasing it and
/// taking it again would cost more than the batch.
const FEW: usize = 256;

pub fn route_batch<'py>(
    client: &Client,
    py: Python<'py>,
    namespace: &Bound<'py, PyAny>,
    set: &Bound<'py, PyAny>,
    keys: &Bound<'py, PyAny>,
    policy: Option<&Bound<'py, PyAny>>,
    out: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    // A separate router also for short batches, because reading keys may run code
    // that lets other threads run.
    let mut lent = client.take_router(py)?;
    let result = (|| {
        let policy = lent.policy(policy)?;
        lent.set(set)?;
        match as_array(keys)? {
            Some(keys) => {
                // Now: forgetting another name may run code, which may even
                // change the arrays. From here on nothing does.
                let handle = lent.namespace(namespace)?;
                array(py, &mut lent, handle, keys, policy, out)
            }
            None if out.is_some() => {
                Err(wrong_type(py, "out is for keys in a NumPy array; these are not in one"))
            }
            None => sequence(client, py, &mut lent, namespace, keys, policy),
        }
    })();
    client.give_back(py, lent);
    result
}

/// `keys` as an array, if it is one. NumPy is used only if it was imported
/// completely, because it need not be installed.
fn as_array<'a, 'py>(
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

/// A new array for indexes.
fn new_out(py: Python<'_>, len: usize) -> PyResult<Bound<'_, PyArray1<u16>>> {
    // By NumPy's own function, which raises if there is no memory.
    let made = py.import("numpy")?.call_method1("zeros", (len, dtype::<u16>(py)))?;
    Ok(made.cast_into()?)
}

/// The caller's array for the indexes.
fn given_out<'py>(out: Bound<'py, PyAny>, len: usize) -> PyResult<Bound<'py, PyArray1<u16>>> {
    let py = out.py();
    const WANTED: &str = "wanted a contiguous, aligned NumPy array of uint16 of one dimension";
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
    if out.len() != len {
        let found = out.len();
        return Err(wrong_value(py, format!("out of {found} indexes for {len} keys")));
    }
    Ok(out)
}

/// Routes an array: integers of 64 or 32 bits in place, all others as a copy of 64 bits.
fn array<'py>(
    py: Python<'py>,
    lent: &mut Lent,
    handle: NamespaceHandle,
    keys: &Bound<'py, PyUntypedArray>,
    policy: Policy,
    out: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    if keys.ndim() != 1 {
        let found = keys.ndim();
        return Err(wrong_type(py, format!("keys of {found} dimensions; wanted one dimension")));
    }
    let len = keys.len();
    let out = match out {
        Some(out) => given_out(out, len)?,
        None => new_out(py, len)?,
    };
    // The keys first: then errors about `out` can refer to them.
    let keys = Readable::of(keys)?;
    if overlap(keys.memory(), memory(&out)) {
        return Err(unwritable(py, "it shares memory with the keys"));
    }
    drop(out.try_readwrite().map_err(|error| unwritable(py, error))?);
    match keys {
        Readable::I64(keys) => route_array(py, lent, handle, keys, policy)?,
        Readable::I32(keys) => route_array(py, lent, handle, keys, policy)?,
        Readable::U32(keys) => route_array(py, lent, handle, keys, policy)?,
    }
    // Other threads may have changed it meanwhile.
    let out = given_out(out.into_any(), len)?;
    let mut writable = out.try_readwrite().map_err(|error| unwritable(py, error))?;
    let (_, batch, _) = lent.for_batch();
    tendmap_bindings::indexes(batch, writable.as_slice_mut()?);
    drop(writable);
    Ok(out.into_any())
}

fn unwritable(py: Python<'_>, why: impl std::fmt::Display) -> PyErr {
    let wanted = "wanted memory that neither the keys nor another thread's call use";
    wrong_type(py, format!("out can't be written: {why}; {wanted}"))
}

/// The addresses of a contiguous array, whatever object the memory belongs to.
fn memory<T: Element>(array: &Bound<'_, PyArray1<T>>) -> Range<usize> {
    let start = array.data() as usize;
    start..start.saturating_add(array.len() * size_of::<T>())
}

fn overlap(one: Range<usize>, other: Range<usize>) -> bool {
    one.start < other.end && other.start < one.end
}

/// Routes the keys of an array; the result is in the batch.
///
/// While the interpreter's lock is released another thread may write to an
/// array, or resize it (`resize(refcheck=False)` frees its memory even if there
/// are buffers of it). So the keys are copied before, and the indexes are written
/// with the lock held.
fn route_array<K>(
    py: Python<'_>,
    lent: &mut Lent,
    handle: NamespaceHandle,
    keys: PyReadonlyArray1<'_, K>,
    policy: Policy,
) -> PyResult<()>
where
    K: Element + Copy + Sync + Send,
    for<'a> InSet<'a, K>: Keys,
{
    let (router, batch, set) = lent.for_batch();
    let slice = keys.as_slice()?;
    let result = if slice.len() < FEW {
        router.route_batch(handle, &InSet::new(set, slice), policy, batch)
    } else {
        let mut own = Vec::new();
        own.try_reserve_exact(slice.len()).map_err(|_| PyMemoryError::new_err(()))?;
        own.extend_from_slice(slice);
        drop(keys);
        py.detach(|| router.route_batch(handle, &InSet::new(set, &own), policy, batch))
    };
    result.map(drop).map_err(|error: tendmap::route::RouteError| raise(py, error))
}

/// Keys in an array: theirs, or a copy.
enum Readable<'py> {
    I64(PyReadonlyArray1<'py, i64>),
    I32(PyReadonlyArray1<'py, i32>),
    U32(PyReadonlyArray1<'py, u32>),
}

impl Readable<'_> {
    /// The memory of the keys.
    fn memory(&self) -> Range<usize> {
        match self {
            Readable::I64(keys) => memory(keys),
            Readable::I32(keys) => memory(keys),
            Readable::U32(keys) => memory(keys),
        }
    }
}

impl<'py> Readable<'py> {
    fn of(keys: &Bound<'py, PyUntypedArray>) -> PyResult<Readable<'py>> {
        if keys.is_contiguous() && keys.is_aligned() {
            if let Ok(keys) = keys.cast::<PyArray1<i64>>() {
                return Ok(Readable::I64(readable(keys)?));
            }
            if let Ok(keys) = keys.cast::<PyArray1<i32>>() {
                return Ok(Readable::I32(readable(keys)?));
            }
            if let Ok(keys) = keys.cast::<PyArray1<u32>>() {
                return Ok(Readable::U32(readable(keys)?));
            }
        }
        Ok(Readable::I64(readable(&copied(keys)?)?))
    }
}

fn readable<'py, T: Element>(keys: &Bound<'py, PyArray1<T>>) -> PyResult<PyReadonlyArray1<'py, T>> {
    keys.try_readonly()
        .map_err(|error| wrong_type(keys.py(), format!("keys can't be read: {error}")))
}

/// A contiguous copy as 64-bit integers, where that loses nothing.
fn copied<'py>(keys: &Bound<'py, PyUntypedArray>) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let py = keys.py();
    let wrong = || {
        let found = keys.dtype().to_string();
        wrong_type(py, format!("keys of type {found}; wanted integers that int64 can hold"))
    };
    // A bool is refused, as for a single key.
    if keys.dtype().kind() == b'b' {
        return Err(wrong());
    }
    let options = PyDict::new(py);
    options.set_item("casting", "safe")?;
    options.set_item("order", "C")?;
    options.set_item("subok", false)?;
    // The method of NumPy's own class, because a subclass may override it.
    let astype = PyUntypedArray::type_object(py).getattr("astype")?;
    let copied = astype.call((keys, "int64"), Some(&options)).map_err(|error| match error
        .is_instance_of::<PyTypeError>(
        py,
    ) {
        true => wrong(),
        false => error,
    })?;
    Ok(copied.cast_into()?)
}

fn many<K>(
    py: Python<'_>,
    lent: &mut Lent,
    handle: NamespaceHandle,
    keys: &[K],
    policy: Policy,
    out: &mut [u16],
) -> PyResult<()>
where
    K: Sync,
    for<'a> InSet<'a, K>: Keys,
{
    let (router, batch, set) = lent.for_batch();
    let mut work = || {
        router.route_batch(handle, &InSet::new(set, keys), policy, batch)?;
        tendmap_bindings::indexes(batch, out);
        Ok(())
    };
    let result = if keys.len() < FEW { work() } else { py.detach(work) };
    result.map_err(|error: tendmap::route::RouteError| raise(py, error))
}

/// Routes a sequence of keys of any kind, to objects of nodes.
fn sequence<'py>(
    client: &Client,
    py: Python<'py>,
    lent: &mut Lent,
    namespace: &Bound<'py, PyAny>,
    keys: &Bound<'py, PyAny>,
    policy: Policy,
) -> PyResult<Bound<'py, PyAny>> {
    // Each of these is one key.
    if keys.is_instance_of::<PyString>()
        || keys.is_instance_of::<PyBytes>()
        || keys.is_instance_of::<PyByteArray>()
    {
        return Err(wrong_keys(keys));
    }
    let keys: Vec<Bound<'py, PyAny>> = match keys.try_iter() {
        Ok(items) => items.collect::<PyResult<_>>()?,
        Err(error) if error.is_instance_of::<PyTypeError>(py) => return Err(wrong_keys(keys)),
        Err(error) => return Err(error),
    };
    let owned: Vec<Owned<'_>> = keys.iter().map(Owned::of).collect::<PyResult<_>>()?;
    let read: Vec<Key<'_>> = owned.iter().map(Owned::key).collect();
    // Reading the keys may have run code: what is resolved now is used now.
    let handle = lent.namespace(namespace)?;
    let mut indexes = vec![NO_NODE; read.len()];
    many(py, lent, handle, &read, policy, &mut indexes)?;
    let mut nodes: Vec<Option<Py<crate::node::Node>>> = Vec::with_capacity(indexes.len());
    for index in indexes {
        nodes.push(match Slot::new(index.into()) {
            Some(slot) => client.node_in(py, lent, slot)?,
            None => None,
        });
    }
    Ok(nodes.into_pyobject(py)?.into_any())
}

#[cold]
fn wrong_keys(keys: &Bound<'_, PyAny>) -> PyErr {
    let kind = kind_of(keys);
    wrong_type(keys.py(), format!("keys of type {kind}; wanted several keys or a NumPy array"))
}

/// A key that is held until the batch is done.
enum Owned<'a> {
    Integer(i64),
    Double(f64),
    Str(&'a str),
    Bytes(&'a [u8]),
    Copied(Vec<u8>),
}

impl<'a> Owned<'a> {
    fn of(key: &'a Bound<'_, PyAny>) -> PyResult<Owned<'a>> {
        if !key.is_exact_instance_of::<PyInt>() {
            if let Ok(text) = key.cast::<PyString>() {
                return Ok(Owned::Str(utf8("a key", text)?));
            }
            if let Ok(bytes) = key.cast::<PyBytes>() {
                return Ok(Owned::Bytes(bytes.as_bytes()));
            }
            if let Ok(bytes) = key.cast::<PyByteArray>() {
                return Ok(Owned::Copied(bytes.to_vec()));
            }
        }
        with_key(key, |key| match key {
            Key::Double(value) => Owned::Double(value),
            Key::Integer(value) => Owned::Integer(value),
            _ => unreachable!("texts and bytes were read above"),
        })
    }

    fn key(&self) -> Key<'_> {
        match self {
            Owned::Integer(value) => Key::Integer(*value),
            Owned::Double(value) => Key::Double(*value),
            Owned::Str(value) => Key::Str(value),
            Owned::Bytes(value) => Key::Bytes(value),
            Owned::Copied(value) => Key::Bytes(value),
        }
    }
}
