//! A simulated cluster, for tests.

use std::cell::RefCell;
use std::time::Duration;

use napi_derive::napi;
use tendmap::sim::{Sim, SimConfig, SimError, SimNamespace};
use tendmap_bindings::{Failure, Kind};

use crate::errors::{Result, argument, raise};

thread_local! {
    static SIMS: RefCell<Vec<Option<Sim>>> = const { RefCell::new(Vec::new()) };
}

fn ask<T>(id: u32, f: impl FnOnce(&Sim) -> std::result::Result<T, SimError>) -> Result<T> {
    SIMS.with_borrow(|sims| match sims.get(id as usize) {
        Some(Some(sim)) => f(sim).map_err(|error| argument(error.to_string())),
        _ => Err(raise(Failure::new(Kind::Closed, "the simulated cluster is closed"))),
    })
}

/// Stops all clusters of this environment.
pub fn forget_all() {
    drop(SIMS.take());
}

/// Starts a cluster.
#[napi(catch_unwind)]
pub fn sim_start(
    nodes: u32,
    namespaces: Vec<String>,
    factors: Vec<u32>,
    cluster_name: String,
    base_port: u16,
    enterprise: bool,
) -> Result<u32> {
    let mut config = SimConfig::new(nodes as usize);
    config.base_port = base_port;
    config.enterprise = enterprise;
    config.cluster_name = Some(cluster_name).filter(|name| !name.is_empty());
    let one = |(name, factor): (String, u32)| SimNamespace::new(name, factor as usize);
    config.namespaces = namespaces.into_iter().zip(factors).map(one).collect();
    let sim = Sim::start(config).map_err(|error| argument(error.to_string()))?;
    Ok(SIMS.with_borrow_mut(|sims| {
        sims.push(Some(sim));
        sims.len() as u32 - 1
    }))
}

/// Stops all of its nodes.
#[napi(catch_unwind)]
pub fn sim_close(id: u32) {
    let sim = SIMS.with_borrow_mut(|sims| sims.get_mut(id as usize).and_then(Option::take));
    drop(sim);
}

/// The addresses of all nodes.
#[napi(catch_unwind)]
pub fn sim_hosts(id: u32) -> Result<Vec<String>> {
    ask(id, |sim| Ok(sim.seeds().iter().map(ToString::to_string).collect()))
}

/// Does something to a node.
#[napi(catch_unwind)]
pub fn sim_do(id: u32, what: String, number: u32) -> Result<()> {
    let number = number as usize;
    ask(id, |sim| match what.as_str() {
        "kill" => sim.kill(number),
        "stop" => sim.stop_clean(number),
        "start" => sim.start_node(number),
        "freeze" => sim.freeze(number),
        "thaw" => sim.thaw(number),
        _ => sim.remove(number),
    })
}

/// Adds a node and returns its number.
#[napi(catch_unwind)]
pub fn sim_add(id: u32) -> Result<u32> {
    ask(id, |sim| Ok(sim.add()? as u32))
}

/// Restarts a node at another port and returns the port.
#[napi(catch_unwind)]
pub fn sim_move(id: u32, number: u32, port: u16) -> Result<u16> {
    ask(id, |sim| sim.move_node(number as usize, port))
}

/// Makes a node report another build.
#[napi(catch_unwind)]
pub fn sim_set_build(id: u32, number: u32, build: String) -> Result<()> {
    ask(id, |sim| sim.set_node_build(number as usize, &build))
}

/// Puts a node into a rack.
#[napi(catch_unwind)]
pub fn sim_set_rack(id: u32, number: u32, namespace: String, rack: i32) -> Result<()> {
    ask(id, |sim| sim.set_rack(number as usize, &namespace, rack))
}

/// Whether the cluster is quiet now.
#[napi(catch_unwind)]
pub fn sim_is_settled(id: u32) -> Result<bool> {
    ask(id, |sim| Ok(sim.settle(Duration::ZERO)))
}

/// For each partition the names of the nodes that hold it.
#[napi(catch_unwind)]
pub fn sim_owners(id: u32, namespace: String) -> Result<Vec<Vec<String>>> {
    let owners = ask(id, |sim| sim.owners(&namespace))?;
    let names = |row: Vec<tendmap::map::NodeId>| row.iter().map(ToString::to_string).collect();
    Ok(owners.into_iter().map(names).collect())
}
