//! tendmap for Python: a thin layer over the Rust library. The documentation for
//! Python users is also in `python/tendmap/_tendmap.pyi`.

mod arguments;
mod arrays;
mod batch;
mod bench;
mod buffers;
mod changes;
mod client;
mod columns;
mod command;
mod connection;
mod ending;
mod errors;
mod interrupt;
mod json;
mod keys;
mod lent;
mod log;
mod lookup;
mod node;
mod nodes;
mod pending;
mod pool;
mod reader;
mod routes;
mod settings;
mod sim;
mod source;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};
use tendmap::client::Status;
use tendmap_bindings::Failure;

/// Passwords pass through the memory of texts and of TLS.
#[global_allocator]
static WIPING: tendmap::WipingAllocator = tendmap::internals::layout::WipingAllocator;

/// The RIPEMD-160 digest of a key in a set (None = in none): 20 bytes.
#[pyfunction]
fn digest<'py>(
    py: Python<'py>,
    set: Option<&Bound<'py, PyAny>>,
    key: &Bound<'py, PyAny>,
) -> PyResult<Bound<'py, PyBytes>> {
    let set = match set {
        Some(set) => errors::without_zero(py, "set", arguments::text("set", set)?)?,
        None => "",
    };
    let digest = keys::digest(set, key)?;
    Ok(PyBytes::new(py, digest.as_bytes()))
}

/// The state of a segment and its owner, read without attaching: no thread, no
/// connection, and this process never becomes owner. For monitoring.
///
/// Raises SegmentError if there is no such segment.
#[pyfunction]
#[pyo3(
    signature = (**settings),
    text_signature = "(*, shm_key='0xA7000000', shm_backend='file', shm_directory='/dev/shm', \
        shm_owner=None)"
)]
fn status<'py>(
    py: Python<'py>,
    settings: Option<Bound<'py, PyDict>>,
) -> PyResult<Bound<'py, PyAny>> {
    let settings = settings.unwrap_or_else(|| PyDict::new(py));
    // No host is ever asked.
    let hosts = PyString::new(py, "localhost");
    let config = settings::Settings::read(&hosts, &settings)?.config(py)?;
    let found = py.detach(|| Status::look(&config.place()).map_err(Failure::from));
    let found = found.map_err(|failure| errors::raise(py, failure))?;
    json::loads(py, &found.to_json_value())
}

/// One event of every kind, for the test of their types.
#[pyfunction]
fn _one_event_of_each(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
    json::loads(py, &tendmap_bindings::one_event_of_each().into())
}

// A free-threaded interpreter switches its lock on when it imports this: a fork in another
// thread must never find one of the locks in here taken.
#[pymodule(gil_used = true)]
fn _tendmap(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<client::Client>()?;
    module.add_class::<reader::Reader>()?;
    module.add_class::<changes::Changes>()?;
    module.add_class::<pending::_Pending>()?;
    module.add_class::<node::Node>()?;
    module.add_class::<node::Route>()?;
    module.add_class::<sim::SimulatedCluster>()?;
    module.add_function(wrap_pyfunction!(digest, module)?)?;
    module.add_function(wrap_pyfunction!(status, module)?)?;
    module.add_function(wrap_pyfunction!(command::_main, module)?)?;
    module.add_function(wrap_pyfunction!(ending::_end, module)?)?;
    module.add_function(wrap_pyfunction!(log::_log, module)?)?;
    module.add_function(wrap_pyfunction!(log::_take_log, module)?)?;
    module.add_function(wrap_pyfunction!(bench::_digests, module)?)?;
    module.add_function(wrap_pyfunction!(_one_event_of_each, module)?)?;
    module.add_function(wrap_pyfunction!(bench::_batch, module)?)?;
    module.add_class::<bench::_Empty>()?;
    module.add("NO_NODE", batch::NO_NODE)?;
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    Ok(())
}
