//! Nodes and routes as Python objects.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use tendmap::map::{Build, Node as Known, Slot};

/// A node of the cluster.
///
/// A process has one object for each node, while the node and its address are
/// the same and the client is open. So `state`, or a weak dictionary of nodes,
/// can hold data for a node, for example a connection pool. In a forked child
/// the objects are new and their `state` is None.
#[pyclass(frozen, weakref, module = "tendmap")]
pub struct Node {
    /// The node's index in the arrays of `Client.route_batch`.
    #[pyo3(get)]
    pub index: u16,
    /// How many times a node got this index.
    #[pyo3(get)]
    incarnation: u32,
    /// The node id.
    #[pyo3(get)]
    name: String,
    address: SocketAddr,
    /// The name on its TLS certificate.
    #[pyo3(get)]
    tls_name: Option<String>,
    build: Mutex<Option<Build>>,
    state: Mutex<Option<Py<PyAny>>>,
}

#[pymethods]
impl Node {
    /// Its IP address.
    #[getter]
    fn host(&self) -> String {
        match self.address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            address => address.ip().to_string(),
        }
    }

    /// Its port.
    #[getter]
    fn port(&self) -> u16 {
        self.address.port()
    }

    /// IP address and port: "10.0.0.1:3000", "[::1]:3000".
    #[getter]
    fn address(&self) -> String {
        self.address.to_string()
    }

    /// The build of its server, such as "8.1.2.0", as `Client.nodes` or
    /// `Client.locate` found it last; None if it is not known. A node that is
    /// upgraded stays the same object.
    #[getter]
    fn build(&self) -> Option<String> {
        let build = *self.build.lock().unwrap_or_else(PoisonError::into_inner);
        build.map(|build| build.to_string())
    }

    /// Any object of the application; None at first.
    #[getter]
    fn state(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.as_ref().map(|state| state.clone_ref(py))
    }

    #[setter]
    fn set_state(&self, state: Option<Py<PyAny>>) {
        let mut place = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let former = std::mem::replace(&mut *place, state);
        // Dropping may run code that reads `state`.
        drop(place);
        drop(former);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        match self.state.try_lock() {
            Ok(state) => visit.call(&*state),
            Err(_) => Ok(()),
        }
    }

    fn __clear__(&self) {
        self.set_state(None);
    }

    /// It is never pickled or copied.
    fn __reduce_ex__(&self, py: Python<'_>, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(crate::errors::not_pickled(py, "Node"))
    }

    fn __repr__(&self) -> String {
        format!("<tendmap.Node {} at {}>", self.name, self.address)
    }
}

impl Node {
    /// The object of the node in a slot.
    pub fn new(slot: Slot, incarnation: u32, node: &Known) -> Node {
        Node {
            index: slot.index() as u16,
            incarnation,
            name: node.id.to_string(),
            address: node.address,
            tls_name: node.tls_name.map(|name| name.to_string()),
            build: Mutex::new(node.build),
            state: Mutex::new(None),
        }
    }

    /// The server of the node has another build now.
    pub fn set_build(&self, build: Option<Build>) {
        *self.build.lock().unwrap_or_else(PoisonError::into_inner) = build;
    }
}

/// The route of a key, as `Client.locate` returns it.
#[pyclass(frozen, module = "tendmap")]
pub struct Route {
    /// The node.
    #[pyo3(get)]
    pub node: Py<Node>,
    /// The namespace's name.
    #[pyo3(get)]
    pub namespace: Py<PyAny>,
    /// The partition.
    #[pyo3(get)]
    pub partition: usize,
    /// The replica's number; 0 = the master.
    #[pyo3(get)]
    pub replica: usize,
    /// The publication that it was read from.
    #[pyo3(get)]
    pub sequence: u64,
    pub policy: tendmap::route::Policy,
}

#[pymethods]
impl Route {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.node)?;
        visit.call(&self.namespace)
    }

    /// It is never pickled or copied.
    fn __reduce_ex__(&self, py: Python<'_>, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(crate::errors::not_pickled(py, "Route"))
    }

    fn __repr__(&self) -> String {
        let Node { name, address, .. } = self.node.get();
        let (partition, replica) = (self.partition, self.replica);
        format!("<tendmap.Route partition {partition}, replica {replica}: {name} at {address}>")
    }
}
