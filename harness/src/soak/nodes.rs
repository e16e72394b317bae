//! Random changes of the simulated cluster: of its nodes and namespaces.

use std::time::{Duration, Instant};

use tendmap::sim::{Sim, SimError, SimNamespace, SimNodeState, SimNodeStatus};

/// How often a node is changed, on average.
const INTERVAL: Duration = Duration::from_millis(250);
/// The number of nodes at the start of a season.
pub const FIRST: usize = 4;
/// The most nodes, including stopped ones.
const MOST: usize = 12;
/// The most namespaces that are added to the first two.
const MORE_NAMESPACES: usize = 7;
/// The least number of running nodes.
const LEAST: usize = 2;

/// Changes nodes from time to time.
pub struct Nodes {
    due: Instant,
}

impl Nodes {
    /// Starts the changes at this time.
    pub fn new(at: Instant) -> Nodes {
        Nodes { due: at }
    }

    /// Makes the changes that are due; returns the number of changed nodes.
    ///
    /// # Errors
    /// [`SimError::Stopped`].
    pub fn change(
        &mut self,
        now: Instant,
        sim: &Sim,
        random: &mut fastrand::Rng,
    ) -> Result<u64, SimError> {
        if now < self.due {
            return Ok(0);
        }
        self.due = now + INTERVAL.mul_f64(random.f64() * 2.0);
        let nodes = sim.status()?.nodes;
        let (what, pick) = (random.u8(..12), random.usize(..));
        match act(sim, &nodes, what, pick) {
            // The node's state had changed meanwhile.
            Err(SimError::Stopped) => Err(SimError::Stopped),
            Err(_) => Ok(0),
            Ok(done) => Ok(u64::from(done)),
        }
    }
}

fn act(sim: &Sim, nodes: &[SimNodeStatus], what: u8, pick: usize) -> Result<bool, SimError> {
    let in_state = |state: SimNodeState| {
        let these: Vec<usize> =
            nodes.iter().filter(|node| node.state == state).map(|node| node.number).collect();
        these.get(pick % these.len().max(1)).map(|&number| (number, these.len()))
    };
    // At least one node must always answer.
    let running = in_state(SimNodeState::Running).filter(|&(_, count)| count > LEAST);
    let frozen = in_state(SimNodeState::Frozen);
    let stopped = in_state(SimNodeState::Stopped);
    match (what, running, frozen, stopped) {
        (0 | 1, Some((number, _)), ..) => sim.kill(number)?,
        (2, Some((number, _)), ..) => sim.freeze(number)?,
        (3, Some((number, _)), ..) => drop(sim.move_node(number, 0)?),
        // The first node stays, so that every process that starts finds it at some
        // time.
        (4, Some((number, _)), ..) if number > 1 && nodes.len() > LEAST + 1 => {
            sim.remove(number)?;
        }
        (5 | 8 | 9, ..) if nodes.len() < MOST => drop(sim.add()?),
        (10 | 11, ..) => turn_namespace(sim, pick)?,
        (6, _, Some((number, _)), _) => sim.thaw(number)?,
        (_, _, _, Some((number, _))) => sim.start_node(number)?,
        (_, _, Some((number, _)), _) => sim.thaw(number)?,
        _ => return Ok(false),
    }
    Ok(true)
}

/// Adds one of the further namespaces if it does not exist. If it does, drops it
/// every third time.
fn turn_namespace(sim: &Sim, pick: usize) -> Result<(), SimError> {
    let name = further(pick % MORE_NAMESPACES);
    let replicas = 1 + pick % 3;
    match sim.add_namespace(SimNamespace::new(name.as_str(), replicas)) {
        Err(SimError::NamespaceExists { .. }) if pick % 9 < 3 => sim.remove_namespace(&name),
        Err(SimError::NamespaceExists { .. }) => sim.set_replication_factor(&name, replicas),
        other => other,
    }
}

fn further(number: usize) -> String {
    format!("more-{number}")
}

/// Restores the state at the start of a season: few nodes, all running, and no
/// further namespace.
///
/// # Errors
/// [`SimError::Stopped`].
pub fn reset(sim: &Sim) -> Result<(), SimError> {
    for number in 0..MORE_NAMESPACES {
        // This fails for namespaces that were never added.
        let _ = sim.remove_namespace(&further(number));
    }
    let nodes = sim.status()?.nodes;
    for (index, node) in nodes.iter().enumerate() {
        // This fails if the node's state has changed meanwhile. Then the node stays
        // as it is.
        let _ = match node.state {
            _ if index >= FIRST => sim.remove(node.number),
            SimNodeState::Frozen => sim.thaw(node.number),
            SimNodeState::Stopped => sim.start_node(node.number),
            _ => Ok(()),
        };
    }
    Ok(())
}
