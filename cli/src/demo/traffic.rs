//! The requests and connections that the servers see.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use tendmap::sim::{Sim, SimError};

/// Counts the requests that the simulated servers receive.
///
/// A change in the cluster (migrations above all) makes the tender send more
/// requests; how many it sends when nothing happens is measured in calm
/// periods.
pub struct Traffic {
    tend_interval: Duration,
    /// For each node, the time of the last look, and its requests until then.
    last: BTreeMap<usize, (Instant, u64)>,
    whole: Sum,
    calm: Sum,
    /// For each node, the requests of the current quiet period.
    runs: BTreeMap<usize, Run>,
    /// The time from which the cluster counts as quiet.
    calm_from: Instant,
}

#[derive(Default)]
struct Sum {
    requests: u64,
    node_seconds: f64,
}

/// A run of requests. It starts at one request, which is not counted, and ends at
/// another one, which is.
struct Run {
    first: Instant,
    last: Instant,
    requests: u64,
}

impl Traffic {
    /// Counts from now. The cluster must be quiet.
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

    /// Ends the quiet period for a while, because the demo changes the cluster or
    /// its tender.
    pub fn disturb(&mut self) {
        self.calm_from = Instant::now() + self.tend_interval * 2;
        for (_, run) in core::mem::take(&mut self.runs) {
            self.calm.requests += run.requests;
            self.calm.node_seconds += run.last.duration_since(run.first).as_secs_f64();
        }
    }

    /// Reads the counters of every node.
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

    /// Info requests per second and node while nothing happened in the cluster;
    /// `None` if no such period was long enough.
    pub fn calm_rate(&mut self) -> Option<f64> {
        self.disturb();
        (self.calm.node_seconds > 0.0).then(|| self.calm.rate())
    }

    /// Info requests per second and node over the whole time.
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
    /// The surplus at each of the owner's last reports.
    last: VecDeque<usize>,
    most: usize,
}

impl Surplus {
    /// Forgets the reports of the previous owner.
    pub fn new_owner(&mut self) {
        self.last.clear();
    }

    /// Compares the number of sockets that the owner has just reported with the
    /// connections at the servers.
    ///
    /// The owner opens and closes some between its report and this count, so a
    /// surplus counts only if three consecutive reports show it.
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

    /// The largest surplus so far.
    pub fn most(&self) -> usize {
        self.most
    }
}
