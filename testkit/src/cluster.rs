//! A cluster without a network.
#![allow(dead_code, reason = "each test uses a part")]

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tendmap::client::Config;
use tendmap::map::{Capacity, ClusterMap, NamespaceName, Node, NodeHealth, NodeId, Slot};
use tendmap::tend::{ClusterSource, TendError, TendReport, Turn};

/// A cluster that a test can change.
#[derive(Clone)]
pub struct Cluster(Arc<Mutex<State>>);

struct State {
    map: ClusterMap,
    error: Option<TendError>,
}

impl Cluster {
    /// `nodes` nodes; partition p of namespace "test" is held by nodes p,
    /// p + 1 …
    pub fn new(nodes: u16, rf: u8) -> Cluster {
        let mut map = ClusterMap::new(Capacity::DEFAULT);
        for number in 0..nodes {
            map.nodes.insert(node(number)).unwrap();
        }
        add_namespace(&mut map, "test", rf);
        Cluster(Arc::new(Mutex::new(State { map, error: None })))
    }

    /// Changes the map that the next pass finds.
    pub fn change(&self, f: impl FnOnce(&mut ClusterMap)) {
        f(&mut self.0.lock().unwrap().map);
    }

    /// Grows to at least this number of nodes, whatever the capacity.
    pub fn grow(&self, nodes: u16) {
        self.change(|map| {
            map.raise_capacity(4096, 256);
            for number in map.nodes.len() as u16..nodes {
                map.nodes.insert(node(number)).unwrap();
            }
        });
    }

    /// Makes every pass fail.
    pub fn fail(&self, error: TendError) {
        self.0.lock().unwrap().error = Some(error);
    }

    /// Makes passes succeed again.
    pub fn heal(&self) {
        self.0.lock().unwrap().error = None;
    }

    /// A source that finds this cluster.
    pub fn source(&self) -> Box<dyn ClusterSource> {
        Box::new(Source { cluster: self.clone(), map: ClusterMap::new(Capacity::DEFAULT) })
    }
}

struct Source {
    cluster: Cluster,
    map: ClusterMap,
}

impl ClusterSource for Source {
    fn start(&mut self, map: ClusterMap) {
        self.map = map;
    }
    fn tend(&mut self, turn: &mut dyn Turn) -> Result<TendReport, TendError> {
        if turn.beat().is_break() {
            return Err(TendError::Interrupted);
        }
        let state = self.cluster.0.lock().unwrap();
        if let Some(error) = &state.error {
            return Err(error.clone());
        }
        self.map = state.map.clone();
        drop(state);
        Ok(TendReport::default())
    }
    fn map(&self) -> &ClusterMap {
        &self.map
    }
    fn node_healths(&self, each: &mut dyn FnMut(Slot, NodeId, NodeHealth)) {
        for (slot, node) in self.map.nodes.iter() {
            each(slot, node.id, node_health(node.id));
        }
    }
    fn stop(&mut self) {}
}

/// Gives every partition of a namespace to the nodes in turn.
pub fn add_namespace(map: &mut ClusterMap, name: &str, rf: u8) {
    let slots: Vec<Slot> = map.nodes.iter().map(|(slot, _)| slot).collect();
    let namespace = map.namespace_entry(NamespaceName::new(name).unwrap()).unwrap();
    namespace.replication_factor = rf;
    for partition in 0..namespace.partitions.len() {
        for replica in 0..usize::from(rf) {
            let slot = slots[(partition + replica) % slots.len()];
            namespace.partitions.set_holder(partition, replica, Some(slot));
        }
    }
}

/// Node number n listens on port 3000 + n.
pub fn node(number: u16) -> Node {
    let address = ([127, 0, 0, 1], 3000 + number).into();
    Node::new(NodeId::new(&format!("BB9{number:04}")).unwrap(), address)
}

/// The health of a node as the source reports it.
pub fn node_health(id: NodeId) -> NodeHealth {
    NodeHealth::new(7, &format!("{id} does not answer"))
}

/// A temporary directory for segments.
pub fn directory() -> TempDir {
    tempfile::Builder::new().prefix("tendmap-test-").tempdir_in("/dev/shm").unwrap()
}

/// A configuration with the segments in this directory.
pub fn config(directory: &TempDir) -> Config {
    let mut config = Config::shared(vec!["127.0.0.1:3000".parse().unwrap()], 0xA700_0001);
    config.shm_directory = directory.path().into();
    config.tend_interval = Duration::from_millis(50);
    config.connect_timeout = Duration::from_millis(200);
    config
}

/// The number of files in a directory.
pub fn files(directory: &TempDir) -> usize {
    std::fs::read_dir(directory.path()).unwrap().count()
}

/// Waits until `done`, and fails after a generous time.
#[track_caller]
pub fn wait_until(what: &str, done: impl FnMut() -> bool) {
    wait_at_most(Duration::from_secs(30), what, done);
}

/// As [`wait_until`], with a given limit.
#[track_caller]
pub fn wait_at_most(limit: Duration, what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < limit, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
