//! The client.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyTuple};
use tendmap::client::{Client as Known, Config};
use tendmap::map::Slot;
use tendmap::route::{Attempt, Digest, Partition};
use tendmap_bindings::{Failure, Kind, Session};

use crate::arguments::{deadline, flag, number};
use crate::connection::Connection;
use crate::errors::{closed, raise, wrong_type};
use crate::interrupt::LOOK_FOR_SIGNALS;
use crate::keys::{digest, kind_of};
use crate::node::{Node, Route};
use crate::nodes::Nodes;
use crate::pool::Pool;
use crate::settings::{self, Settings};

/// A process's connection to a cluster's map.
///
/// Any thread may use it. It may be created before `os.fork` and used after it:
/// the first call in a child starts the child's own part, without touching its
/// parent's. Pickled or copied, it becomes a client with the same settings that
/// connects at its first use; with a password that raises ArgumentTypeError.
///
/// Connects: attaches to the segment of `shm_key`, or creates it and tends.
///
/// hosts: "NAME:PORT", several separated by commas, or a list of them or of
///     (NAME, PORT) or (NAME, PORT, TLS_NAME).
/// lazy: connect at the first use instead of now, for a client that is created
///     before workers are forked and that only they use.
///
/// The other arguments are the settings of the library. Durations are numbers of
/// seconds, text ("500ms", "2s") or timedeltas; shm_key is a number or its text
/// (0xA7000000 if not given), shm_mode mode bits (0o600). Invalid values raise
/// ConfigError, also with `lazy`; values of a wrong type ArgumentTypeError.
///
/// Raises ConnectError; then nothing is left behind. A signal (Ctrl-C) ends the
/// wait.
#[pyclass(frozen, weakref, module = "tendmap")]
pub struct Client {
    settings: Mutex<Settings>,
    pub connection: Connection,
    pub pool: Pool,
    pub nodes: Nodes,
}

// Python aligns its objects to 16 bytes.
const _: () = assert!(align_of::<Client>() <= 16);

impl Client {
    /// This process's client.
    pub fn known(&self, py: Python<'_>) -> PyResult<Known> {
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
        read.set(name, &text).map_err(|failure| raise(py, failure))?;
        self.known(py)?;
        let session = self.connection.session(py)?;
        // The interpreter's lock is kept: no child is forked in the middle.
        f(&session, read).map_err(|failure| raise(py, failure))?;
        self.settings().change(name, text);
        Ok(())
    }

    /// Its lock is held only for a moment, together with the interpreter's.
    fn settings(&self) -> MutexGuard<'_, Settings> {
        self.settings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The 20 bytes of a digest.
fn read_digest(digest: &Bound<'_, PyAny>) -> PyResult<Digest> {
    let py = digest.py();
    let read = |bytes: &[u8]| match bytes.try_into() {
        Ok(bytes) => Ok(Digest::from_bytes(bytes)),
        Err(_) => {
            let text = format!("digest of {} bytes; wanted {}", bytes.len(), Digest::LEN);
            Err(raise(py, Failure::new(Kind::Argument, text)))
        }
    };
    if let Ok(bytes) = digest.cast::<PyBytes>() {
        return read(bytes.as_bytes());
    }
    if let Ok(bytes) = digest.cast::<PyByteArray>() {
        return read(&bytes.to_vec());
    }
    Err(wrong_type(py, format!("digest of type {}; wanted bytes", kind_of(digest))))
}

impl Drop for Client {
    /// Closes, so that other threads run while the ownership is handed over.
    fn drop(&mut self) {
        // Without an interpreter the fields close it when they are dropped.
        let _ = Python::try_attach(|py| self.close(py));
    }
}

#[pymethods]
impl Client {
    #[new]
    #[pyo3(
        signature = (hosts = None, *others, lazy = None, **settings),
        text_signature = "(hosts, *, lazy=False, cluster_name=None, user=None, password=None, \
            auth_mode='INTERNAL', tls=None, tls_cafile=None, tls_certfile=None, \
            tls_keyfile=None, tls_for_login_only=False, use_services_alternate=False, \
            ip_map=None, use_shm=True, shm_key='0xA7000000', shm_max_nodes=16, \
            shm_max_namespaces=8, shm_max_replicas=3, shm_node_ceiling=4096, \
            shm_namespace_ceiling=256, shm_takeover_threshold=30, shm_backend='file', \
            shm_directory='/dev/shm', shm_mode='0600', shm_owner=None, \
            shm_allow_group_write=False, preferred_racks=(), \
            tend_interval=1, connect_timeout=1, c_client=None, c_client_max_nodes=16, \
            c_client_max_namespaces=8, c_client_mode='0666', c_client_on_exit='hold', \
            c_client_owner='pid')"
    )]
    fn new(
        py: Python<'_>,
        hosts: Option<Bound<'_, PyAny>>,
        others: Bound<'_, PyTuple>,
        lazy: Option<Bound<'_, PyAny>>,
        settings: Option<Bound<'_, PyDict>>,
    ) -> PyResult<Client> {
        if let Ok(second) = others.get_item(0) {
            let text = format!(
                "a second argument of type {}; wanted one, and settings by name: \
                 tendmap.Client(\"127.0.0.1:3000\", tend_interval=1, …)",
                kind_of(&second)
            );
            return Err(wrong_type(py, text));
        }
        let hosts = hosts.unwrap_or_else(|| py.None().into_bound(py));
        let lazy = lazy.map_or(Ok(false), |lazy| flag("lazy", &lazy))?;
        let settings = settings.unwrap_or_else(|| PyDict::new(py));
        let mut settings = Settings::read(&hosts, &settings)?;
        let connection = Connection::new(settings.config(py)?);
        settings.forget_password();
        let client = Client {
            connection,
            settings: Mutex::new(settings),
            pool: Pool::new(),
            nodes: Nodes::new(),
        };
        if !lazy {
            client.connection.session(py)?;
        }
        Ok(client)
    }

    /// The arguments for a copy in another process, which connects at its first use.
    fn __getnewargs_ex__<'py>(
        &self,
        py: Python<'py>,
    ) -> PyResult<(Bound<'py, PyTuple>, Bound<'py, PyDict>)> {
        let settings = self.settings().clone();
        let arguments = settings.arguments(py)?;
        arguments.set_item("lazy", true)?;
        Ok((PyTuple::new(py, [&settings.hosts])?, arguments))
    }

    /// Connects now, if `lazy` was given or this is a forked child. A signal
    /// (Ctrl-C) ends the wait.
    fn connect(&self, py: Python<'_>) -> PyResult<()> {
        self.known(py).map(drop)
    }

    /// Closes the client, and releases the nodes with their `state`. The last
    /// client of the process under its key hands the ownership over, and the
    /// last process removes the segment. Further calls raise ClosedError;
    /// closing again does nothing.
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

    /// Whether the client was closed.
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

    /// This process's current role.
    #[getter]
    fn role(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(self.known(py)?.role().as_str())
    }

    /// The node to ask for a key.
    ///
    /// policy: "master" = only the master; "sequence" = replicas in their
    ///     order, from the master; "any" = starting one replica further with
    ///     each call; "random" = starting at a random replica; "prefer_rack" = a
    ///     node in the first of the `preferred_racks` that has one, then in the
    ///     second, and so on, then any.
    ///
    /// Raises RouteError; NoNodeError if no node of the partition may be used.
    #[pyo3(
        signature = (namespace, set, key, policy = None),
        text_signature = "($self, namespace, set, key, policy='sequence')"
    )]
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

    /// As `route`, for a digest that was computed before.
    #[pyo3(
        signature = (namespace, digest, policy = None),
        text_signature = "($self, namespace, digest, policy='sequence')"
    )]
    fn route_digest(
        &self,
        py: Python<'_>,
        namespace: &Bound<'_, PyAny>,
        digest: &Bound<'_, PyAny>,
        policy: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<Node>> {
        let digest = read_digest(digest)?;
        self.with_router(py, |lent| {
            let handle = lent.namespace(namespace)?;
            let policy = lent.policy(policy)?;
            self.node_of(py, lent, handle, digest, policy)
        })
    }

    /// As `route`, with partition and replica, and for use with `retry`.
    #[pyo3(
        signature = (namespace, set, key, policy = None),
        text_signature = "($self, namespace, set, key, policy='sequence')"
    )]
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

    /// The next attempt after the node of `route` has failed a command,
    /// starting at the next replica. ("master" returns the master again;
    /// "prefer_rack" returns the failed node only if there is no other.)
    fn retry(&self, py: Python<'_>, route: &Bound<'_, PyAny>) -> PyResult<Route> {
        let Ok(route) = route.cast::<Route>() else {
            let found = kind_of(route);
            let text = format!("route of type {found}; wanted the tendmap.Route of locate()");
            return Err(wrong_type(py, text));
        };
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

    /// The nodes of many keys, all of one publication.
    ///
    /// For any iterable of keys: a list of nodes, None where a partition has
    /// none.
    ///
    /// For a NumPy array of integers (one dimension): an array of node indexes
    /// (`Node.index`), NO_NODE where a partition has none. `out` (uint16,
    /// contiguous, as long as `keys`) is filled and returned if it is given. It
    /// must not share memory with keys of 64 or 32 bits: then nothing is
    /// written and TypeError is raised. The interpreter's lock is released
    /// while many keys are routed. Both arrays may be changed or resized
    /// meanwhile, even with `refcheck=False`: the keys are those at the time of
    /// the call, and if `out` no longer fits when the indexes are written,
    /// ValueError or TypeError is raised.
    #[pyo3(
        signature = (namespace, set, keys, policy = None, *, out = None),
        text_signature = "($self, namespace, set, keys, policy='sequence', *, out=None)"
    )]
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

    /// The cluster's nodes, in the order of their indexes.
    fn nodes(&self, py: Python<'_>) -> PyResult<Vec<Py<Node>>> {
        let map = self.known(py)?.map().map_err(|error| raise(py, error))?.map;
        let table = &map.nodes;
        let object = |(slot, node)| self.nodes.get(py, slot, table.incarnation(slot), node);
        table.iter().map(object).collect()
    }

    /// The names of the cluster's namespaces.
    fn namespaces(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let map = self.known(py)?.map().map_err(|error| raise(py, error))?.map;
        Ok(map.namespaces().iter().map(|namespace| namespace.name.to_string()).collect())
    }

    /// The state of the segment and its owner.
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let known = self.known(py)?;
        let status = py.detach(|| known.status()).map_err(|error| raise(py, error))?;
        crate::json::loads(py, &status.to_json_value())
    }

    /// The events since the last call, the oldest first: nodes that joined,
    /// left or fail, takeovers, passes that fail or succeed again. It never
    /// waits; for a log, call it from time to time:
    ///
    ///     for event in client.events():
    ///         level = logging.getLevelName(event["level"].upper())
    ///         logger.log(level, "%s", event)
    ///
    /// Each has the fields of a line of `tendmap tend --json`, with its name as
    /// `event`, and also `level` ("debug", "info" or "warning") and `time`
    /// (seconds since 1970). The last 256 are kept; if there were more, the
    /// first is "events_lost" with their `count`. Clients of one process under
    /// one key share their events: the one that connected first has them. A
    /// forked child has its own, and none of its parent's.
    fn events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.known(py)?;
        let session = self.connection.session(py)?;
        let events = session.events().map_err(|failure| raise(py, failure))?;
        crate::json::loads(py, &events.into())
    }

    /// Asks the owner, whichever process that is, to tend soon: for callers
    /// that see connections to a node fail. The owner tends at the earliest a
    /// quarter of its interval after its last pass, whatever the number of
    /// requests. A request may be lost. The call does not wait;
    /// `wait_for_change` does.
    fn request_tend(&self, py: Python<'_>) -> PyResult<()> {
        self.known(py)?.request_tend();
        Ok(())
    }

    /// Changes the racks that "prefer_rack" prefers, the best first, from the
    /// next call; an empty list means none. Other clients have their own;
    /// children that are forked later start with these.
    fn set_preferred_racks(&self, py: Python<'_>, racks: &Bound<'_, PyAny>) -> PyResult<()> {
        self.change(py, "preferred_racks", racks, |session, config| {
            session.set_preferred_racks(&config.preferred_racks)
        })
    }

    /// Changes how often this process polls the cluster as owner: from now
    /// on, or from when it becomes owner. All clients of the process under this
    /// key share it.
    ///
    /// Raises ConfigError below 50 ms, or if other processes would consider an
    /// owner with that interval hung (`shm_takeover_threshold`); then nothing
    /// has changed.
    fn set_tend_interval(&self, py: Python<'_>, interval: &Bound<'_, PyAny>) -> PyResult<()> {
        self.change(py, "tend_interval", interval, |session, config| {
            session.set_tend_interval(config.tend_interval)
        })
    }

    /// Changes the password of the user that this process logs in as. It
    /// applies from the next login; connections are not changed.
    ///
    /// Raises ConfigError if the client has no `user`, or no server accepts such
    /// a password; then nothing has changed.
    fn set_password(&self, py: Python<'_>, password: &Bound<'_, PyAny>) -> PyResult<()> {
        self.change(py, "password", password, |session, config| {
            session.set_password(config.password.unwrap_or_default())
        })
    }

    /// The live publication; 0 = none yet.
    #[getter]
    fn sequence(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.known(py)?.segment().head().sequence())
    }

    /// Waits until a publication other than `sequence` is live, at most
    /// `timeout` (seconds, "100ms" or a timedelta; None = without limit), and
    /// returns the live sequence. Other threads run meanwhile. A signal (Ctrl-C)
    /// ends the wait; closing the client ends it with ClosedError.
    ///
    /// In asyncio wait in another thread, repeatedly and with a timeout: a
    /// thread can't be cancelled, and the end of the program waits for it.
    ///
    ///     while True:
    ///         now = await asyncio.to_thread(client.wait_for_change, sequence, "500ms")
    #[pyo3(signature = (sequence, timeout = None))]
    fn wait_for_change(
        &self,
        py: Python<'_>,
        sequence: &Bound<'_, PyAny>,
        timeout: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u64> {
        let sequence = number("sequence", sequence, "from 0 to 2**64 - 1")?;
        let deadline = deadline("timeout", timeout)?;
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
