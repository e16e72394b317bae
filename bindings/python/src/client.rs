//! The client.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use atomic_refcell::AtomicRefCell;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use sync_wrapper::SyncWrapper;
use tendmap::client::{Client as Known, Config};
use tendmap::layout::Lineage;
use tendmap::map::Slot;
use tendmap::route::{Attempt, Digest, NamespaceHandle, Partition, Policy, Target};
use tendmap_bindings::{Failure, Kind, Session};

use crate::errors::{closed, raise};
use crate::keys::digest;
use crate::node::{Node, Nodes, Route};
use crate::routers::Lent;
use crate::settings;

/// How often a waiting thread looks whether a signal has come.
const LOOK_FOR_SIGNALS: Duration = Duration::from_millis(100);

enum State {
    /// Not connected yet.
    Lazy,
    Connected(Arc<Session>),
    Closed,
}

/// A process's connection to a cluster's map.
///
/// The locks here are held for a moment only, by threads that hold the
/// interpreter's lock, which also `os.fork` needs: a child never finds one
/// taken. Where that can't be relied on, they are only tried, and a new router
/// is made if one is taken.
#[pyclass(frozen, weakref, module = "tendmap")]
pub struct Client {
    hosts: Py<PyAny>,
    settings: Py<PyDict>,
    config: Config,
    state: Mutex<State>,
    /// For calls that keep the interpreter's lock.
    hot: AtomicRefCell<SyncWrapper<Option<Lent>>>,
    /// For calls that let it go.
    spare: Mutex<Vec<Lent>>,
    nodes: Mutex<(Option<Lineage>, Nodes)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Client {
    fn session(&self, py: Python<'_>) -> PyResult<Arc<Session>> {
        match &*lock(&self.state) {
            State::Connected(session) => return Ok(session.clone()),
            State::Closed => return Err(closed(py)),
            State::Lazy => {}
        }
        let config = self.config.clone();
        let made = py.detach(|| Session::connect(config)).map_err(|failure| raise(py, failure))?;
        let made = Arc::new(made);
        let mut state = lock(&self.state);
        match &*state {
            // Another thread was faster: the two share one attachment.
            State::Connected(session) => Ok(session.clone()),
            State::Closed => Err(closed(py)),
            State::Lazy => {
                *state = State::Connected(made.clone());
                Ok(made)
            }
        }
    }

    /// This process's client.
    fn known(&self, py: Python<'_>) -> PyResult<Known> {
        let session = self.session(py)?;
        py.detach(|| session.client()).map_err(|failure| raise(py, failure))
    }

    /// Changes a setting of the running client, and for what is pickled.
    fn change(
        &self,
        py: Python<'_>,
        name: &str,
        value: &Bound<'_, PyAny>,
        f: impl FnOnce(&Session, Config) -> Result<(), Failure>,
    ) -> PyResult<()> {
        let mut read = self.config.clone();
        settings::set_one(&mut read, name, value)?;
        // What an iterator gave is not there a second time.
        let kept = match name {
            "preferred_racks" => read.preferred_racks.clone().into_pyobject(py)?.into_any(),
            _ => value.clone(),
        };
        self.known(py)?;
        let session = self.session(py)?;
        // The interpreter's lock is kept: no child is forked in the middle.
        f(&session, read).map_err(|failure| raise(py, failure))?;
        self.settings.bind(py).set_item(name, kept)
    }

    /// Runs `f` with a router, with the interpreter's lock held.
    #[inline(always)]
    pub fn with_router<R>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&mut Lent) -> PyResult<R>,
    ) -> PyResult<R> {
        if let Ok(mut hot) = self.hot.try_borrow_mut() {
            match hot.get_mut() {
                Some(lent) if lent.is_own() => return f(lent),
                _ => {}
            }
        }
        self.with_another(py, f)
    }

    #[cold]
    fn with_another<R>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&mut Lent) -> PyResult<R>,
    ) -> PyResult<R> {
        let mut lent = self.take_spare(py)?;
        let result = f(&mut lent);
        let former = match self.hot.try_borrow_mut() {
            Ok(mut hot) => match hot.get_mut() {
                Some(own) if own.is_own() => Some(lent),
                place => place.replace(lent),
            },
            Err(_) => Some(lent),
        };
        if let Some(former) = former {
            self.give_back(former);
        }
        result
    }

    /// A router that may be used without the interpreter's lock.
    pub fn take_spare(&self, py: Python<'_>) -> PyResult<Lent> {
        loop {
            let spare = self.spare.try_lock().ok().and_then(|mut spare| spare.pop());
            match spare {
                Some(lent) if lent.is_own() => return Ok(lent),
                Some(inherited) => drop(inherited),
                None => return Ok(Lent::new(self.known(py)?)),
            }
        }
    }

    pub fn give_back(&self, lent: Lent) {
        if lent.is_own() && matches!(*lock(&self.state), State::Connected(_)) {
            if let Ok(mut spare) = self.spare.try_lock() {
                spare.push(lent);
            }
        }
    }

    /// The object of a node, the same for all threads of this process.
    pub fn node_object(
        &self,
        py: Python<'_>,
        slot: Slot,
        incarnation: u32,
        node: &tendmap::map::Node,
    ) -> PyResult<Py<Node>> {
        let mut nodes = lock(&self.nodes);
        let here = Some(Lineage::current());
        if nodes.0 != here {
            // What hangs on the parent's nodes is the parent's.
            let inherited = std::mem::take(&mut nodes.1);
            nodes.0 = here;
            drop(nodes);
            drop(inherited);
            nodes = lock(&self.nodes);
        }
        nodes.1.get(py, slot, incarnation, node)
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
        let object = self.node_object(py, slot, incarnation, &node)?;
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
        let object = self.node_object(py, route.slot(), route.incarnation(), route.node())?;
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
            node: self.node_object(py, route.slot(), route.incarnation(), route.node())?,
            namespace: name.clone().unbind(),
            partition: route.partition(),
            replica: route.replica(),
            sequence: route.sequence(),
            policy: attempt.policy(),
        })
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
        let client = Client {
            config: settings::config(&hosts, &settings)?,
            hosts: hosts.unbind(),
            settings: settings.unbind(),
            state: Mutex::new(State::Lazy),
            hot: AtomicRefCell::new(SyncWrapper::new(None)),
            spare: Mutex::new(Vec::new()),
            nodes: Mutex::new((None, Nodes::default())),
        };
        if !lazy {
            client.session(py)?;
        }
        Ok(client)
    }

    /// What a copy in another process is made of; it connects at its first use.
    fn __getnewargs_ex__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let settings = self.settings.bind(py).copy()?;
        settings.set_item("lazy", true)?;
        Ok((PyTuple::new(py, [self.hosts.bind(py)])?, settings))
    }

    fn connect(&self, py: Python<'_>) -> PyResult<()> {
        self.known(py).map(drop)
    }

    fn close(&self, py: Python<'_>) {
        let former = std::mem::replace(&mut *lock(&self.state), State::Closed);
        let hot = self.hot.try_borrow_mut().ok().and_then(|mut hot| hot.get_mut().take());
        let spare = self.spare.try_lock().map(|mut spare| std::mem::take(&mut *spare));
        drop((hot, spare));
        // The last handle waits for the thread to hand the ownership over.
        py.detach(|| drop(former));
    }

    #[getter]
    fn closed(&self) -> bool {
        matches!(*lock(&self.state), State::Closed)
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
        let object = |(slot, node)| self.node_object(py, slot, table.incarnation(slot), node);
        table.iter().map(object).collect()
    }

    fn namespaces(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let map = self.known(py)?.map().map_err(|error| raise(py, error))?.map;
        Ok(map.namespaces().iter().map(|namespace| namespace.name.to_string()).collect())
    }

    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let known = self.known(py)?;
        let status = py.detach(|| known.status()).map_err(|error| raise(py, error))?;
        py.import("json")?.call_method1("loads", (status.to_json().to_string(),))
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
        let deadline = match timeout {
            None => None,
            Some(seconds) => {
                let timeout = Duration::try_from_secs_f64(seconds).map_err(|_| {
                    PyValueError::new_err(format!("timeout is {seconds}; wanted seconds from 0 on"))
                })?;
                Instant::now().checked_add(timeout)
            }
        };
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

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let Config { use_shm, shm_key, .. } = &self.config;
        let hosts = self.hosts.bind(py).repr()?;
        let place = if *use_shm { format!("shm_key={shm_key:#010x}") } else { "private".into() };
        Ok(format!("<tendmap.Client {hosts}, {place}>"))
    }
}
