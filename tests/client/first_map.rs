//! The first map: which callers wait for it, and which get an error. Neither a map nor
//! an error is used after it is outdated.

use crossbeam::channel::{Receiver, Sender, unbounded};
use std::io::{Read, Write};
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use rustix::process::{Pid, Signal, getpid, kill_process};
use tendmap::client::{Client, Config, ConnectError, Event, Observer};
use tendmap::internals::segment::{CreateOutcome, create};
use tendmap::map::{Capacity, ClusterMap, ClusterName};
use tendmap::segment::remove;
use tendmap::tend::{ClusterSource, TendError, TendReport, Turn};
use tendmap_testkit::forked::forked;
use tendmap_testkit::{Cluster, add_namespace, config, directory, files, node};

fn down() -> TendError {
    TendError::NoSeed { tried: vec!["127.0.0.1:3000: it is down".into()] }
}

fn private(directory: &tempfile::TempDir) -> Config {
    let mut config = config(directory);
    config.use_shm = false;
    config
}

#[test]
fn h91_a_connect_after_passes_that_failed_finds_the_map_that_came_since() {
    let directory = directory();
    let cluster = Cluster::new(2, 1);
    cluster.fail(down());
    let client = Client::start_with(config(&directory), cluster.source()).unwrap();
    tendmap_testkit::wait_until("failed passes", || client.status().unwrap().tend_errors > 1);
    cluster.heal();
    tendmap_testkit::wait_until("a map", || client.status().unwrap().sequence > 0);
    let second = Client::connect_with(config(&directory), cluster.source()).unwrap();
    assert_eq!(second.map().unwrap().map.nodes.len(), 2);
    let third = Client::connect_with(config(&directory), cluster.source()).unwrap();
    assert!(third.is_same(&client));
}

/// The time for which the process is stopped does not count as waiting for the map.
#[test]
fn h201_a_connect_of_a_process_that_was_stopped_gets_its_map() {
    let directory = directory();
    let cluster = Cluster::new(2, 1);
    let mut config = private(&directory);
    config.connect_timeout = Duration::from_millis(100);
    config.tend_interval = Duration::from_millis(50);
    forked(
        |parent| {
            // The map is there, and the thread that made it has not said so.
            config.observer = Some(Observer::new(|event| {
                if let Event::Published { .. } = event {
                    kill_process(getpid(), Signal::STOP).unwrap();
                    std::thread::sleep(Duration::from_millis(20));
                }
            }));
            parent.write_all(&getpid().as_raw_nonzero().get().to_ne_bytes()).unwrap();
            let client = Client::connect_with(config, cluster.source()).unwrap();
            assert_eq!(client.map().unwrap().map.nodes.len(), 2);
        },
        |child| {
            let mut pid = [0; 4];
            child.read_exact(&mut pid).unwrap();
            let pid = i32::from_ne_bytes(pid);
            tendmap_testkit::wait_until("the child is stopped", || {
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
                stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
            });
            // Longer than a connect waits with these settings.
            std::thread::sleep(Duration::from_millis(1200));
            kill_process(Pid::from_raw(pid).unwrap(), Signal::CONT).unwrap();
        },
    );
}

/// An old error does not count: a new pass decides.
#[test]
fn h91_a_connect_is_answered_by_a_pass_that_began_after_it() {
    let directory = directory();
    let mut config = config(&directory);
    config.tend_interval = Duration::from_secs(600);
    config.shm_takeover_threshold = Duration::from_secs(4000);
    let cluster = Cluster::new(2, 1);
    cluster.fail(down());
    let client = Client::start_with(config.clone(), cluster.source()).unwrap();
    tendmap_testkit::wait_until("a failed pass", || client.status().unwrap().tend_errors == 1);
    // Still down: an error, without a wait for the interval.
    let error = Client::connect_with(config.clone(), cluster.source()).unwrap_err();
    assert!(matches!(error, ConnectError::Tend(TendError::NoSeed { .. })), "{error}");
    assert_eq!(client.status().unwrap().tend_errors, 2);
    // Up again, before any pass has noticed it.
    cluster.heal();
    let second = Client::connect_with(config, cluster.source()).unwrap();
    assert_eq!(second.map().unwrap().map.nodes.len(), 2);
}

/// A source whose passes begin and end when the test allows it, and all fail.
struct Stepped {
    inside: Box<dyn ClusterSource>,
    begins: Sender<()>,
    ends: Receiver<()>,
}

impl ClusterSource for Stepped {
    fn start(&mut self, map: ClusterMap) {
        self.inside.start(map);
    }
    fn tend(&mut self, turn: &mut dyn Turn) -> Result<TendReport, TendError> {
        let _ = self.begins.send(());
        while self.ends.recv_timeout(Duration::from_millis(50)).is_err() {
            if turn.beat().is_break() {
                return Err(TendError::Interrupted);
            }
        }
        self.inside.tend(turn)
    }
    fn map(&self) -> &ClusterMap {
        self.inside.map()
    }
    fn stop(&mut self) {
        self.inside.stop();
    }
}

#[test]
fn h91_every_connect_to_a_cluster_that_is_down_gets_the_error() {
    for round in 0..20 {
        let directory = directory();
        let cluster = Cluster::new(2, 1);
        cluster.fail(down());
        let connect = || Client::connect_with(config(&directory), cluster.source());
        let errors = std::thread::scope(|scope| {
            let all: Vec<_> = (0..4).map(|_| scope.spawn(connect)).collect();
            all.into_iter().map(|one| one.join().unwrap().unwrap_err()).collect::<Vec<_>>()
        });
        for error in &errors {
            assert!(matches!(error, ConnectError::Tend(TendError::NoSeed { .. })), "{error}");
        }
        assert_eq!(files(&directory), 0, "round {round}: nothing is left behind");
    }
}

/// Both wait for the same pass.
#[test]
fn h91_two_that_wait_for_one_pass_get_its_error_both() {
    let directory = directory();
    let cluster = Cluster::new(2, 1);
    cluster.fail(down());
    let (begins, begun) = unbounded();
    let (end, ends) = unbounded();
    let source = Stepped { inside: cluster.source(), begins, ends };
    let config = config(&directory);
    let client = Client::start_with(config.clone(), Box::new(source)).unwrap();
    begun.recv().unwrap();
    let connect = || Client::connect_with(config.clone(), cluster.source()).unwrap_err();
    std::thread::scope(|scope| {
        let both = [scope.spawn(connect), scope.spawn(connect)];
        // The pass in progress, and further ones until both have an answer.
        for _ in 0..3 {
            end.send(()).unwrap();
        }
        for one in both {
            let error = one.join().unwrap();
            assert!(matches!(error, ConnectError::Tend(TendError::NoSeed { .. })), "{error}");
        }
    });
    drop(end);
    client.close();
    assert_eq!(files(&directory), 0);
}

/// An existing map remains valid even if later passes fail.
#[test]
fn h91_a_failure_after_the_map_does_not_hide_it() {
    let directory = directory();
    let cluster = Cluster::new(2, 1);
    let client = Client::connect_with(config(&directory), cluster.source()).unwrap();
    cluster.fail(down());
    tendmap_testkit::wait_until("failed passes", || client.status().unwrap().tend_errors > 1);
    let second = Client::connect_with(config(&directory), cluster.source()).unwrap();
    assert_eq!(second.map().unwrap().map.nodes.len(), 2);
}

#[test]
fn h91_a_private_connect_gets_its_own_error_and_the_next_one_a_map() {
    let directory = directory();
    let cluster = Cluster::new(2, 1);
    cluster.fail(down());
    let error = Client::connect_with(private(&directory), cluster.source()).unwrap_err();
    assert!(matches!(error, ConnectError::Tend(_)), "{error}");
    cluster.heal();
    Client::connect_with(private(&directory), cluster.source()).unwrap();
}

/// Whether the map that comes is of the wanted cluster is known only when it is there.
#[test]
fn h51_a_connect_that_joins_before_the_first_map_gets_no_other_clusters() {
    let directory = directory();
    let cluster = Cluster::new(2, 1);
    cluster.change(|map| map.cluster_name = ClusterName::new("first").ok());
    let (begins, begun) = unbounded();
    let (end, ends) = unbounded();
    let source = Stepped { inside: cluster.source(), begins, ends };
    let client = Client::start_with(config(&directory), Box::new(source)).unwrap();
    begun.recv().unwrap();
    let connect = |name: &str| {
        let config = config(&directory).with_cluster_name(name);
        // The pass ends when this connect has joined.
        Client::connect_unless(config, true, &AtomicBool::new(false), |_| end.send(()).unwrap())
    };
    let error = connect("second").map(|_| "a client of another cluster").unwrap_err();
    let ConnectError::OtherCluster { found, wanted, .. } = error else { panic!("{error}") };
    assert_eq!((&*found, &*wanted), ("first", "second"));
    connect("first").unwrap();
    assert!(!client.is_closed() && client.has_map());
}

/// Two names exclude each other before there is any map.
#[test]
fn h51_two_clients_of_a_process_that_want_different_clusters_do_not_share_one() {
    let directory = directory();
    let cluster = Cluster::new(2, 1);
    cluster.fail(down());
    let of = |name: &str| config(&directory).with_cluster_name(name);
    let _first = Client::start_with(of("first"), cluster.source()).unwrap();
    let second = Client::start_with(of("second"), cluster.source());
    let error = second.map(|_| "a client of another cluster").unwrap_err();
    let ConnectError::OtherCluster { found, wanted, .. } = error else { panic!("{error}") };
    assert_eq!((&*found, &*wanted), ("first", "second"));
    Client::start_with(of("first"), cluster.source()).unwrap();
}

/// The segment is removed by force while this process is stopped, and another one has
/// begun again: there is no map to route from.
#[test]
fn h91_a_map_that_was_lost_is_waited_for_again() {
    let directory = directory();
    let config = config(&directory);
    let place = config.place();
    forked(
        |parent| {
            let cluster = Cluster::new(2, 1);
            let client = Client::connect_with(config.clone(), cluster.source()).unwrap();
            parent.write_all(&getpid().as_raw_nonzero().get().to_ne_bytes()).unwrap();
            tendmap_testkit::wait_until("the move", || client.status().unwrap().sequence == 0);
            assert!(!client.has_map());
            let again = Client::connect_with(config.clone(), cluster.source());
            let error = again.map(|_| "a client without a map").unwrap_err();
            assert!(matches!(error, ConnectError::NoMapYet { .. }), "{error}");
            parent.write_all(&[0]).unwrap();
            Client::connect_with(config, cluster.source()).unwrap().map().unwrap();
            tendmap_testkit::wait_until("a map", || client.has_map());
        },
        |child| {
            let mut pid = [0; 4];
            child.read_exact(&mut pid).unwrap();
            let pid = i32::from_ne_bytes(pid);
            let at = Pid::from_raw(pid).unwrap();
            kill_process(at, Signal::STOP).unwrap();
            tendmap_testkit::wait_until("the child is stopped", || {
                let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
                stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
            });
            remove(&place, true).unwrap();
            let made = create(&place, 1, Capacity::DEFAULT, None).unwrap();
            let CreateOutcome::Owner(mut ownership) = made else { panic!("it exists") };
            kill_process(at, Signal::CONT).unwrap();
            child.read_exact(&mut [0]).unwrap();
            ownership.publish(&whole(2)).unwrap();
            // The child ends.
            let _ = child.read(&mut [0]);
        },
    );
}

/// The map of a cluster of that many nodes.
fn whole(nodes: u16) -> ClusterMap {
    let mut map = ClusterMap::new(Capacity::DEFAULT);
    for number in 0..nodes {
        map.nodes.insert(node(number)).unwrap();
    }
    add_namespace(&mut map, "test", 1);
    map
}
