//! A simulated cluster for tests.

use std::mem::ManuallyDrop;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use pyo3::types::{PyMapping, PyTuple};
use tendmap::internals::layout::Lineage;
use tendmap::sim::{Sim, SimConfig, SimError, SimNamespace};
use tendmap_bindings::{Failure, Kind};

use crate::arguments::{deadline, flag, number, text};
use crate::errors::{raise, wrong_type};
use crate::keys::kind_of;

/// A cluster for tests, in a thread of this process, that speaks the real
/// protocol on the loopback. Nodes are numbered from 1 on.
///
/// nodes: the number of nodes, at least 1.
/// namespaces: replication factors by name; {"test": 2} if not given.
/// base_port: the port of node 1; the others follow. 0 = any free ports.
/// enterprise: answer as the Enterprise Edition does, with racks.
#[pyclass(frozen, module = "tendmap")]
pub struct SimulatedCluster {
    sim: Mutex<Option<ManuallyDrop<Sim>>>,
    lineage: Lineage,
}

impl SimulatedCluster {
    fn ask<T: Send>(
        &self,
        py: Python<'_>,
        f: impl FnOnce(&Sim) -> Result<T, SimError> + Send,
    ) -> PyResult<T> {
        let failed = |kind, text: String| raise(py, Failure::new(kind, text));
        if self.lineage != Lineage::current() {
            let text = "the simulated cluster runs in the parent process; ask it there";
            return Err(failed(Kind::Closed, text.into()));
        }
        let sim = self.sim.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sim) = &*sim else {
            return Err(failed(Kind::Closed, "the simulated cluster is closed".into()));
        };
        f(sim).map_err(|error| failed(Kind::Argument, error.to_string()))
    }
}

impl Drop for SimulatedCluster {
    fn drop(&mut self) {
        // A forked child does not have the thread.
        let own = self.lineage == Lineage::current();
        let sim = self.sim.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let (true, Some(sim)) = (own, sim) {
            drop(ManuallyDrop::into_inner(sim));
        }
    }
}

#[pymethods]
impl SimulatedCluster {
    #[new]
    #[pyo3(
        signature = (nodes = None, *, namespaces = None, cluster_name = None, base_port = None, enterprise = None),
        text_signature = "(nodes=3, *, namespaces=None, cluster_name='sim', base_port=0, \
            enterprise=False)"
    )]
    fn new(
        py: Python<'_>,
        nodes: Option<&Bound<'_, PyAny>>,
        namespaces: Option<&Bound<'_, PyAny>>,
        cluster_name: Option<&Bound<'_, PyAny>>,
        base_port: Option<&Bound<'_, PyAny>>,
        enterprise: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<SimulatedCluster> {
        let nodes = nodes.map_or(Ok(3), |nodes| number("nodes", nodes, "from 1 on"))?;
        let mut config = SimConfig::new(nodes);
        if let Some(port) = base_port {
            config.base_port = number("base_port", port, PORTS)?;
        }
        config.enterprise = enterprise.map_or(Ok(false), |value| flag("enterprise", value))?;
        let cluster_name = cluster_name.map_or(Ok("sim"), |name| text("cluster_name", name))?;
        config.cluster_name = Some(cluster_name.to_owned()).filter(|name| !name.is_empty());
        config.namespaces = match namespaces {
            None => vec![SimNamespace::new("test", 2)],
            Some(given) => factors(given)?,
        };
        let sim = Sim::start(config)
            .map_err(|error| raise(py, Failure::new(Kind::Argument, error.to_string())))?;
        let sim = Mutex::new(Some(ManuallyDrop::new(sim)));
        Ok(SimulatedCluster { sim, lineage: Lineage::current() })
    }

    /// The addresses of all nodes, by number.
    #[getter]
    fn hosts(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        self.ask(py, |sim| Ok(sim.seeds().iter().map(ToString::to_string).collect()))
    }

    /// Kills a node: its sockets close at once, and the other nodes notice
    /// after about two seconds.
    fn kill(&self, py: Python<'_>, number: &Bound<'_, PyAny>) -> PyResult<()> {
        let number = node(number)?;
        self.ask(py, |sim| sim.kill(number))
    }

    /// Stops a node cleanly.
    fn stop(&self, py: Python<'_>, number: &Bound<'_, PyAny>) -> PyResult<()> {
        let number = node(number)?;
        self.ask(py, |sim| sim.stop_clean(number))
    }

    /// Starts a stopped node at its port.
    fn start(&self, py: Python<'_>, number: &Bound<'_, PyAny>) -> PyResult<()> {
        let number = node(number)?;
        self.ask(py, |sim| sim.start_node(number))
    }

    /// Stops a node as SIGSTOP would.
    fn freeze(&self, py: Python<'_>, number: &Bound<'_, PyAny>) -> PyResult<()> {
        let number = node(number)?;
        self.ask(py, |sim| sim.freeze(number))
    }

    /// Resumes a frozen node.
    fn thaw(&self, py: Python<'_>, number: &Bound<'_, PyAny>) -> PyResult<()> {
        let number = node(number)?;
        self.ask(py, |sim| sim.thaw(number))
    }

    /// Adds a node and returns its number.
    fn add(&self, py: Python<'_>) -> PyResult<usize> {
        self.ask(py, Sim::add)
    }

    /// Stops a node for good.
    fn remove(&self, py: Python<'_>, number: &Bound<'_, PyAny>) -> PyResult<()> {
        let number = node(number)?;
        self.ask(py, |sim| sim.remove(number))
    }

    /// Restarts a node at another port and returns the port.
    #[pyo3(signature = (number, port = None), text_signature = "($self, number, port=0)")]
    fn move_node(
        &self,
        py: Python<'_>,
        number: &Bound<'_, PyAny>,
        port: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<u16> {
        let number = node(number)?;
        let port = port.map_or(Ok(0), |port| crate::arguments::number("port", port, PORTS))?;
        self.ask(py, |sim| sim.move_node(number, port))
    }

    /// Makes a node report another build, such as "8.1.2.0", at once.
    fn set_build(
        &self,
        py: Python<'_>,
        number: &Bound<'_, PyAny>,
        build: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (number, build) = (node(number)?, text("build", build)?);
        self.ask(py, |sim| sim.set_node_build(number, build))
    }

    /// Puts a node into a rack for a namespace; nodes of an `enterprise`
    /// cluster are in rack 0 at first.
    fn set_rack(
        &self,
        py: Python<'_>,
        number: &Bound<'_, PyAny>,
        namespace: &Bound<'_, PyAny>,
        rack: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let (number, namespace) = (node(number)?, text("namespace", namespace)?);
        let rack = crate::arguments::number("rack", rack, "of 32 bits, signed")?;
        self.ask(py, |sim| sim.set_rack(number, namespace, rack))
    }

    /// Waits until the cluster is quiet. Returns False if it is not quiet in
    /// time.
    #[pyo3(
        signature = (timeout = Timeout::Default),
        text_signature = "($self, timeout=30)"
    )]
    fn settle(&self, py: Python<'_>, timeout: Timeout<'_>) -> PyResult<bool> {
        let deadline = match timeout {
            Timeout::Default => Instant::now().checked_add(Duration::from_secs(30)),
            Timeout::Given(timeout) => deadline("timeout", Some(&timeout))?,
        };
        // In short steps, so that other threads can run.
        loop {
            if self.ask(py, |sim| Ok(sim.settle(Duration::ZERO)))? {
                return Ok(true);
            }
            if deadline.is_some_and(|deadline| Instant::now() >= deadline) {
                return Ok(false);
            }
            py.check_signals()?;
            py.detach(|| std::thread::sleep(Duration::from_millis(10)));
        }
    }

    /// For each partition the names of the nodes that hold it, from the
    /// cluster's own state.
    fn owners(&self, py: Python<'_>, namespace: &Bound<'_, PyAny>) -> PyResult<Vec<Vec<String>>> {
        let namespace = text("namespace", namespace)?;
        let owners = self.ask(py, |sim| sim.owners(namespace))?;
        let names = |row: Vec<tendmap::map::NodeId>| row.iter().map(ToString::to_string).collect();
        Ok(owners.into_iter().map(names).collect())
    }

    /// Stops all of its nodes; closing again does nothing.
    fn close(&self, py: Python<'_>) {
        if self.lineage != Lineage::current() {
            return;
        }
        let sim = self.sim.lock().unwrap_or_else(PoisonError::into_inner).take();
        py.detach(|| sim.map(|sim| drop(ManuallyDrop::into_inner(sim))));
    }

    fn __enter__(this: Py<SimulatedCluster>) -> Py<SimulatedCluster> {
        this
    }

    #[pyo3(signature = (*_args))]
    fn __exit__(&self, py: Python<'_>, _args: &Bound<'_, PyTuple>) {
        self.close(py);
    }

    fn __repr__(&self) -> String {
        if self.lineage != Lineage::current() {
            return "<tendmap.SimulatedCluster of the parent process>".into();
        }
        let sim = self.sim.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(sim) = &*sim else { return "<tendmap.SimulatedCluster, closed>".into() };
        let hosts: Vec<String> = sim.seeds().iter().map(ToString::to_string).collect();
        format!("<tendmap.SimulatedCluster {}>", hosts.join(","))
    }
}

const PORTS: &str = "from 0 to 65535";

/// An optional timeout; None means for ever.
enum Timeout<'py> {
    Default,
    Given(Bound<'py, PyAny>),
}

impl<'py> FromPyObject<'_, 'py> for Timeout<'py> {
    type Error = PyErr;

    fn extract(given: pyo3::Borrowed<'_, 'py, PyAny>) -> PyResult<Timeout<'py>> {
        Ok(Timeout::Given(given.to_owned()))
    }
}

/// The number of a node.
fn node(number: &Bound<'_, PyAny>) -> PyResult<usize> {
    crate::arguments::number("a node's number", number, "from 1 on")
}

/// Replication factors by name.
fn factors(given: &Bound<'_, PyAny>) -> PyResult<Vec<SimNamespace>> {
    let Ok(map) = given.cast::<PyMapping>() else {
        let found = kind_of(given);
        let text = format!("namespaces of type {found}; wanted a dict such as {{\"test\": 2}}");
        return Err(wrong_type(given.py(), text));
    };
    let one = |(name, factor): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
        let factor = number("a replication factor", &factor, "from 1 on")?;
        Ok(SimNamespace::new(text("a namespace", &name)?, factor))
    };
    map.items()?.iter().map(|pair| one(pair.extract()?)).collect()
}
