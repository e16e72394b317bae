//! The client.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use tendmap::client::Config;
use tendmap_bindings::{Failure, Session};

use crate::arguments::{flag, number};
use crate::changes::Changes;
use crate::connection::Connection;
use crate::ending::Call;
use crate::errors::{raise, wrong_type};
use crate::keys::kind_of;
use crate::node::{Node, Route};
use crate::pending::_Pending;
use crate::routes::{Routes, routing_methods};
use crate::settings::{self, Settings};

/// A process's connection to a cluster's map.
///
/// Any thread may use it. It may be created before `os.fork` and used after it:
/// the first call in a child starts the child's own part, without touching its
/// parent's. It can't be pickled or copied: another process makes one of its own.
///
/// Connects: attaches to the segment of `shm_key`, or creates it and tends.
///
/// hosts: "NAME:PORT", several separated by commas, or a list of them or of
///     (NAME, PORT) or (NAME, PORT, TLS_NAME).
/// lazy: connect at the first use instead of now, for a client that is created
///     before workers are forked and that only they use, or in asyncio. A first use
///     in a running event loop does not wait for a map: it raises NoMapError until
///     there is one. `await client.connect_async()` waits for it.
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
    hosts: String,
    /// The settings as they were read, without the password.
    given: Vec<(String, String)>,
    pub routes: Routes,
}

// Python aligns its objects to 16 bytes.
const _: () = assert!(align_of::<Client>() <= 16);

impl Client {
    /// Changes a setting of the running client.
    fn change(
        &self,
        py: Python<'_>,
        name: &str,
        value: &Bound<'_, PyAny>,
        f: impl FnOnce(&Session, Config) -> Result<(), Failure>,
    ) -> PyResult<()> {
        let text = settings::text(name, value)?;
        let mut read = self.routes.connection.config.clone();
        read.set(name, &text).map_err(|failure| raise(py, failure))?;
        let session = self.routes.connection.ready(py)?;
        // The interpreter's lock is kept: no child is forked in the middle.
        f(&session, read).map_err(|failure| raise(py, failure))
    }
}

impl Drop for Client {
    /// Closes, so that other threads run while the ownership is handed over.
    fn drop(&mut self) {
        // Without an interpreter the fields close it when they are dropped.
        let _ = Python::try_attach(|py| self.routes.close(py));
    }
}

routing_methods! {
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
        let settings = Settings::read(&hosts, &settings)?;
        let connection = Connection::new(settings.config(py)?);
        let (hosts, given) = (settings.hosts, settings.others);
        let client = Client { hosts, given, routes: Routes::new(connection) };
        if !lazy {
            client.routes.connection.wait_to_connect(py)?;
        }
        Ok(client)
    }

    /// Connects now, if `lazy` was given or this is a forked child. A signal
    /// (Ctrl-C) ends the wait.
    fn connect(&self, py: Python<'_>) -> PyResult<()> {
        self.routes.connection.wait_to_connect(py)
    }

    /// As `connect`, for asyncio: the event loop goes on. Cancelling it ends the wait
    /// at once; the attempt itself ends by itself and is undone.
    fn connect_async<'py>(this: Bound<'py, Client>) -> PyResult<Bound<'py, PyAny>> {
        let py = this.py();
        let _call = Call::begin(py);
        py.import("tendmap._asyncio")?.call_method1("connected", (this,))
    }

    /// The settings as they were read, without the password; for tests.
    fn _settings(&self) -> Vec<(String, String)> {
        self.given.clone()
    }

    /// Begins to connect in a thread.
    fn _connecting(&self, py: Python<'_>) -> PyResult<_Pending> {
        _Pending::begin(py, self.routes.connection.connecting(py)?)
    }

    /// Ends what `_connecting` began.
    fn _connected(&self, py: Python<'_>, pending: &Bound<'_, _Pending>) -> PyResult<()> {
        let made = pending.get().result(py)?;
        self.routes.connection.made(py, made)
    }

    /// Closes the client, and releases the nodes with their `state`. The last
    /// client of the process under its key hands the ownership over, and the
    /// last process removes the segment. Further calls raise ClosedError;
    /// closing again does nothing.
    fn close(&self, py: Python<'_>) {
        self.routes.close(py);
    }

    /// As `close`, for asyncio: the event loop goes on while the ownership is handed
    /// over. If it is cancelled, the client is closed all the same.
    fn aclose<'py>(this: Bound<'py, Client>) -> PyResult<Bound<'py, PyAny>> {
        let py = this.py();
        let _call = Call::begin(py);
        py.import("tendmap._asyncio")?.call_method1("closed", (this,))
    }

    /// Begins to close in a thread. If no descriptor or no thread is available, it is closed
    /// when this returns, and the result is None.
    fn _closing(&self, py: Python<'_>) -> Option<_Pending> {
        self.routes.forget(py);
        let connection = &self.routes.connection;
        let (close, close_here) = (connection.closing(), connection.closing());
        let begun = _Pending::begin(py, move || {
            close();
            Ok(None)
        });
        if begun.is_err() {
            py.detach(close_here);
        }
        begun.ok()
    }

    /// Connects, without blocking the event loop.
    fn __aenter__<'py>(this: Bound<'py, Client>) -> PyResult<Bound<'py, PyAny>> {
        Client::connect_async(this)
    }

    /// Closes, without blocking the event loop.
    #[pyo3(signature = (*_args))]
    fn __aexit__<'py>(
        this: Bound<'py, Client>,
        _args: &Bound<'_, PyTuple>,
    ) -> PyResult<Bound<'py, PyAny>> {
        Client::aclose(this)
    }

    /// This process's current role.
    #[getter]
    fn role(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(self.routes.connection.known(py)?.role().as_str())
    }

    /// The events since the last call, the oldest first: nodes that joined,
    /// left or fail, takeovers, passes that fail or succeed again. It never
    /// waits. The logger "tendmap" has them, too, as text.
    ///
    /// Each is a dict (`tendmap.Event`) with its name as `event`, the fields of a
    /// line of `tendmap tend --json`, `level` ("debug", "info" or "warning") and
    /// `time` (seconds since 1970). The last 256 are kept; if there were more, the
    /// first is "events_lost" with their `count`. Clients of one process under
    /// one key share their events: the one that connected first has them. A
    /// forked child has its own, and none of its parent's.
    fn events<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let events = self.routes.connection.ready(py)?.events().map_err(|failure| raise(py, failure))?;
        crate::json::loads(py, &events.into())
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

    fn __repr__(&self) -> String {
        format!("<tendmap.Client {}, {}>", self.hosts, self.routes.place())
    }
}
}
