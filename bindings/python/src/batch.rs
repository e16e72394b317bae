//! Many keys at once: sequences of any keys, or columns.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyFloat, PyInt, PyString};
use tendmap::map::Slot;
use tendmap::route::{InSet, Key, Keys, NamespaceHandle, Policy};
use tendmap_bindings::NO_NODE as NONE;

use crate::arrays::{Held, Out, as_array, held, refuse_overlap};
use crate::buffers::of_buffer;
use crate::columns::{Column, blobs, null, of_arrow, texts};
use crate::ending::Call;
use crate::errors::{raise, utf8, wrong_type};
use crate::keys::{kind_of, with_key};
use crate::lent::Lent;
use crate::routes::Routes;

/// The index that means "no node".
pub const NO_NODE: u16 = NONE;

/// Batches of fewer keys keep the interpreter's lock: releasing it and
/// taking it again would cost more than the batch.
const FEW: usize = 256;

pub fn route_batch<'py>(
    routes: &Routes,
    py: Python<'py>,
    namespace: &Bound<'py, PyAny>,
    set: &Bound<'py, PyAny>,
    keys: &Bound<'py, PyAny>,
    policy: Option<&Bound<'py, PyAny>>,
    out: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let _call = Call::begin(py);
    // A separate router also for short batches, because reading keys may run code
    // that lets other threads run.
    let mut lent = routes.take_router(py)?;
    let result = (|| {
        let policy = lent.policy(policy)?;
        lent.set(set)?;
        let Some(found) = columnar(keys, out.as_ref())? else {
            if out.is_some() {
                let text = "out is for keys in a column, such as a NumPy array; these are not in \
                            one";
                return Err(wrong_type(py, text));
            }
            return sequence(routes, py, &mut lent, namespace, keys, policy);
        };
        // Now: reading the keys may have run code.
        let handle = lent.namespace(namespace)?;
        let len = match &found {
            Held::Column(column) => column.len(),
            Held::Objects(list) => list.len(),
        };
        let out = match out {
            Some(out) => Out::given(out, len)?,
            None => Out::new(py, len)?,
        };
        match &found {
            Held::Column(column) => route_column(py, &mut lent, handle, column, policy)?,
            Held::Objects(list) => {
                let items: Vec<_> = list.iter().collect();
                let owned = of_objects(py, &items)?;
                route_keys(py, &mut lent, handle, &read(&owned), policy)?;
            }
        }
        // Other threads may have changed it meanwhile.
        let out = match out {
            Out::Array(array) => Out::given(array.into_any(), len)?,
            Out::Buffer(object) => Out::given(object, len)?,
        };
        let (_, batch, _) = lent.for_batch();
        out.fill(py, batch)?;
        out.into_object(py)
    })();
    routes.give_back(py, lent);
    result
}

/// The keys of a column; `None` if it is none.
fn columnar<'py>(
    keys: &Bound<'py, PyAny>,
    out: Option<&Bound<'py, PyAny>>,
) -> PyResult<Option<Held<'py>>> {
    if let Some(array) = as_array(keys)? {
        if let Some(out) = out {
            refuse_overlap(array, out)?;
        }
        return held(array).map(Some);
    }
    if let Some(column) = of_arrow(keys)? {
        return Ok(Some(Held::Column(column)));
    }
    if let Some(column) = of_buffer(keys)? {
        return Ok(Some(Held::Column(column)));
    }
    // What NumPy can read, such as an index of pandas; but no scalar.
    if keys.get_type().hasattr("__array__")? && keys.hasattr("__len__")? {
        let array = keys.py().import("numpy")?.call_method1("asarray", (keys,))?;
        if let Some(array) = as_array(&array)? {
            return held(array).map(Some);
        }
    }
    Ok(None)
}

fn route_column(
    py: Python<'_>,
    lent: &mut Lent,
    handle: NamespaceHandle,
    column: &Column,
    policy: Policy,
) -> PyResult<()> {
    match column {
        Column::I64(keys) => route_keys(py, lent, handle, keys, policy),
        Column::I32(keys) => route_keys(py, lent, handle, keys, policy),
        Column::U32(keys) => route_keys(py, lent, handle, keys, policy),
        Column::F64(keys) => route_keys(py, lent, handle, keys, policy),
        Column::Arrow(chunks, true) => route_keys(py, lent, handle, &texts(chunks), policy),
        Column::Arrow(chunks, false) => route_keys(py, lent, handle, &blobs(chunks), policy),
        Column::Texts(whole, ends) => {
            let starts = std::iter::once(&0).chain(ends);
            let keys: Vec<&str> =
                starts.zip(ends).map(|(&start, &end)| &whole[start..end]).collect();
            route_keys(py, lent, handle, &keys, policy)
        }
        Column::Bytes(whole, ends) => {
            let starts = std::iter::once(&0).chain(ends);
            let keys: Vec<&[u8]> =
                starts.zip(ends).map(|(&start, &end)| &whole[start..end]).collect();
            route_keys(py, lent, handle, &keys, policy)
        }
    }
}

/// Routes keys; the result is in the batch.
fn route_keys<K>(
    py: Python<'_>,
    lent: &mut Lent,
    handle: NamespaceHandle,
    keys: &[K],
    policy: Policy,
) -> PyResult<()>
where
    K: Sync,
    for<'a> InSet<'a, K>: Keys,
{
    let (router, batch, set) = lent.for_batch();
    let mut work = || router.route_batch(handle, &InSet::new(set, keys), policy, batch);
    let result = if keys.len() < FEW { work() } else { py.detach(work) };
    result.map_err(|error: tendmap::route::RouteError| raise(py, error))
}

/// Routes a sequence of keys of any kind, to objects of nodes.
fn sequence<'py>(
    routes: &Routes,
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
    // Reading the keys may have run code: what is resolved now is used now.
    let handle = lent.namespace(namespace)?;
    route_keys(py, lent, handle, &read(&owned), policy)?;
    let mut indexes = vec![NO_NODE; owned.len()];
    tendmap_bindings::indexes(lent.for_batch().1, &mut indexes);
    let mut nodes: Vec<Option<Py<crate::node::Node>>> = Vec::with_capacity(indexes.len());
    for index in indexes {
        nodes.push(match Slot::new(index.into()) {
            Some(slot) => routes.node_in(py, lent, slot)?,
            None => None,
        });
    }
    Ok(nodes.into_pyobject(py)?.into_any())
}

#[cold]
fn wrong_keys(keys: &Bound<'_, PyAny>) -> PyErr {
    let kind = kind_of(keys);
    let text =
        format!("keys of type {kind}; wanted several keys, or a column such as a NumPy array");
    wrong_type(keys.py(), text)
}

/// The keys of a column of objects, in which nothing and "not a number" are nulls.
fn of_objects<'a>(py: Python<'_>, items: &'a [Bound<'_, PyAny>]) -> PyResult<Vec<Owned<'a>>> {
    let mut keys = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let is_nan = || item.cast::<PyFloat>().is_ok_and(|number| number.value().is_nan());
        if item.is_none() || is_nan() || matches!(kind_if_odd(item).as_deref(), Some("NAType")) {
            return Err(null(py, index));
        }
        keys.push(Owned::of(item)?);
    }
    Ok(keys)
}

/// The name of a type that is not one of the usual ones.
fn kind_if_odd(item: &Bound<'_, PyAny>) -> Option<String> {
    let usual = item.is_instance_of::<PyString>()
        || item.is_instance_of::<PyInt>()
        || item.is_instance_of::<PyBytes>()
        || item.is_instance_of::<PyFloat>();
    (!usual).then(|| kind_of(item))
}

fn read<'a>(owned: &'a [Owned<'_>]) -> Vec<Key<'a>> {
    owned.iter().map(Owned::key).collect()
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
                return Ok(Owned::Str(utf8("key", text)?));
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
