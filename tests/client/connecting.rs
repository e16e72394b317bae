//! One process: connecting, routing, closing, with a source that needs no
//! network.

use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tendmap::client::{Client, ConfigError, ConnectError, Reader, Role, Verdict};
use tendmap::map::ClusterMap;
use tendmap::route::{Partition, Policy, Record, RouteError};
use tendmap::tend::{ClusterSource, TendError, TendReport, Turn};
use tendmap::wire::login::Credentials;
use tendmap_testkit::{Cluster, config, directory, files, node};

#[test]
fn a_client_owns_routes_and_removes_its_segment() {
    let directory = directory();
    let config = config(&directory);
    let client = Client::connect_with(config.clone(), Cluster::new(3, 2).source()).unwrap();
    assert_eq!(client.role(), Role::Owner);
    let mut router = client.router_with(|node| node.id.to_string());
    let namespace = router.namespace("test").unwrap();
    let route = router.route(namespace, Partition(4), Policy::Master).unwrap();
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
    assert_eq!(files(&directory), 0);
}

#[test]
fn private_mode_has_the_same_api_and_leaves_no_file() {
    let directory = directory();
    let mut config = config(&directory);
    config.use_shm = false;
    let client = Client::connect_with(config, Cluster::new(3, 2).source()).unwrap();
    let mut router = client.router();
    let namespace = router.namespace("test").unwrap();
    assert_eq!(router.route(namespace, Partition(0), Policy::Master).unwrap().id(), node(0).id);
    assert_eq!(client.status().unwrap().path, None);
    assert_eq!(files(&directory), 0);
}

#[test]
fn what_is_not_there_is_named() {
    let directory = directory();
    let client = Client::connect_with(config(&directory), Cluster::new(2, 1).source()).unwrap();
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
    let directory = directory();
    let first = Client::connect_with(config(&directory), Cluster::new(2, 1).source()).unwrap();
    let second = Client::connect_with(config(&directory), Cluster::new(2, 1).source()).unwrap();
    assert_eq!(second.role(), Role::Owner);
    assert!(std::sync::Arc::ptr_eq(&first.segment(), &second.segment()));

    let mut others = config(&directory);
    others.hosts = vec!["127.0.0.2:3000".parse().unwrap()];
    let error = Client::connect_with(others, Cluster::new(2, 1).source()).unwrap_err();
    assert!(matches!(error, ConnectError::OtherHosts { .. }), "{error}");

    first.close();
    assert_eq!(second.role(), Role::Owner);
    second.close();
    assert_eq!(files(&directory), 0);
}

#[test]
fn start_waits_for_no_map_and_tends_on_after_a_failed_pass() {
    let directory = directory();
    let mut unreachable = config(&directory);
    unreachable.hosts = vec!["127.0.0.1:1".parse().unwrap()];
    let client = Client::start(unreachable.clone()).unwrap();
    assert_eq!(client.router().namespace("test").unwrap_err(), RouteError::NoMap);
    let errors = || client.status().map_or(0, |status| status.tend_errors);
    tendmap_testkit::wait_until("it is tried again", || errors() > 1);
    assert_eq!(client.role(), Role::Owner);
    client.close();
    assert_eq!(files(&directory), 0);

    // The same with `connect` is an error that leaves nothing behind.
    assert!(matches!(Client::connect(unreachable), Err(ConnectError::Tend(_))));
    assert_eq!(files(&directory), 0);
}

/// A status names the owner and its age, the use of the segment, the holes in each
/// namespace, and the problems.
#[test]
fn h40_status_tells_role_term_ages_capacity_and_the_holes_of_each_namespace() {
    let directory = directory();
    let mut config = config(&directory);
    (config.shm_max_nodes, config.shm_max_namespaces) = (5, 4);
    config.shm_takeover_threshold = Duration::from_secs(60);
    let cluster = Cluster::new(3, 2);
    cluster.change(|map| tendmap_testkit::add_namespace(map, "bar", 1));
    let client = Client::connect_with(config, cluster.source()).unwrap();
    let status = || client.status().unwrap();
    let found = status();
    assert_eq!((client.role(), found.term, found.owner_alive), (Role::Owner, 1, true));
    assert_eq!(found.owner_pid, Some(std::process::id()));
    assert_eq!((found.nodes, found.max_nodes), (3, 5));
    assert_eq!((found.namespaces.len(), found.max_namespaces), (2, 4));
    let minute = Duration::from_secs(60);
    assert!(found.heartbeat_age.unwrap() < minute && found.tended_age.unwrap() < minute);
    assert_eq!(found.verdict(), Verdict::Healthy);
    assert!(found.namespaces.iter().all(|namespace| namespace.holes == 0), "{found:?}");

    // A third of the masters of one namespace is missing.
    cluster.change(|map| {
        let bar = map.namespaces_mut().iter_mut().find(|it| it.name.as_str() == "bar").unwrap();
        for partition in (0..4096).step_by(3) {
            bar.partitions.set_holder(partition, 0, None);
        }
    });
    tendmap_testkit::wait_until("the holes", || status().namespaces.iter().any(|it| it.holes > 0));
    let found = status();
    let holes = |name| found.namespaces.iter().find(|it| it.name == name).unwrap().holes;
    assert_eq!((holes("test"), holes("bar")), (0, 1366));
    let Verdict::Unhealthy(problems) = found.verdict() else { panic!("{found:?}") };
    assert_eq!(problems, ["namespace bar has 1366 partitions without a master"]);

    // The cluster can't be reached any more: the map stays, and the status says so.
    cluster.fail(tendmap::tend::TendError::NoSeed { tried: vec![] });
    let stale = || match status().verdict() {
        Verdict::Unhealthy(problems) => problems.iter().any(|it| it.contains("not tended for")),
        Verdict::Healthy => false,
    };
    tendmap_testkit::wait_until("a stale map", stale);
    let found = status();
    assert!(found.tend_errors > 0 && found.owner_alive && found.nodes == 3, "{found:?}");
    assert!(found.heartbeat_age.unwrap() < found.tended_age.unwrap(), "it lives, and fails");
}

#[test]
fn a_wait_without_end_overflows_no_clock() {
    let directory = directory();
    let cluster = Cluster::new(2, 1);
    let client = Client::connect_with(config(&directory), cluster.source()).unwrap();
    let sequence = client.wait_for_change(0, Duration::MAX);
    assert!(sequence > 0);
    cluster.change(|map| tendmap_testkit::add_namespace(map, "more", 1));
    assert_ne!(client.wait_for_change(sequence, Duration::MAX), sequence);
}

#[test]
fn the_tend_interval_changes_under_an_owner_that_sleeps() {
    let directory = directory();
    let mut config = config(&directory);
    config.tend_interval = Duration::from_secs(600);
    config.shm_takeover_threshold = Duration::from_secs(2000);
    let client = Client::connect_with(config, Cluster::new(2, 1).source()).unwrap();
    let tends = || client.status().unwrap().tends;
    assert_eq!(tends(), 1);
    let refused = client.set_tend_interval(Duration::from_millis(49));
    assert!(matches!(refused, Err(ConfigError::TendInterval { .. })));
    let refused = client.set_tend_interval(Duration::from_secs(1000));
    assert!(matches!(refused, Err(ConfigError::Threshold { .. })));
    let refused = client.set_tend_interval(Duration::MAX);
    assert!(matches!(refused, Err(ConfigError::TooLong { name: "tend_interval", .. })));
    assert_eq!(client.tend_interval(), Duration::from_secs(600));

    client.set_tend_interval(Duration::from_millis(50)).unwrap();
    tendmap_testkit::wait_until("more passes", || tends() > 4);
    assert_eq!(client.status().unwrap().tend_interval, Some(Duration::from_millis(50)));
    client.set_tend_interval(Duration::from_secs(600)).unwrap();
    tendmap_testkit::wait_until("the long interval again", || {
        client.status().unwrap().tend_interval == Some(Duration::from_secs(600))
    });
}

#[test]
fn a_cluster_that_is_down_for_all_is_asked_less_and_less_until_somebody_asks_for_more() {
    let directory = directory();
    let mut config = config(&directory);
    config.shm_takeover_threshold = Duration::from_secs(3600);
    let cluster = Cluster::new(2, 1);
    let client = Client::connect_with(config.clone(), cluster.source()).unwrap();
    let begun = Instant::now();
    cluster.fail(TendError::NoAnswer { nodes: 2, last: "it is down".into() });
    let errors = || client.status().unwrap().tend_errors;
    tendmap_testkit::wait_until("failed passes", || errors() >= 8);
    // 50, 100, 200 ms, and 400 ms four times: without backing off seven times 50.
    assert!(begun.elapsed() > Duration::from_millis(1900), "{:?}", begun.elapsed());
    let status = client.status().unwrap();
    assert!(status.owner_alive && !status.abdicated, "{status:?}");
    cluster.heal();
    let tends = status.tends;
    client.request_tend();
    tendmap_testkit::wait_until("a pass", || client.status().unwrap().tends > tends);
    client.close();
}

/// A cluster that refuses every login after the first pass, until it has received
/// `wrong` wrong passwords and one more. Each pass is reported, and ends when the test
/// allows it.
struct Locked {
    inside: Box<dyn ClusterSource>,
    locked: bool,
    wrong: usize,
    begins: Sender<()>,
    ends: Receiver<()>,
}

impl Locked {
    /// An owner that logs in and, without a request, tends once an hour; a channel that
    /// reports the start of each pass; and one that ends a pass, already used for the
    /// first `ended` passes.
    fn connect(
        directory: &TempDir,
        wrong: usize,
        ended: usize,
    ) -> (Client, Receiver<()>, Sender<()>) {
        let mut config = config(directory);
        config.tend_interval = Duration::from_secs(3600);
        config.shm_takeover_threshold = Duration::from_secs(9000);
        (config.user, config.password) = (Some("keeper".into()), Some("old".into()));
        let ((begins, begun), (end, ends)) = (unbounded(), unbounded());
        (0..ended).for_each(|_| end.send(()).unwrap());
        let inside = Cluster::new(2, 1).source();
        let source = Locked { inside, locked: false, wrong, begins, ends };
        let client = Client::connect_with(config, Box::new(source)).unwrap();
        (client, begun, end)
    }
}

impl ClusterSource for Locked {
    fn start(&mut self, map: ClusterMap) {
        self.inside.start(map);
    }
    fn tend(&mut self, turn: &mut dyn Turn) -> Result<TendReport, TendError> {
        let locked = self.locked;
        let _ = self.begins.send(());
        while let Err(RecvTimeoutError::Timeout) = self.ends.recv_timeout(Duration::from_millis(50))
        {
            if turn.beat().is_break() {
                return Err(TendError::Interrupted);
            }
        }
        self.locked = true;
        match locked {
            true => Err(TendError::Login { host: "a:1".into(), error: "refused".into() }),
            false => self.inside.tend(turn),
        }
    }
    fn map(&self) -> &ClusterMap {
        self.inside.map()
    }
    fn set_credentials(&mut self, _: Credentials) {
        match self.wrong.checked_sub(1) {
            Some(left) => self.wrong = left,
            None => self.locked = false,
        }
    }
    fn stop(&mut self) {
        self.inside.stop();
    }
}

#[test]
fn a_password_given_to_an_owner_that_sleeps_is_tried_at_once() {
    let directory = directory();
    let (client, begun, _end) = Locked::connect(&directory, 0, 2);
    let next = || begun.recv_timeout(Duration::from_secs(60)).expect("a pass");
    next();
    client.set_password("new".into()).unwrap();
    next();
    tendmap_testkit::wait_until("a pass that succeeds", || client.status().unwrap().tends == 2);
    client.close();
}

#[test]
fn a_password_given_during_a_failing_pass_is_tried_right_after_it() {
    let directory = directory();
    let (client, begun, end) = Locked::connect(&directory, 2, 1);
    let next = || begun.recv_timeout(Duration::from_secs(60)).expect("a pass");
    next();
    // The first password wakes the owner, the others follow during a pass that fails.
    // Without a request the next pass would begin an hour later.
    client.set_password("wrong".into()).unwrap();
    for password in ["as wrong", "new"] {
        next();
        client.set_password(password.into()).unwrap();
        end.send(()).unwrap();
    }
    next();
    end.send(()).unwrap();
    tendmap_testkit::wait_until("a pass that succeeds", || client.status().unwrap().tends == 2);
    client.close();
}
