//! What a client and a reader have in common.

use std::time::Instant;

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes};
use tendmap::Reader;
use tendmap::map::Slot;
use tendmap::route::{Attempt, Digest, Partition};
use tendmap_bindings::{Failure, Kind};

use crate::arguments::{deadline, number};
use crate::changes::Changes;
use crate::connection::Connection;
use crate::errors::{raise, wrong_type};
use crate::interrupt::LOOK_FOR_SIGNALS;
use crate::keys::{digest, kind_of};
use crate::node::{Node, Route};
use crate::nodes::Nodes;
use crate::pool::Pool;

/// A connection, with its routers and the objects of its nodes.
pub struct Routes {
    pub connection: Connection,
    pub pool: Pool,
    pub nodes: Nodes,
}

type Name<'a, 'py> = &'a Bound<'py, PyAny>;

impl Routes {
    pub fn new(connection: Connection) -> Routes {
        Routes { connection, pool: Pool::new(), nodes: Nodes::new() }
    }

    pub fn reader(&self, py: Python<'_>) -> PyResult<Reader> {
        Ok(self.connection.source(py)?.reader())
    }

    #[inline(always)]
    pub fn route(
        &self,
        py: Python<'_>,
        namespace: Name<'_, '_>,
        set: Name<'_, '_>,
        key: Name<'_, '_>,
        policy: Option<Name<'_, '_>>,
    ) -> PyResult<Py<Node>> {
        self.with_router(py, |lent| {
            let handle = lent.namespace(namespace)?;
            let policy = lent.policy(policy)?;
            lent.set(set)?;
            let digest = digest(lent.set_name(), key)?;
            self.node_of(py, lent, handle, digest, policy)
        })
    }

    pub fn route_digest(
        &self,
        py: Python<'_>,
        namespace: Name<'_, '_>,
        digest: Name<'_, '_>,
        policy: Option<Name<'_, '_>>,
    ) -> PyResult<Py<Node>> {
        let digest = read_digest(digest)?;
        self.with_router(py, |lent| {
            let handle = lent.namespace(namespace)?;
            let policy = lent.policy(policy)?;
            self.node_of(py, lent, handle, digest, policy)
        })
    }

    pub fn locate(
        &self,
        py: Python<'_>,
        namespace: Name<'_, '_>,
        set: Name<'_, '_>,
        key: Name<'_, '_>,
        policy: Option<Name<'_, '_>>,
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

    pub fn retry(&self, py: Python<'_>, route: Name<'_, '_>) -> PyResult<Route> {
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

    pub fn list(&self, py: Python<'_>) -> PyResult<Vec<Py<Node>>> {
        let map = self.reader(py)?.map().map_err(|error| raise(py, error))?.map;
        let table = &map.nodes;
        let object = |(slot, node)| self.nodes.get(py, slot, table.incarnation(slot), node);
        table.iter().map(object).collect()
    }

    pub fn namespaces(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let map = self.reader(py)?.map().map_err(|error| raise(py, error))?.map;
        Ok(map.namespaces().iter().map(|namespace| namespace.name.to_string()).collect())
    }

    pub fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let reader = self.reader(py)?;
        let status = py.detach(|| reader.status()).map_err(|error| raise(py, error))?;
        crate::json::loads(py, &status.to_json_value())
    }

    pub fn sequence(&self, py: Python<'_>) -> PyResult<u64> {
        Ok(self.reader(py)?.segment().head().sequence())
    }

    pub fn wait_for_change(
        &self,
        py: Python<'_>,
        sequence: Name<'_, '_>,
        timeout: Option<Name<'_, '_>>,
    ) -> PyResult<u64> {
        let sequence = number("sequence", sequence, "from 0 to 2**64 - 1")?;
        let deadline = deadline("timeout", timeout)?;
        let session = self.connection.ready(py)?;
        loop {
            let left = deadline.map_or(LOOK_FOR_SIGNALS, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            let stretch = left.min(LOOK_FOR_SIGNALS);
            let now = py.detach(|| session.wait_for_change(sequence, stretch));
            let now = now.map_err(|failure| raise(py, failure))?;
            if now != sequence || left.is_zero() {
                return Ok(now);
            }
            py.check_signals()?;
            if self.connection.is_closed() {
                return Err(self.connection.closed(py));
            }
        }
    }

    pub fn changes(&self, py: Python<'_>) -> PyResult<Changes> {
        let changes = self.connection.ready(py)?.changes();
        Ok(Changes::new(changes.map_err(|failure| raise(py, failure))?))
    }

    pub fn close(&self, py: Python<'_>) {
        self.forget(py);
        self.connection.close(py);
    }

    /// Releases the routers and the nodes, and keeps no more of them.
    pub fn forget(&self, py: Python<'_>) {
        self.pool.close(py);
        self.nodes.forget();
    }

    pub fn visit(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.pool.visit(&visit)?;
        self.nodes.visit(&visit)
    }

    pub fn clear(&self, py: Python<'_>) {
        self.pool.empty(py);
        self.nodes.forget();
    }

    /// Its place, for `repr`.
    pub fn place(&self) -> String {
        let config = &self.connection.config;
        let closed = if self.connection.is_closed() { ", closed" } else { "" };
        match config.use_shm {
            true => format!("shm_key={:#010x}{closed}", config.shm_key),
            false => format!("private{closed}"),
        }
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

/// The methods of a class, and those that every class with [`Routes`] has.
macro_rules! routing_methods {
    (impl $class:ident { $($own:tt)* }) => {
        #[pymethods]
        impl $class {
            $($own)*

            fn __enter__(this: Py<$class>) -> Py<$class> {
                this
            }

            #[pyo3(signature = (*_args))]
            fn __exit__(&self, py: Python<'_>, _args: &Bound<'_, PyTuple>) {
                self.close(py);
            }

            fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
                self.routes.visit(visit)
            }

            fn __clear__(&self, py: Python<'_>) {
                self.routes.clear(py);
            }

            /// Whether it was closed.
            #[getter]
            fn closed(&self) -> bool {
                self.routes.connection.is_closed()
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
                self.routes.route(py, namespace, set, key, policy)
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
                self.routes.route_digest(py, namespace, digest, policy)
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
                self.routes.locate(py, namespace, set, key, policy)
            }

            /// The next attempt after the node of `route` has failed a command,
            /// starting at the next replica. ("master" returns the master again;
            /// "prefer_rack" returns the failed node only if there is no other.)
            fn retry(&self, py: Python<'_>, route: &Bound<'_, PyAny>) -> PyResult<Route> {
                self.routes.retry(py, route)
            }

            /// The nodes of many keys, all of one publication.
            ///
            /// For an iterable of keys: a list of nodes, None where a partition has
            /// none.
            ///
            /// For a column of keys: an array of node indexes (`Node.index`), NO_NODE
            /// where a partition has none. It is a NumPy array of uint16, or an
            /// `array.array` if NumPy is not installed. Columns are NumPy arrays of one
            /// dimension, Arrow arrays and everything that exports them (pyarrow, polars,
            /// pandas), and objects with a buffer of numbers (array.array, memoryview).
            /// They may hold integers that fit 64 bits, doubles, texts, or bytes. A
            /// column with a null raises ArgumentError with its index. No Python code
            /// runs for each key.
            ///
            /// `out` (uint16, contiguous, as long as `keys`; writable) is filled and
            /// returned if it is given. It must not share memory with keys of 64 or 32
            /// bits: then nothing is written and TypeError is raised. The interpreter's
            /// lock is released while many keys are routed. Both may be changed or
            /// resized meanwhile, even with `refcheck=False`: the keys are those at the
            /// time of the call, and if `out` no longer fits when the indexes are
            /// written, ValueError or TypeError is raised.
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
                crate::batch::route_batch(&self.routes, py, namespace, set, keys, policy, out)
            }

            /// The cluster's nodes, in the order of their indexes.
            fn nodes(&self, py: Python<'_>) -> PyResult<Vec<Py<Node>>> {
                self.routes.list(py)
            }

            /// The names of the cluster's namespaces.
            fn namespaces(&self, py: Python<'_>) -> PyResult<Vec<String>> {
                self.routes.namespaces(py)
            }

            /// The state of the segment and its owner.
            fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
                self.routes.status(py)
            }

            /// Asks the owner, whichever process that is, to tend soon: for callers
            /// that see connections to a node fail. The owner tends at the earliest a
            /// quarter of its interval after its last pass, whatever the number of
            /// requests. A request may be lost. The call does not wait;
            /// `wait_for_change` does.
            fn request_tend(&self, py: Python<'_>) -> PyResult<()> {
                self.routes.reader(py)?.request_tend();
                Ok(())
            }

            /// The live publication; 0 = none yet.
            #[getter]
            fn sequence(&self, py: Python<'_>) -> PyResult<u64> {
                self.routes.sequence(py)
            }

            /// Waits until a publication other than `sequence` is live, at most
            /// `timeout` (seconds, "100ms" or a timedelta; None = without limit), and
            /// returns the live sequence. Other threads run meanwhile. A signal (Ctrl-C)
            /// ends the wait; closing ends it with ClosedError. In asyncio use `changed`
            /// or `changes`.
            #[pyo3(signature = (sequence, timeout = None))]
            fn wait_for_change(
                &self,
                py: Python<'_>,
                sequence: &Bound<'_, PyAny>,
                timeout: Option<&Bound<'_, PyAny>>,
            ) -> PyResult<u64> {
                self.routes.wait_for_change(py, sequence, timeout)
            }

            /// A descriptor that becomes readable when the map changes, for event
            /// loops. In asyncio it is an iterator:
            ///
            ///     async for sequence in client.changes():
            ///         print(client.nodes())
            fn changes(&self, py: Python<'_>) -> PyResult<Changes> {
                self.routes.changes(py)
            }

            /// For asyncio: waits until a publication other than `after` (the live one,
            /// if not given) is live, at most `timeout` (seconds, "100ms" or a timedelta;
            /// None = without limit), and returns the live sequence. No thread waits, and
            /// it may be cancelled at any time. Closing ends it with ClosedError. In a
            /// loop `changes` costs less.
            #[pyo3(
                signature = (after = None, timeout = None),
                text_signature = "($self, after=None, timeout=None)"
            )]
            fn changed<'py>(
                &self,
                py: Python<'py>,
                after: Option<&Bound<'py, PyAny>>,
                timeout: Option<&Bound<'py, PyAny>>,
            ) -> PyResult<Bound<'py, PyAny>> {
                let after = match after.filter(|after| !after.is_none()) {
                    Some(after) => number("after", after, "from 0 to 2**64 - 1")?,
                    None => self.routes.sequence(py)?,
                };
                let left = crate::arguments::seconds("timeout", timeout)?;
                let changes = self.routes.changes(py)?;
                let _call = crate::ending::Call::begin(py);
                let module = py.import("tendmap._asyncio")?;
                module.call_method1("changed", (changes, after, left))
            }

            /// It is never pickled or copied.
            fn __reduce_ex__(&self, py: Python<'_>, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
                Err(crate::errors::not_pickled(py, stringify!($class)))
            }
        }
    };
}

pub(crate) use routing_methods;
