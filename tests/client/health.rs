//! A status reports whether the map can be kept current.

use core::ops::ControlFlow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tendmap::client::{Client, Config, Reader, Status, Verdict};
use tendmap::internals::layout::OwnerWord;
use tendmap::internals::map::Departure;
use tendmap::internals::segment::{boottime_ms, private};
use tendmap::map::{Capacity, ClusterMap, Condition};
use tendmap::sim::{Sim, SimConfig};
use tendmap::tend::{ClusterSource, TendError, TendReport, Turn};
use tendmap_testkit::{config, directory, wait_until};

/// A source whose passes begin when the test allows it.
#[derive(Clone)]
struct Gate {
    map: ClusterMap,
    allowed: Arc<AtomicU64>,
    done: u64,
    report: Arc<Mutex<TendReport>>,
}

impl Gate {
    fn new(nodes: u16) -> Gate {
        let mut map = ClusterMap::new(Capacity::DEFAULT);
        for number in 0..nodes {
            map.nodes.insert(tendmap_testkit::node(number)).unwrap();
        }
        tendmap_testkit::add_namespace(&mut map, "test", 1);
        let allowed = Arc::new(AtomicU64::new(1));
        Gate { map, allowed, done: 0, report: Arc::default() }
    }

    /// Runs one more pass with this report.
    fn pass(&self, report: TendReport) {
        *self.report.lock().unwrap() = report;
        self.allowed.fetch_add(1, Ordering::SeqCst);
    }
}

impl ClusterSource for Gate {
    fn start(&mut self, _: ClusterMap) {}
    fn tend(&mut self, turn: &mut dyn Turn) -> Result<TendReport, TendError> {
        while self.done >= self.allowed.load(Ordering::SeqCst) {
            if turn.beat() == ControlFlow::Break(()) {
                return Err(TendError::Interrupted);
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        self.done += 1;
        Ok(*self.report.lock().unwrap())
    }
    fn map(&self) -> &ClusterMap {
        &self.map
    }
    fn stop(&mut self) {}
}

fn problems(status: &Status) -> Vec<String> {
    match status.verdict() {
        Verdict::Healthy => Vec::new(),
        Verdict::Unhealthy(problems) => problems,
    }
}

#[test]
fn h116_the_heart_beats_during_a_pass_and_its_age_shows_it() {
    let (directory, gate) = (directory(), Gate::new(2));
    let client = Client::connect_with(config(&directory), Box::new(gate.clone())).unwrap();
    // The second pass does not end.
    wait_until("a pass that lasts", || {
        client.request_tend();
        let status = client.status().unwrap();
        let (beat, tended) = (status.heartbeat_age.unwrap(), status.tended_age.unwrap());
        tended > Duration::from_secs(1) && beat < tended / 4
    });
    let json = client.status().unwrap().to_json_value();
    let ms = |name: &str| json[name].as_u64().unwrap();
    assert!(ms("heartbeat_age_ms") < ms("tended_age_ms"), "{json}");
    gate.pass(TendReport::default());
}

#[test]
fn h65_every_condition_is_a_remark_for_three_passes_and_then_a_problem() {
    let (directory, gate) = (directory(), Gate::new(2));
    let mut config = config(&directory);
    config.tend_interval = Duration::from_millis(400);
    let client = Client::connect_with(config, Box::new(gate.clone())).unwrap();
    let status = || client.status().unwrap();
    let pass = |report: TendReport, done: &dyn Fn(&Status) -> bool| {
        gate.pass(report);
        wait_until("the pass", || {
            client.request_tend();
            done(&status())
        });
    };
    let mut reports: Vec<(Condition, TendReport)> = Condition::ALL
        .into_iter()
        .filter(|condition| condition.is_reported_by_source())
        .map(|condition| {
            let mut report = TendReport::default();
            report.conditions.add(condition, 2);
            (condition, report)
        })
        .collect();
    let mut failing = TendReport::default();
    failing.nodes_failed = 1;
    reports.push((Condition::FailingNodes, failing));
    failing.bad_replies = 1;
    reports.push((Condition::BadReplies, failing));
    let mut refused = TendReport::default();
    refused.refused = 1;
    reports.push((Condition::Refused, refused));
    for (condition, report) in reports {
        for passes in 1..=4 {
            pass(report, &|status| {
                status.conditions.iter().any(|c| c.condition == condition && c.passes == passes)
            });
            let status = status();
            assert_eq!(problems(&status).len(), usize::from(passes > 3), "{status:?}");
            assert_eq!(status.remarks().len(), usize::from(passes <= 3), "{status:?}");
        }
        let json = status().to_json_value();
        assert_eq!(json["healthy"], false);
        assert_eq!(json["conditions"][0]["condition"], condition.as_str());
        pass(TendReport::default(), &|status| status.conditions.is_empty());
        assert_eq!(status().verdict(), Verdict::Healthy);
    }
    client.close();
}

fn owner(sim: &Sim, directory: &tempfile::TempDir) -> (Client, Reader) {
    let mut config = Config::shared(sim.seeds().into_iter().map(Into::into).collect(), 0x7E4D_0003);
    config.shm_directory = directory.path().into();
    config.tend_interval = Duration::from_millis(50);
    config.connect_timeout = Duration::from_millis(500);
    let place = config.place();
    let client = Client::connect(config).unwrap();
    (client, Reader::attach(&place).unwrap())
}

#[track_caller]
fn unhealthy_until_mended(reader: &Reader, part: &str, mend: impl FnOnce()) {
    let found = |status: &Status| problems(status).iter().any(|problem| problem.contains(part));
    wait_until(part, || found(&reader.status().unwrap()));
    mend();
    wait_until("healthy again", || reader.status().unwrap().verdict() == Verdict::Healthy);
}

#[test]
fn h65_nodes_that_refuse_or_do_not_answer_make_the_status_unhealthy() {
    let (sim, directory) = (Sim::start(SimConfig::fast(3)).unwrap(), directory());
    let (client, reader) = owner(&sim, &directory);
    let all = [1, 2, 3];
    let reply = |command: &str, text: Option<&str>| {
        all.iter().for_each(|&number| sim.set_reply(number, command, text).unwrap());
    };
    reply("replicas", Some("ERROR:7:unstable cluster"));
    all.iter().for_each(|&number| sim.set_generations(number, 1000, 1000, 1000).unwrap());
    unhealthy_until_mended(&reader, "can't be used", || reply("replicas", None));
    reply("peers-clear-std", Some("ERROR:4:nope"));
    all.iter().for_each(|&number| sim.set_generations(number, 2000, 2000, 2000).unwrap());
    unhealthy_until_mended(&reader, "can't be used", || reply("peers-clear-std", None));
    sim.set_reply(1, "partition-generation", Some("-1")).unwrap();
    unhealthy_until_mended(&reader, "not joined", || {
        sim.set_reply(1, "partition-generation", None).unwrap();
    });
    reply("partition-generation", Some("much"));
    unhealthy_until_mended(&reader, "tending fails", || reply("partition-generation", None));
    client.close();
}

#[test]
fn h67_a_peer_that_is_listed_but_missing_makes_the_status_unhealthy() {
    let (sim, directory) = (Sim::start(SimConfig::fast(1)).unwrap(), directory());
    let (client, reader) = owner(&sim, &directory);
    sim.set_reply(1, "peers-clear-std", Some("7,3000,[[BB9FFFF,,[127.0.0.1:1]]]")).unwrap();
    sim.set_generations(1, 7, 7, 7).unwrap();
    unhealthy_until_mended(&reader, "that others list", || {
        sim.set_reply(1, "peers-clear-std", None).unwrap();
        sim.set_generations(1, 9, 9, 9).unwrap();
    });
    client.close();
}

#[test]
fn h67_a_node_that_left_is_mentioned_until_it_comes_back() {
    let (sim, directory) = (Sim::start(SimConfig::fast(3)).unwrap(), directory());
    let (client, reader) = owner(&sim, &directory);
    let gone = reader.status().unwrap().members[1].id;
    let nodes = sim.status().unwrap().nodes;
    let number = 1 + nodes
        .iter()
        .position(|node| node.node == gone.as_str())
        .expect("a node of the cluster");
    let mentioned = || {
        let status = reader.status().unwrap();
        status.departed.iter().any(|node| node.id == gone)
            && status.remarks().iter().any(|remark| remark.contains(gone.as_str()))
    };
    assert!(!mentioned());
    sim.kill(number).unwrap();
    wait_until("it is mentioned", mentioned);
    assert_eq!(reader.status().unwrap().members.len(), 2);
    sim.start_node(number).unwrap();
    wait_until("it is back", || reader.status().unwrap().members.len() == 3);
    assert!(!mentioned());
    client.close();
}

#[test]
fn h66_the_heart_beats_every_second_however_long_the_interval() {
    let (directory, gate) = (directory(), Gate::new(1));
    let mut config = config(&directory);
    config.tend_interval = Duration::from_secs(3600);
    config.shm_takeover_threshold = Duration::from_secs(3 * 3600);
    let client = Client::connect_with(config, Box::new(gate)).unwrap();
    let segment = client.segment();
    let word = || segment.mapping().owner(OwnerWord::Heartbeat).load(Ordering::Relaxed);
    for _ in 0..3 {
        let before = word();
        wait_until("a heartbeat", || word() != before);
    }
    assert!(client.status().unwrap().heartbeat_age.unwrap() < Duration::from_secs(10));
    client.close();
}

/// As after a restart of the host whose segments are not in memory, and in a container
/// that was moved to another one.
#[test]
fn h235_times_of_another_boot_are_no_ages() {
    let mut ownership = private(Capacity::DEFAULT, 0).unwrap();
    ownership.publish(&Gate::new(2).map).unwrap();
    let tended = |at_ms| {
        ownership.set(OwnerWord::TendedMs, at_ms);
        let id = tendmap_testkit::node(7).id;
        let departure = Departure { id, at_ms, reason: "it no longer answers".into() };
        ownership.set_departures(&[departure]).unwrap();
        Status::of(ownership.segment()).unwrap()
    };
    let status = tended(boottime_ms() + 24 * 3600 * 1000);
    assert_eq!((status.tended_age, status.departed.len()), (None, 0));
    assert_eq!(problems(&status), ["never tended"]);
    assert!(status.is_stale());
    // A time that was stored while the status was being taken.
    let status = tended(boottime_ms() + 1);
    assert!(status.tended_age.is_some() && status.departed.len() == 1);
    assert_eq!(problems(&status), [""; 0]);
}
