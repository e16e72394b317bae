//! States for tests: the look at a real segment, changed to what a test wants.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use tendmap::client::{Client, Status};
use tendmap::map::{ClusterMap, NodeHealth, Snapshot};
use tendmap_testkit::{Cluster, config, directory, wait_until};

use crate::grid::tests::map_of;
use crate::seen::State;

/// A look at a segment with one node and one namespace.
fn seen() -> &'static (Status, Snapshot) {
    static SEEN: OnceLock<(Status, Snapshot)> = OnceLock::new();
    SEEN.get_or_init(|| {
        let directory = directory();
        let source = Cluster::new(1, 1).source();
        let client = Client::connect_with(config(&directory), source).unwrap();
        let reader = tendmap::client::Reader::look(&config(&directory).place()).unwrap();
        wait_until("a map", || !client.status().unwrap().members.is_empty());
        let found = (reader.status().unwrap(), client.map().unwrap());
        client.close();
        found
    })
}

/// A healthy segment with this map, of owner 100 and term 3.
pub fn state_of(map: ClusterMap, sequence: u64) -> State {
    let (mut status, mut snapshot) = seen().clone();
    let member = status.members.remove(0);
    status.members = map
        .nodes
        .iter()
        .map(|(_, node)| {
            let mut member = member.clone();
            (member.id, member.address, member.build) = (node.id, node.address, node.build);
            (member.health, member.last_error_age) = (Some(NodeHealth::new(0, "")), None);
            member
        })
        .collect();
    let namespace = status.namespaces.remove(0);
    status.namespaces = map
        .namespaces()
        .iter()
        .map(|found| {
            let mut namespace = namespace.clone();
            namespace.name = found.name.to_string();
            namespace.replication_factor = found.replication_factor;
            namespace.routable_replicas = found.routable_replicas();
            namespace.holes = found.holes();
            namespace
        })
        .collect();
    status.path = Some(PathBuf::from("/dev/shm/tendmap-a7000000-v3-g1"));
    (status.key, status.generation, status.term) = (0xA700_0000, 1, 3);
    (status.owner_pid, status.owner_alive, status.abdicated) = (Some(100), true, false);
    status.cluster_name = Some("lab".to_owned());
    status.heartbeat_age = Some(Duration::from_millis(300));
    status.tended_age = Some(Duration::from_millis(300));
    status.tend_interval = Some(Duration::from_secs(1));
    status.pass_time = Some(Duration::from_micros(800));
    status.nodes = map.nodes.len();
    (status.sequence, status.publications, status.takeovers) = (sequence, sequence, 2);
    (status.tends, status.tend_errors, status.bytes_in) = (77, 0, 123_456);
    (status.last_error, status.last_error_age, status.attached) = (None, None, Some(3));
    status.failing_nodes = 0;
    status.conditions.clear();
    (snapshot.map, snapshot.sequence) = (map, sequence);
    State { status, map: Some(snapshot) }
}

/// A healthy segment of this many nodes, with the namespace `test`.
pub fn healthy(nodes: usize) -> State {
    state_of(map_of(nodes, "test"), 7)
}
