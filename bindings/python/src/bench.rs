//! Baselines for benchmarks, inside the same extension.

use std::hint::black_box;

use numpy::{PyArray1, PyArrayMethods};
use pyo3::prelude::*;
use tendmap::route::{Digest, InSet, Policy};

use crate::client::Client;

/// A class whose methods do nothing: the floor of a call from Python.
#[pyclass(frozen)]
pub struct _Empty;

#[pymethods]
impl _Empty {
    #[new]
    fn new() -> _Empty {
        _Empty
    }

    /// Takes nothing and returns nothing.
    fn nothing(&self) {}

    /// Takes the arguments of `Client.route`, and returns nothing.
    #[pyo3(signature = (namespace, set, key, policy = None))]
    fn route(
        &self,
        namespace: &Bound<'_, PyAny>,
        set: &Bound<'_, PyAny>,
        key: &Bound<'_, PyAny>,
        policy: Option<&Bound<'_, PyAny>>,
    ) {
        let _ = (namespace, set, key, policy);
    }
}

/// Digests of `count` integer keys, one after the other, as in single calls.
#[pyfunction]
pub fn _digests(py: Python<'_>, set: &str, count: i64) {
    py.detach(|| {
        let mut key = 0;
        for _ in 0..count {
            let digest = Digest::of(black_box(set), key);
            key = i64::from(digest.as_bytes()[Digest::LEN - 1]);
        }
        black_box(key);
    });
}

/// The batch of these keys in Rust alone, without indexes for Python.
#[pyfunction]
pub fn _batch(
    py: Python<'_>,
    client: &Bound<'_, Client>,
    namespace: &Bound<'_, PyAny>,
    set: &Bound<'_, PyAny>,
    keys: &Bound<'_, PyArray1<i64>>,
) -> PyResult<()> {
    let mut lent = client.get().routes.take_router(py)?;
    let handle = lent.namespace(namespace)?;
    lent.set(set)?;
    let keys = keys.readonly();
    let keys = keys.as_slice()?;
    let (router, batch, set) = lent.for_batch();
    let result =
        py.detach(|| router.route_batch(handle, &InSet::new(set, keys), Policy::Sequence, batch));
    client.get().routes.give_back(py, lent);
    result.map_err(|error| crate::errors::raise(py, error))
}
