//! The handle of a simulated cluster.

use crossbeam::channel::{Sender, bounded, unbounded};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::config::{SimConfig, SimError};
use super::engine::{Engine, Job, WAKE};
use super::status::{RecordCommand, SimNodeState, SimStatus};
use crate::map::NodeId;
use crate::thread::{NativeThread, spawn};

const ALIVE: &[SimNodeState] =
    &[SimNodeState::Starting, SimNodeState::Running, SimNodeState::Frozen, SimNodeState::Isolated];

/// A running simulated cluster. Dropping it stops the cluster.
///
/// Nodes are numbered from 1, in the order in which they were added. A node
/// always keeps its number and its node id.
///
/// ```
/// use tendmap::sim::{Sim, SimConfig};
///
/// let sim = Sim::start(SimConfig::fast(2))?;
/// assert_eq!(sim.seeds().len(), 2);
/// let third = sim.add()?;
/// assert!(sim.settle(std::time::Duration::from_secs(60)), "it has joined and migrated");
/// sim.kill(third)?;
/// # Ok::<(), tendmap::sim::SimError>(())
/// ```
#[derive(Debug)]
pub struct Sim {
    jobs: Option<Sender<Job>>,
    waker: Arc<mio::Waker>,
    thread: Option<NativeThread<()>>,
}

impl Sim {
    /// Starts a cluster. When this returns, all nodes listen and have joined.
    ///
    /// # Errors
    /// A setting is out of range, or a port is in use.
    pub fn start(config: SimConfig) -> Result<Sim, SimError> {
        let mut engine = Engine::new(config)?;
        let system = |what| move |error| SimError::System { what, error };
        let waker = mio::Waker::new(engine.registry(), WAKE).map_err(system("make a waker"))?;
        let (jobs, inbox) = unbounded();
        let thread =
            spawn("tendmap-sim", move || engine.run(&inbox)).map_err(system("start a thread"))?;
        Ok(Sim { jobs: Some(jobs), waker: Arc::new(waker), thread: Some(thread) })
    }

    /// Runs a closure in the thread and waits for its result.
    pub(super) fn call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Engine) -> T + Send + 'static,
    ) -> Result<T, SimError> {
        let (give, take) = bounded(1);
        let job: Job = Box::new(move |engine| drop(give.send(job(engine))));
        let jobs = self.jobs.as_ref().ok_or(SimError::Stopped)?;
        jobs.send(job).map_err(|_| SimError::Stopped)?;
        self.waker.wake().map_err(|_| SimError::Stopped)?;
        take.recv().map_err(|_| SimError::Stopped)
    }

    pub(super) fn try_call<T: Send + 'static>(
        &self,
        job: impl FnOnce(&mut Engine) -> Result<T, SimError> + Send + 'static,
    ) -> Result<T, SimError> {
        self.call(job)?
    }

    /// The addresses of all nodes, whether they run or not, by number.
    #[must_use]
    pub fn seeds(&self) -> Vec<SocketAddr> {
        let of = |engine: &mut Engine| {
            let nodes = engine.cluster.nodes.values().filter(|node| !node.retired);
            nodes.map(|node| SocketAddr::new(engine.cluster.config.ip(), node.port)).collect()
        };
        self.call(of).unwrap_or_default()
    }

    /// The addresses at which the nodes speak TLS, by number.
    #[cfg(feature = "tls")]
    #[must_use]
    pub fn tls_seeds(&self) -> Vec<SocketAddr> {
        let mut seeds = self.seeds();
        for seed in &mut seeds {
            seed.set_port(seed.port() + super::tls::SimTls::PORT_OFFSET);
        }
        seeds
    }

    /// Kills a node as by SIGKILL. Its sockets close at once; the others notice
    /// later.
    ///
    /// # Errors
    /// No such node, or it is stopped.
    pub fn kill(&self, number: usize) -> Result<(), SimError> {
        self.try_call(move |engine| {
            let delay = engine.cluster.notice();
            end(engine, number, delay)
        })
    }

    /// Stops a node cleanly. Its sockets close at once; the others change their
    /// replies after [`Timings::stop_notice`](super::Timings).
    ///
    /// # Errors
    /// No such node, or it is stopped.
    pub fn stop_clean(&self, number: usize) -> Result<(), SimError> {
        self.try_call(move |engine| {
            let delay = engine.cluster.config.timings.stop_notice;
            end(engine, number, delay)
        })
    }

    /// Stops a node's process as by SIGSTOP. It accepts connections and does not
    /// answer; the others drop it as if it were dead.
    ///
    /// # Errors
    /// No such node, or it is stopped, frozen or isolated.
    pub fn freeze(&self, number: usize) -> Result<(), SimError> {
        self.try_call(move |engine| {
            let states = [SimNodeState::Starting, SimNodeState::Running];
            let number = engine.node_in(number, &states, "running")?;
            engine.cluster.freeze(number, Instant::now());
            Ok(())
        })
    }

    /// Wakes a frozen node. If the others have dropped it, it keeps its old view
    /// for [`Timings::thaw`](super::Timings), and then joins again.
    ///
    /// # Errors
    /// No such node, or it is not frozen.
    pub fn thaw(&self, number: usize) -> Result<(), SimError> {
        self.try_call(move |engine| {
            let number = engine.node_in(number, &[SimNodeState::Frozen], "frozen")?;
            engine.cluster.wake(number, Instant::now());
            engine.catch_up(number);
            Ok(())
        })
    }

    /// Makes a node believe that it is the only one, and therefore the master of
    /// every partition. The others drop it as if it were dead.
    ///
    /// # Errors
    /// No such node, or it does not run.
    pub fn isolate(&self, number: usize) -> Result<(), SimError> {
        self.try_call(move |engine| {
            let number = engine.node_in(number, &[SimNodeState::Running], "running")?;
            engine.cluster.isolate(number, Instant::now());
            Ok(())
        })
    }

    /// Ends an isolation: the node joins again.
    ///
    /// # Errors
    /// No such node, or it is not isolated.
    pub fn heal(&self, number: usize) -> Result<(), SimError> {
        self.try_call(move |engine| {
            let number = engine.node_in(number, &[SimNodeState::Isolated], "isolated")?;
            engine.cluster.wake(number, Instant::now());
            Ok(())
        })
    }

    /// Starts a stopped node at its port. It answers at once and joins later,
    /// without data.
    ///
    /// # Errors
    /// No such node, it runs, or another program uses its port.
    pub fn start_node(&self, number: usize) -> Result<(), SimError> {
        self.try_call(move |engine| {
            let number = engine.node_in(number, &[SimNodeState::Stopped], "stopped")?;
            engine.listen(number, engine.cluster.nodes[&number].port)?;
            engine.cluster.start(number, Instant::now());
            Ok(())
        })
    }

    /// Kills a node if it runs, starts it at another port (0 = any free one), and
    /// returns the port. After it has joined, the others list its old address for
    /// [`Timings::stale_address`](super::Timings).
    ///
    /// # Errors
    /// No such node, or the port is in use; then nothing has changed.
    pub fn move_node(&self, number: usize, port: u16) -> Result<u16, SimError> {
        self.try_call(move |engine| {
            let alive = engine.cluster.node(number)?.process.is_some();
            let key = number as u16;
            if port != 0 && port == engine.cluster.nodes[&key].port {
                let found = port.to_string();
                return Err(SimError::Config { what: "port", found, wanted: "another port" });
            }
            // Bind before anything changes, because this may fail.
            let (port, listeners) = engine.bind(key, port)?;
            engine.close(key);
            engine.open(listeners)?;
            if alive {
                let delay = engine.cluster.notice();
                engine.cluster.end(key, delay, Instant::now());
            }
            engine.cluster.node_mut(number)?.port = port;
            engine.cluster.start(key, Instant::now());
            Ok(port)
        })
    }

    /// Adds a node and returns its number. The node joins later.
    ///
    /// # Errors
    /// No port is free.
    pub fn add(&self) -> Result<usize, SimError> {
        self.try_call(|engine| {
            let number = engine.cluster.peek_number();
            let base_port = engine.cluster.config.base_port;
            let port = if base_port == 0 { 0 } else { base_port.saturating_add(number - 1) };
            let port = engine.listen(number, port)?;
            engine.cluster.new_node(port);
            engine.cluster.start(number, Instant::now());
            Ok(usize::from(number))
        })
    }

    /// Stops a node cleanly and removes it. It no longer appears in a status, and
    /// its number is not used again.
    ///
    /// # Errors
    /// No such node.
    pub fn remove(&self, number: usize) -> Result<(), SimError> {
        self.try_call(move |engine| {
            let delay = engine.cluster.config.timings.stop_notice;
            if engine.cluster.node(number)?.process.is_some() {
                end(engine, number, delay)?;
            }
            engine.cluster.retire(number as u16);
            Ok(())
        })
    }

    /// The state of the cluster and its nodes.
    ///
    /// # Errors
    /// The cluster has stopped.
    pub fn status(&self) -> Result<SimStatus, SimError> {
        self.call(|engine| engine.status())
    }

    /// Waits until nothing will change any more without a command (all deaths
    /// noticed, all nodes joined, all migrations complete), or until the time is
    /// up; returns whether that state was reached.
    #[must_use]
    pub fn settle(&self, at_most: Duration) -> bool {
        let deadline = Instant::now() + at_most;
        loop {
            match self.call(|engine| engine.cluster.is_settled()) {
                Ok(true) => return true,
                Ok(false) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                _ => return false,
            }
        }
    }

    /// The reference map: for each partition, the node that claims each replica.
    /// During migrations one node may claim several.
    ///
    /// # Errors
    /// No such namespace.
    pub fn owners(&self, namespace: &str) -> Result<Vec<Vec<NodeId>>, SimError> {
        let name = namespace.to_owned();
        self.try_call(move |engine| {
            let cluster = &engine.cluster;
            let table =
                cluster.view().table(&name).ok_or_else(|| cluster.no_such_namespace(&name))?;
            let id = |number: &u16| NodeId::new(&cluster.nodes.get(number)?.id).ok();
            let row = |partition| table.row(partition).iter().filter_map(id).collect();
            Ok((0..cluster.config.partitions).map(row).collect())
        })
    }

    /// The record commands that the nodes have received, in order; at most
    /// 1,048,576 are kept.
    ///
    /// # Errors
    /// The cluster has stopped.
    pub fn commands(&self) -> Result<Vec<RecordCommand>, SimError> {
        self.call(|engine| engine.log.clone())
    }

    /// As [`commands`](Self::commands), and forgets them.
    ///
    /// # Errors
    /// The cluster has stopped.
    pub fn take_commands(&self) -> Result<Vec<RecordCommand>, SimError> {
        self.call(|engine| core::mem::take(&mut engine.log))
    }
}

impl Drop for Sim {
    fn drop(&mut self) {
        self.jobs = None;
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn end(engine: &mut Engine, number: usize, delay: Duration) -> Result<(), SimError> {
    let number = engine.node_in(number, ALIVE, "running")?;
    engine.close(number);
    engine.cluster.end(number, delay, Instant::now());
    Ok(())
}
