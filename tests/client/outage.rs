//! The end of an outage of the whole cluster: the first answer ends the back-off.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tendmap::client::Client;
use tendmap::map::ClusterMap;
use tendmap::sim::{Sim, SimConfig};
use tendmap::tend::{ClusterSource, TendError, TendReport, Turn};
use tendmap_testkit::{Cluster, config, directory};

/// The calls of a source: `P` a pass, `G` a glance.
type Calls = Arc<Mutex<String>>;

/// A cluster that is down, or answers without being complete.
struct Down {
    inside: Box<dyn ClusterSource>,
    calls: Calls,
    /// Whether a glance finds a server.
    anybody: Arc<Mutex<bool>>,
    answers: usize,
}

impl ClusterSource for Down {
    fn start(&mut self, map: ClusterMap) {
        self.inside.start(map);
    }
    fn tend(&mut self, _: &mut dyn Turn) -> Result<TendReport, TendError> {
        self.calls.lock().unwrap().push('P');
        Err(TendError::NoSeed { tried: vec!["it is down".into()] })
    }
    fn failed_pass(&self) -> TendReport {
        let mut report = TendReport::default();
        report.answers = self.answers;
        report
    }
    fn glance(&mut self, _: &mut dyn Turn) -> bool {
        self.calls.lock().unwrap().push('G');
        std::mem::take(&mut *self.anybody.lock().unwrap())
    }
    fn map(&self) -> &ClusterMap {
        self.inside.map()
    }
    fn stop(&mut self) {
        self.inside.stop();
    }
}

fn down(answers: usize) -> (Client, Calls, Arc<Mutex<bool>>, tempfile::TempDir) {
    let directory = directory();
    let (calls, anybody) = (Calls::default(), Arc::new(Mutex::new(false)));
    let inside = Cluster::new(2, 1).source();
    let source = Down { inside, calls: calls.clone(), anybody: anybody.clone(), answers };
    let client = Client::start_with(config(&directory), Box::new(source)).unwrap();
    (client, calls, anybody, directory)
}

fn wait_for(calls: &Calls, what: &str, times: usize) -> String {
    let there = || calls.lock().unwrap().matches(what).count() >= times;
    tendmap_testkit::wait_until(what, there);
    calls.lock().unwrap().clone()
}

#[test]
fn h55_between_passes_that_are_ever_further_apart_it_is_looked_for_a_first_answer() {
    let (client, calls, anybody, _directory) = down(0);
    // One glance per interval, whatever the pause.
    let made = wait_for(&calls, "GGG", 2);
    assert!(made.starts_with("PPG"), "no glance while the pause is an interval: {made}");
    // The first answer is followed by a pass, and that by one an interval later.
    wait_for(&calls, "GG", made.matches("GG").count() + 1);
    let mut locked = calls.lock().unwrap();
    *anybody.lock().unwrap() = true;
    locked.clear();
    drop(locked);
    let made = wait_for(&calls, "P", 3);
    let from = made.find("GP").map_or(0, |at| at + 1);
    assert!(made[..from].len() <= 2 && made[from..].starts_with("PP"), "{made}");
    client.close();
}

#[test]
fn h55_a_request_to_tend_ends_the_back_off() {
    let (client, calls, _, _directory) = down(0);
    wait_for(&calls, "GGG", 1);
    let begun = Instant::now();
    calls.lock().unwrap().clear();
    while !calls.lock().unwrap().contains("PP") {
        assert!(begun.elapsed() < Duration::from_secs(60));
        client.request_tend();
        std::thread::sleep(Duration::from_millis(5));
    }
    let made = calls.lock().unwrap().clone();
    assert!(made.matches('G').count() <= 2, "{made}");
    client.close();
}

#[test]
fn h55_servers_that_answer_but_are_not_whole_yet_are_asked_every_interval() {
    let (client, calls, _, _directory) = down(1);
    let made = wait_for(&calls, "P", 12);
    assert!(!made.contains('G'), "{made}");
    client.close();
}

/// Whether the map matches the cluster.
fn is_right(sim: &Sim, client: &Client) -> bool {
    let Ok(snapshot) = client.map() else { return false };
    let map = snapshot.map;
    let right = |name: &str| {
        let Some(namespace) = map.namespaces().iter().find(|known| known.name.as_str() == name)
        else {
            return false;
        };
        sim.owners(name).unwrap().iter().enumerate().all(|(partition, owners)| {
            let owner = |replica: usize| {
                let slot = namespace.partitions.holder(partition, replica)?;
                Some(map.nodes.get(slot)?.id)
            };
            owners.iter().enumerate().all(|(replica, id)| owner(replica) == Some(*id))
        })
    };
    right("test") && right("bar")
}

#[test]
fn h55_after_an_outage_of_the_whole_cluster_the_map_is_right_within_a_few_passes() {
    let sim = Sim::start(SimConfig::fast(3)).unwrap();
    let directory = directory();
    let mut config = config(&directory);
    config.hosts = sim.seeds().iter().map(|&seed| seed.into()).collect();
    config.tend_interval = Duration::from_millis(200);
    let client = Client::connect(config).unwrap();
    for frozen in [false, true] {
        for number in 1..=3 {
            if frozen { sim.freeze(number).unwrap() } else { sim.kill(number).unwrap() }
        }
        // Until the pause has reached its maximum.
        let errors = || client.status().unwrap().tend_errors;
        let before = errors();
        tendmap_testkit::wait_until("an outage", || errors() >= before + 6);
        for number in 1..=3 {
            if frozen { sim.thaw(number).unwrap() } else { sim.start_node(number).unwrap() }
        }
        let begun = Instant::now();
        assert!(sim.settle(Duration::from_secs(60)));
        let whole = client.status().unwrap();
        tendmap_testkit::wait_until("the right map", || is_right(&sim, &client));
        let now = client.status().unwrap();
        let passes = (now.tends + now.tend_errors) - (whole.tends + whole.tend_errors);
        println!("right {:?} after the start, {passes} passes after it was whole", begun.elapsed());
        assert!(passes <= 5, "{passes} passes");
    }
    client.close();
}
