//! What the servers see of it all: requests and connections.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tendmap::sim::{Sim, SimError};

/// Counts what the simulated servers receive.
///
/// A change in the cluster (migrations above all) makes the tender send more
/// requests; how many it sends when nothing happens is measured in calm
/// periods.
pub struct Traffic {
    tend_interval: Duration,
    /// By node: when it was looked at last, and how many requests it had had.
    last: BTreeMap<usize, (Instant, u64)>,
    whole: Sum,
    calm: Sum,
    /// By node: the requests of the present calm.
    runs: BTreeMap<usize, Run>,
    /// It is calm from then on.
    calm_from: Instant,
}

#[derive(Default)]
struct Sum {
    requests: u64,
    node_seconds: f64,
}

/// From one request on, which is not counted, to another one, which is.
struct Run {
    first: Instant,
    last: Instant,
    requests: u64,
}

impl Traffic {
    /// Counts from now on; it is calm now.
    pub fn new(tend_interval: Duration) -> Traffic {
        Traffic {
            tend_interval,
            last: BTreeMap::new(),
            whole: Sum::default(),
            calm: Sum::default(),
            runs: BTreeMap::new(),
            calm_from: Instant::now(),
        }
    }

    /// Something is done to the cluster or its tender: the calm is over for a
    /// while.
    pub fn disturb(&mut self) {
        self.calm_from = Instant::now() + self.tend_interval * 2;
        for (_, run) in core::mem::take(&mut self.runs) {
            self.calm.requests += run.requests;
            self.calm.node_seconds += run.last.duration_since(run.first).as_secs_f64();
        }
    }

    /// Looks at every node.
    ///
    /// # Errors
    /// [`SimError`] if the cluster has stopped.
    pub fn look(&mut self, sim: &Sim) -> Result<(), SimError> {
        let status = sim.status()?;
        let now = Instant::now();
        if !status.settled {
            self.disturb();
        }
        // A node that was removed is counted up to the last look at it.
        let seen = status.nodes.iter().map(|node| (node.number, (now, node.info_requests)));
        let seen: BTreeMap<usize, (Instant, u64)> = seen.collect();
        for (&number, &(at, requests)) in &seen {
            let Some(&(before, earlier)) = self.last.get(&number) else { continue };
            let new = requests.saturating_sub(earlier);
            self.whole.requests += new;
            self.whole.node_seconds += at.duration_since(before).as_secs_f64();
            if new == 0 || at < self.calm_from {
                continue;
            }
            match self.runs.get_mut(&number) {
                Some(run) => {
                    run.requests += new;
                    run.last = at;
                }
                None => {
                    self.runs.insert(number, Run { first: at, last: at, requests: 0 });
                }
            }
        }
        self.last = seen;
        Ok(())
    }

    /// Info requests a second and node while nothing happened in the cluster;
    /// `None` if that never lasted long enough.
    pub fn calm_rate(&mut self) -> Option<f64> {
        self.disturb();
        (self.calm.node_seconds > 0.0).then(|| self.calm.rate())
    }

    /// Info requests a second and node over all.
    pub fn whole_rate(&self) -> f64 {
        self.whole.rate()
    }
}

impl Sum {
    fn rate(&self) -> f64 {
        if self.node_seconds > 0.0 { self.requests as f64 / self.node_seconds } else { 0.0 }
    }
}

/// Connections that the servers have open beyond those of the owner.
#[derive(Default)]
pub struct Surplus {
    /// At the owner's last reports.
    last: VecDeque<usize>,
    most: usize,
}

impl Surplus {
    /// Another process owns: what its predecessor reported does not count.
    pub fn new_owner(&mut self) {
        self.last.clear();
    }

    /// The owner has just reported how many sockets it has open.
    ///
    /// It opens and closes some between the report and the count, so that only
    /// a surplus that shows at three reports in a row is one.
    ///
    /// # Errors
    /// [`SimError`] if the cluster has stopped.
    pub fn look(&mut self, sim: &Sim, of_owner: usize) -> Result<(), SimError> {
        let open: usize = sim.status()?.nodes.iter().map(|node| node.connections).sum();
        self.last.push_back(open.saturating_sub(of_owner));
        if self.last.len() > 3 {
            self.last.pop_front();
        }
        if self.last.len() == 3 {
            let lasting = self.last.iter().copied().min().unwrap_or(0);
            self.most = lasting.max(self.most);
        }
        Ok(())
    }

    /// The most that there ever were.
    pub fn most(&self) -> usize {
        self.most
    }
}
