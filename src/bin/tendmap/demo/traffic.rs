//! What the servers see of it all: requests and connections.

use std::collections::BTreeMap;
use std::time::Instant;

use tendmap::sim::{Sim, SimError};

/// Counts what the simulated servers receive.
pub struct Traffic {
    /// By node: when it was looked at last, and how many requests it had had.
    last: BTreeMap<usize, (Instant, u64)>,
    requests: u64,
    node_seconds: f64,
}

impl Traffic {
    /// Counts from now on.
    pub fn new() -> Traffic {
        Traffic { last: BTreeMap::new(), requests: 0, node_seconds: 0.0 }
    }

    /// Looks at every node.
    ///
    /// # Errors
    /// [`SimError`] if the cluster has stopped.
    pub fn look(&mut self, sim: &Sim) -> Result<(), SimError> {
        let now = Instant::now();
        let status = sim.status()?;
        // A node that was removed is counted up to the last look at it.
        let seen = status.nodes.iter().map(|node| (node.number, (now, node.info_requests)));
        let seen: BTreeMap<usize, (Instant, u64)> = seen.collect();
        for (number, (at, requests)) in &seen {
            if let Some((before, earlier)) = self.last.get(number) {
                self.requests += requests.saturating_sub(*earlier);
                self.node_seconds += at.duration_since(*before).as_secs_f64();
            }
        }
        self.last = seen;
        Ok(())
    }

    /// Info requests a second and node.
    pub fn rate(&self) -> f64 {
        if self.node_seconds > 0.0 { self.requests as f64 / self.node_seconds } else { 0.0 }
    }
}

/// Connections that are open at the servers now.
///
/// # Errors
/// [`SimError`] if the cluster has stopped.
pub fn open_connections(sim: &Sim) -> Result<usize, SimError> {
    Ok(sim.status()?.nodes.iter().map(|node| node.connections).sum())
}
