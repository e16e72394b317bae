//! One process: connecting, routing, closing, with a source that needs no
//! network.

use std::time::Duration;

use tendmap::client::{Client, Config, ConnectError, Reader, Role, Verdict};
use tendmap::map::{Capacity, ClusterMap, NamespaceName, Node, NodeId, Slot};
use tendmap::route::{Partition, Policy, Record, RouteError};
use tendmap::tend::{ClusterSource, Host, TendError, TendReport, Turn};

/// A cluster of which everything is known beforehand.
struct Fixed {
    wanted: ClusterMap,
    map: ClusterMap,
}

impl ClusterSource for Fixed {
    fn start(&mut self, map: ClusterMap) {
        self.map = map;
    }
    fn tend(&mut self, turn: &mut dyn Turn) -> Result<TendReport, TendError> {
        let _ = turn.beat();
        self.map = self.wanted.clone();
        Ok(TendReport::default())
    }
    fn map(&self) -> &ClusterMap {
        &self.map
    }
    fn raise_capacity(&mut self, _: usize, _: usize) {}
    fn stop(&mut self) {}
}

fn node(number: u16) -> Node {
    let address = ([127, 0, 0, 1], 3000 + number).into();
    Node { id: NodeId::new(&format!("BB9{number:04}")).unwrap(), address, tls_name: None }
}

/// `nodes` nodes; partition p of namespace "test" is held by nodes p, p + 1 …
fn fixed(nodes: u16, rf: u8) -> Box<Fixed> {
    let mut map = ClusterMap::new(Capacity::DEFAULT);
    let slots: Vec<Slot> = (0..nodes).map(|n| map.nodes.insert(node(n)).unwrap()).collect();
    let namespace = map.namespace_entry(NamespaceName::new("test").unwrap()).unwrap();
    namespace.replication_factor = rf;
    for partition in 0..4096 {
        for replica in 0..usize::from(rf) {
            let slot = slots[(partition + replica) % slots.len()];
            namespace.partitions.set_owner(partition, replica, Some(slot));
        }
    }
    Box::new(Fixed { map: ClusterMap::new(Capacity::DEFAULT), wanted: map })
}

fn config(directory: &tempfile::TempDir) -> Config {
    let mut config = Config::shared(vec![Host::new("127.0.0.1", 3000)], 0xA700_0001);
    config.shm_directory = directory.path().into();
    config.tend_interval = Duration::from_millis(50);
    config
}

#[test]
fn a_client_owns_routes_and_removes_its_segment() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let config = config(&directory);
    let client = Client::connect_with(config.clone(), fixed(3, 2)).unwrap();
    assert_eq!(client.role(), Role::Owner);
    let mut router = client.router_with(|node| node.id.to_string());
    let namespace = router.namespace("test").unwrap();
    let mut route = router.route(namespace, Partition(4), Policy::Master).unwrap();
    assert_eq!(route.id(), node(1).id);
    assert_eq!(route.address(), node(1).address);
    assert_eq!(route.state(), "BB90001");

    let mut attempt = router.attempt(Policy::Sequence);
    for expected in [1, 2, 1] {
        let route = router.route_attempt(namespace, Partition(4), &attempt).unwrap();
        assert_eq!(route.id(), node(expected).id);
        attempt.fail(route.replica(), route.slot());
    }
    router.route(namespace, Record::new("set", 7), Policy::Any).unwrap();

    let reader = Reader::attach(&config.place()).unwrap();
    assert_eq!(reader.map().unwrap().map.nodes.len(), 3);
    let status = reader.status().unwrap();
    assert_eq!(status.verdict(), Verdict::Healthy, "{status:?}");
    assert_eq!((status.nodes, status.term, status.attached), (3, 1, Some(1)));
    drop((router, reader));

    client.close();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn private_mode_has_the_same_api_and_leaves_no_file() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let mut config = config(&directory);
    config.use_shm = false;
    let client = Client::connect_with(config, fixed(3, 2)).unwrap();
    let mut router = client.router();
    let namespace = router.namespace("test").unwrap();
    assert_eq!(router.route(namespace, Partition(0), Policy::Master).unwrap().id(), node(0).id);
    assert_eq!(client.status().unwrap().path, None);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn what_is_not_there_is_named() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let client = Client::connect_with(config(&directory), fixed(2, 1)).unwrap();
    let mut router = client.router();
    let error = router.namespace("nope").unwrap_err();
    assert_eq!(
        error,
        RouteError::NamespaceUnknown { name: "nope".into(), known: vec!["test".into()] }
    );
    let namespace = router.namespace("test").unwrap();
    assert!(matches!(
        router.route(namespace, Partition(4096), Policy::Master),
        Err(RouteError::OutOfRange { partition: 4096, partitions: 4096 })
    ));
    let mut other = client.router();
    assert!(matches!(
        other.route(namespace, Partition(0), Policy::Master),
        Err(RouteError::ForeignHandle)
    ));
}

#[test]
fn a_second_connect_shares_the_attachment() {
    let directory = tempfile::tempdir_in("/dev/shm").unwrap();
    let first = Client::connect_with(config(&directory), fixed(2, 1)).unwrap();
    let second = Client::connect_with(config(&directory), fixed(2, 1)).unwrap();
    assert_eq!(second.role(), Role::Owner);
    assert!(std::sync::Arc::ptr_eq(&first.segment(), &second.segment()));

    let mut others = config(&directory);
    others.hosts = vec![Host::new("127.0.0.2", 3000)];
    let error = Client::connect_with(others, fixed(2, 1)).unwrap_err();
    assert!(matches!(error, ConnectError::OtherHosts { .. }), "{error}");

    first.close();
    assert_eq!(second.role(), Role::Owner);
    second.close();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}
