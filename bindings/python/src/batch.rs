//! Many keys at once: sequences of any keys, or NumPy arrays of integers
//! without a copy.

use numpy::{PyArray1, PyArrayMethods, PyReadonlyArray1, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyInt, PyString};
use tendmap::map::Slot;
use tendmap::route::{InSet, Key, Keys, Policy};
use tendmap_bindings::NO_NODE as NONE;

use crate::client::Client;
use crate::errors::raise;
use crate::keys::with_key;
use crate::lent::Lent;

/// The index of no node.
pub const NO_NODE: u16 = NONE;

/// Batches of fewer keys keep the interpreter's lock: letting it go and getting
/// it back would cost more than they do.
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
    // Also for short ones a router of its own: reading keys may run code that
    // lets other threads in.
    let mut lent = client.take_router(py)?;
    let result = (|| {
        let policy = lent.policy(policy)?;
        lent.set(set)?;
        match as_array(keys)? {
            Some(keys) => {
                let out = checked_out(py, out, keys.len())?;
                array(py, &mut lent, namespace, keys, policy, &out)?;
                Ok(out.into_any())
            }
            None if out.is_some() => {
                Err(PyTypeError::new_err("out is for keys in a NumPy array; these are not in one"))
            }
            None => sequence(client, py, &mut lent, namespace, keys, policy),
        }
    })();
    client.give_back(py, lent);
    result
}

/// The array that `keys` is, if it is one. NumPy is looked for only where it
/// was imported: it need not be installed.
fn as_array<'a, 'py>(
    keys: &'a Bound<'py, PyAny>,
) -> PyResult<Option<&'a Bound<'py, PyUntypedArray>>> {
    let modules = keys.py().import("sys")?.getattr("modules")?;
    if !modules.contains("numpy")? {
        return Ok(None);
    }
    Ok(keys.cast::<PyUntypedArray>().ok())
}

/// Where the indexes go: what the caller gave, if it fits, or a new array.
fn checked_out<'py>(
    py: Python<'py>,
    out: Option<Bound<'py, PyAny>>,
    len: usize,
) -> PyResult<Bound<'py, PyArray1<u16>>> {
    let Some(out) = out else { return Ok(PyArray1::zeros(py, len, false)) };
    let wanted = "wanted a contiguous NumPy array of uint16 of one dimension";
    let Ok(out) = out.cast_into::<PyArray1<u16>>() else {
        return Err(PyTypeError::new_err(format!("out is none: {wanted}")));
    };
    if !out.is_contiguous() {
        return Err(PyTypeError::new_err(format!("out is not contiguous; {wanted}")));
    }
    if out.len() != len {
        let found = out.len();
        return Err(PyValueError::new_err(format!("out of {found} indexes for {len} keys")));
    }
    Ok(out)
}

/// Routes an array: of 64 or 32 bits where it lies, any other by a copy.
fn array<'py>(
    py: Python<'py>,
    lent: &mut Lent,
    namespace: &Bound<'py, PyAny>,
    keys: &Bound<'py, PyUntypedArray>,
    policy: Policy,
    out: &Bound<'py, PyArray1<u16>>,
) -> PyResult<()> {
    if keys.ndim() != 1 {
        let found = keys.ndim();
        return Err(PyTypeError::new_err(format!(
            "keys of {found} dimensions; wanted one dimension"
        )));
    }
    let handle = lent.namespace(namespace)?;
    let mut out = out
        .try_readwrite()
        .map_err(|error| PyTypeError::new_err(format!("out can't be written: {error}")))?;
    let out = out.as_slice_mut()?;
    macro_rules! in_place {
        ($($type:ty),*) => {$(
            if let Ok(keys) = keys.cast::<PyArray1<$type>>() {
                let keys = keys.readonly();
                if let Ok(keys) = keys.as_slice() {
                    return many(py, lent, handle, keys, policy, out);
                }
            }
        )*};
    }
    in_place!(i64, i32, u32);
    let copied = copied(keys)?;
    many(py, lent, handle, copied.as_slice()?, policy, out)
}

/// A contiguous copy as 64-bit integers, where that loses nothing.
fn copied<'py>(keys: &Bound<'py, PyUntypedArray>) -> PyResult<PyReadonlyArray1<'py, i64>> {
    let py = keys.py();
    let options = pyo3::types::PyDict::new(py);
    options.set_item("casting", "safe")?;
    options.set_item("order", "C")?;
    let copied = keys.call_method("astype", ("int64",), Some(&options)).map_err(|_| {
        let found = keys.dtype().to_string();
        PyTypeError::new_err(format!("keys of type {found}; wanted integers that int64 can hold"))
    })?;
    Ok(copied.cast_into::<PyArray1<i64>>()?.readonly())
}

fn many<K>(
    py: Python<'_>,
    lent: &mut Lent,
    handle: tendmap::route::NamespaceHandle,
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
    if keys.is_instance_of::<PyString>() || keys.is_instance_of::<pyo3::types::PyBytes>() {
        return Err(wrong_keys(keys));
    }
    let keys: Vec<Bound<'py, PyAny>> = match keys.try_iter() {
        Ok(items) => items.collect::<PyResult<_>>()?,
        Err(_) => return Err(wrong_keys(keys)),
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
    let kind = keys.get_type().name().map_or_else(|_| "?".into(), |name| name.to_string());
    PyTypeError::new_err(format!("keys of type {kind}; wanted a sequence of keys or a NumPy array"))
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
                return Ok(Owned::Str(text.to_str()?));
            }
            if let Ok(bytes) = key.cast::<pyo3::types::PyBytes>() {
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
