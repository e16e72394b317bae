//! The client.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use pyo3::exceptions::PyValueError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use tendmap::client::{Client as Known, Config};
use tendmap::map::Slot;
use tendmap::route::{Attempt, Digest, NamespaceHandle, Partition, Policy, Target};
use tendmap_bindings::{Failure, Kind, Session};

use crate::connection::Connection;
use crate::errors::{closed, raise};
use crate::interrupt::LOOK_FOR_SIGNALS;
use crate::keys::digest;
use crate::lent::Lent;
use crate::node::{Node, Route};
use crate::nodes::Nodes;
use crate::pool::Pool;
use crate::settings::{self, Settings};

/// A process's connection to a cluster's map.
#[pyclass(frozen, weakref, module = "tendmap")]
pub struct Client {
    settings: Mutex<Settings>,
    connection: Connection,
    pool: Pool,
    nodes: Nodes,
}

/// When a timeout in seconds from now on is over; `None` = never.
pub fn deadline(timeout: f64) -> PyResult<Option<Instant>> {
    if timeout.is_nan() || timeout < 0.0 {
        let text = format!("timeout is {timeout}; wanted seconds from 0 on");
        return Err(PyValueError::new_err(text));
    }
    // What no clock can tell is for ever.
    let timeout = Duration::try_from_secs_f64(timeout).ok();
    Ok(timeout.and_then(|timeout| Instant::now().checked_add(timeout)))
}

impl Client {
    /// This process's client.
    fn known(&self, py: Python<'_>) -> PyResult<Known> {
        self.connection.known(py)
    }

    /// Changes a setting of the running client, and for what is pickled.
    fn change(
        &self,
        py: Python<'_>,
        name: &str,
        value: &Bound<'_, PyAny>,
        f: impl FnOnce(&Session, Config) -> Result<(), Failure>,
    ) -> PyResult<()> {
        let text = settings::text(name, value)?;
        let mut read = self.connection.config.clone();
        tendmap_bindings::set(&mut read, name, &text).map_err(|failure| raise(py, failure))?;
        self.known(py)?;
        let session = self.connection.session(py)?;
        // The interpreter's lock is kept: no child is forked in the middle.
        f(&session, read).map_err(|failure| raise(py, failure))?;
        self.settings().change(name, text);
        Ok(())
    }

    /// Its lock is held for a moment only, with the interpreter's.
    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `f` with a router, with the interpreter's lock held.
    #[inline(always)]
    fn with_router<R>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&mut Lent) -> PyResult<R>,
    ) -> PyResult<R> {
        self.pool.with(py, || self.known(py), f)
    }

    /// A router that may be used without the interpreter's lock; to be given
    /// back.
    pub fn take_router(&self, py: Python<'_>) -> PyResult<Lent> {
        self.pool.take(|| self.known(py))
    }

    pub fn give_back(&self, py: Python<'_>, lent: Lent) {
        self.pool.give_back(py, lent);
    }

    /// The object of the node in a slot of the router's table.
    pub fn node_in(
        &self,
        py: Python<'_>,
        lent: &mut Lent,
        slot: Slot,
    ) -> PyResult<Option<Py<Node>>> {
        if let Some(Some(object)) = lent.router.state(slot) {
            return Ok(Some(object.clone_ref(py)));
        }
        let (Some(&node), Some(incarnation)) =
            (lent.router.node(slot), lent.router.incarnation(slot))
        else {
            return Ok(None);
        };
        let object = self.nodes.get(py, slot, incarnation, &node)?;
        if let Some(place) = lent.router.state(slot) {
            *place = Some(object.clone_ref(py));
        }
        Ok(Some(object))
    }

    #[inline(always)]
    fn node_of(
        &self,
        py: Python<'_>,
        lent: &mut Lent,
        namespace: NamespaceHandle,
        target: impl Target,
        policy: Policy,
    ) -> PyResult<Py<Node>> {
        let found = lent.router.route(namespace, target, policy);
        let mut route = found.map_err(|error| raise(py, error))?;
        if let Some(node) = route.state() {
            return Ok(node.clone_ref(py));
        }
        let object = self.nodes.get(py, route.slot(), route.incarnation(), route.node())?;
        *route.state() = Some(object.clone_ref(py));
        Ok(object)
    }

    fn located(
        &self,
        py: Python<'_>,
        lent: &mut Lent,
        name: &Bound<'_, PyAny>,
        target: impl Target,
        attempt: Attempt,
    ) -> PyResult<Route> {
        let namespace = lent.namespace(name)?;
        let found = lent.router.route_attempt(namespace, target, &attempt);
        let route = found.map_err(|error| raise(py, error))?;
        Ok(Route {
            node: self.nodes.get(py, route.slot(), route.incarnation(), route.node())?,
            namespace: name.clone().unbind(),
            partition: route.partition(),
            replica: route.replica(),
            sequence: route.sequence(),
            policy: attempt.policy(),
        })
    }
}

impl Drop for Client {
    /// As closing, so that other threads run while the ownership is handed over.
    fn drop(&mut self) {
        // Without an interpreter the fields do it as they are dropped.
        let _ = Python::try_attach(|py| self.close(py));
    }
}

#[pymethods]
impl Client {
    #[new]
    #[pyo3(signature = (hosts, *, lazy = false, **settings))]
    fn new(
        py: Python<'_>,
        hosts: Bound<'_, PyAny>,
        lazy: bool,
        settings: Option<Bound<'_, PyDict>>,
    ) -> PyResult<Client> {
        let settings = settings.unwrap_or_else(|| PyDict::new(py));
        let settings = Settings::read(&hosts, &settings)?;
        let client = Client {
            connection: Connection::new(settings.config(py)?),
            settings: Mutex::new(settings),
            pool: Pool::new(),
            nodes: Nodes::new(),
        };
        if !lazy {
            client.connection.session(py)?;
        }
        Ok(client)
    }

    /// What a copy in another process is made of; it connects at its first use.
    fn __getnewargs_ex__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let settings = self.settings().clone();
        let arguments = settings.arguments(py)?;
        arguments.set_item("lazy", true)?;
        Ok((PyTuple::new(py, [&settings.hosts])?, arguments))
    }

    fn connect(&self, py: Python<'_>) -> PyResult<()> {
        self.known(py).map(drop)
    }

    fn close(&self, py: Python<'_>) {
        self.pool.close(py);
        self.nodes.forget();
        self.connection.close(py);
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.pool.visit(&visit)?;
        self.nodes.visit(&visit)
    }

    fn __clear__(&self, py: Python<'_>) {
        self.pool.empty(py);
        self.nodes.forget();
    }

    #[getter]
    fn closed(&self) -> bool {
        self.connection.is_closed()
    }

    fn __enter__(this: Py<Client>) -> Py<Client> {
        this
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(&self, py: Python<'_>, _args: &Bound<'_, PyTuple>) {
        self.close(py);
    }

    #[getter]
    fn role(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(self.known(py)?.role().as_str())
    }

    #[pyo3(signature = (namespace, set, key, policy = None))]
    fn route(
        &self,
        py: Python<'_>,
        namespace: &Bound<'_, PyAny>,
        set: &Bound<'_, PyAny>,
        key: &Bound<'_, PyAny>,
        policy: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<Node>> {
        self.with_router(py, |lent| {
            let handle = lent.namespace(namespace)?;
            let policy = lent.policy(policy)?;
            lent.set(set)?;
            let digest = digest(lent.set_name(), key)?;
            self.node_of(py, lent, handle, digest, policy)
        })
    }

    #[pyo3(signature = (namespace, digest, policy = None))]
    fn route_digest(
        &self,
        py: Python<'_>,
        namespace: &Bound<'_, PyAny>,
        digest: &[u8],
        policy: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<Node>> {
        let Ok(bytes) = digest.try_into() else {
            let text = format!("digest of {} bytes; wanted {}", digest.len(), Digest::LEN);
            return Err(raise(py, Failure::new(Kind::Argument, text)));
        };
        self.with_router(py, |lent| {
            let handle = lent.namespace(namespace)?;
            let policy = lent.policy(policy)?;
            self.node_of(py, lent, handle, Digest::from_bytes(bytes), policy)
        })
    }

    #[pyo3(signature = (namespace, set, key, policy = None))]
    fn locate(
        &self,
        py: Python<'_>,
        namespace: &Bound<'_, PyAny>,
        set: &Bound<'_, PyAny>,
        key: &Bound<'_, PyAny>,
        policy: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Route> {
        self.with_router(py, |lent| {
            let policy = lent.policy(policy)?;
            lent.set(set)?;
            let partitions = lent.router.partitions();
            let partition = digest(lent.set_name(), key)?.partition(partitions);
            let attempt = lent.router.attempt(policy);
            self.located(py, lent, namespace, Partition(partition), attempt)
        })
    }

    fn retry(&self, py: Python<'_>, route: &Bound<'_, Route>) -> PyResult<Route> {
        let failed = route.get();
        let mut attempt = Attempt::new(failed.policy, failed.replica as u32 + 1);
        if let Some(slot) = Slot::new(failed.node.get().index.into()) {
            attempt.fail(failed.replica, slot);
        }
        self.with_router(py, |lent| {
            let namespace = failed.namespace.bind(py);
            self.located(py, lent, namespace, Partition(failed.partition), attempt)
        })
    }

    #[pyo3(signature = (namespace, set, keys, policy = None, *, out = None))]
    fn route_batch<'py>(
        &self,
        py: Python<'py>,
        namespace: &Bound<'py, PyAny>,
        set: &Bound<'py, PyAny>,
        keys: &Bound<'py, PyAny>,
        policy: Option<&Bound<'py, PyAny>>,
        out: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        crate::batch::route_batch(self, py, namespace, set, keys, policy, out)
    }

    fn nodes(&self, py: Python<'_>) -> PyResult<Vec<Py<Node>>> {
        let map = self.known(py)?.map().map_err(|error| raise(py, error))?.map;
        let table = &map.nodes;
        let object = |(slot, node)| self.nodes.get(py, slot, table.incarnation(slot), node);
        table.iter().map(object).collect()
    }

    fn namespaces(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let map = self.known(py)?.map().map_err(|error| raise(py, error))?.map;
        Ok(map.namespaces().iter().map(|namespace| namespace.name.to_string()).collect())
    }

    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let known = self.known(py)?;
        let status = py.detach(|| known.status()).map_err(|error| raise(py, error))?;
        crate::json::loads(py, &status.to_json())
    }

    fn events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.known(py)?;
        let session = self.connection.session(py)?;
        let events = session.events().map_err(|failure| raise(py, failure))?;
        crate::json::loads(py, &events.into())
    }

    fn set_preferred_racks(&self, py: Python<'_>, racks: &Bound<'_, PyAny>) -> PyResult<()> {
        self.change(py, "preferred_racks", racks, |session, config| {
            session.set_preferred_racks(&config.preferred_racks)
        })
    }

    fn set_tend_interval(&self, py: Python<'_>, interval: &Bound<'_, PyAny>) -> PyResult<()> {
        self.change(py, "tend_interval", interval, |session, config| {
            session.set_tend_interval(config.tend_interval)
        })
    }

    fn set_password(&self, py: Python<'_>, password: &Bound<'_, PyAny>) -> PyResult<()> {
        self.change(py, "password", password, |session, config| {
            session.set_password(config.password.unwrap_or_default())
        })
    }

    #[getter]
    fn sequence(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.known(py)?.segment().head().sequence())
    }

    #[pyo3(signature = (sequence, timeout = None))]
    fn wait_for_change(
        &self,
        py: Python<'_>,
        sequence: u64,
        timeout: Option<f64>,
    ) -> PyResult<u64> {
        let deadline = timeout.map(deadline).transpose()?.flatten();
        let known = self.known(py)?;
        loop {
            let left = deadline.map_or(LOOK_FOR_SIGNALS, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            let stretch = left.min(LOOK_FOR_SIGNALS);
            let now = py.detach(|| known.wait_for_change(sequence, stretch));
            if now != sequence || left.is_zero() {
                return Ok(now);
            }
            py.check_signals()?;
            if self.closed() {
                return Err(closed(py));
            }
        }
    }

    fn __repr__(&self) -> String {
        let Config { use_shm, shm_key, .. } = &self.connection.config;
        let place = if *use_shm { format!("shm_key={shm_key:#010x}") } else { "private".into() };
        let closed = if self.closed() { ", closed" } else { "" };
        format!("<tendmap.Client {}, {place}{closed}>", self.settings().hosts)
    }
}
