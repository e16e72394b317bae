//! The tender against the simulated cluster. Whatever happens to the nodes, when the
//! cluster is quiet the map equals the cluster's own.

use std::time::{Duration, Instant};

use tendmap::map::{Capacity, ClusterMap, NodeId};
use tendmap::sim::{Sim, SimConfig, SimNamespace, Timings};
use tendmap::tend::{AerospikeConfig, AerospikeSource, ClusterSource, TendEvent};
use tendmap_testkit::tables::{Log, ns};

const LONG: Duration = Duration::from_secs(30);
/// Longer than any step takes unless a node hangs.
const DEADLINE: Duration = Duration::from_millis(500);

fn sim(nodes: usize) -> Sim {
    let mut config = SimConfig::new(nodes);
    config.timings = Timings::fast();
    config.namespaces = vec![SimNamespace::new("test", 2), SimNamespace::strong("ledger", 3)];
    Sim::start(config).unwrap()
}

fn source(sim: &Sim) -> AerospikeSource {
    let mut config = AerospikeConfig::new(vec![sim.seeds()[0].into()]);
    config.connect_timeout = DEADLINE;
    let mut source = AerospikeSource::new(config);
    source.start(ClusterMap::new(Capacity { max_nodes: 16, ..Capacity::DEFAULT }));
    source
}

/// The first difference between the map and the cluster's own.
fn difference(sim: &Sim, map: &ClusterMap) -> Option<String> {
    for name in ["test", "ledger"] {
        let Some(namespace) = map.namespace(&ns(name)) else { return Some(format!("no {name}")) };
        let truth = sim.owners(name).unwrap();
        if truth.iter().any(|replicas| replicas.len() != namespace.routable_replicas()) {
            return Some(format!("{name} has {} replicas", namespace.replication_factor));
        }
        for (partition, wanted) in truth.iter().enumerate() {
            let found: Vec<Option<NodeId>> = (0..wanted.len())
                .map(|r| namespace.partitions.holder(partition, r))
                .map(|slot| Some(map.nodes.get(slot?)?.id))
                .collect();
            if found.iter().zip(wanted).any(|(found, wanted)| found.as_ref() != Some(wanted)) {
                return Some(format!("{name} {partition}: {found:?}, wanted {wanted:?}"));
            }
        }
    }
    None
}

/// Tends until the cluster is quiet and the map equals the cluster's own.
fn converge(sim: &Sim, source: &mut AerospikeSource, what: &str) -> Vec<TendEvent> {
    let (start, mut log) = (Instant::now(), Log::default());
    loop {
        // A pass without any answer does not end the wait.
        let result = source.tend(&mut log);
        let settled = sim.settle(Duration::ZERO);
        let difference = difference(sim, source.map());
        if settled && difference.is_none() {
            return log.events;
        }
        assert!(start.elapsed() < LONG, "{what}: {difference:?}, {result:?}, {:?}", log.events);
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// In a quiet cluster each node gets one request per pass, over one lasting
/// connection.
fn assert_rest(sim: &Sim, source: &mut AerospikeSource) {
    // The last pass may have replaced an entry; its former holder is then asked once
    // more.
    source.tend(&mut Log::default()).unwrap();
    let before = sim.status().unwrap();
    for _ in 0..3 {
        let report = source.tend(&mut Log::default()).unwrap();
        assert!(!report.changed && report.nodes_failed == 0, "{report:?}");
    }
    for (before, now) in before.nodes.iter().zip(&sim.status().unwrap().nodes) {
        let running = before.state == tendmap::sim::SimNodeState::Running;
        assert_eq!(now.info_requests, before.info_requests + if running { 3 } else { 0 });
        assert_eq!(now.connections_accepted, before.connections_accepted);
        assert_eq!(now.connections, usize::from(running), "node {}", now.node);
    }
}

#[test]
fn one_pass_is_enough_to_know_a_cluster() {
    let sim = sim(5);
    let mut source = source(&sim);
    let mut log = Log::default();
    let report = source.tend(&mut log).unwrap();
    assert_eq!((report.nodes_ok, report.nodes_failed), (5, 0));
    assert_eq!(difference(&sim, source.map()), None);
    assert_rest(&sim, &mut source);
}

#[test]
fn the_map_follows_whatever_happens_to_the_nodes() {
    let sim = sim(4);
    let mut source = source(&sim);
    converge(&sim, &mut source, "start");
    let mut random = fastrand::Rng::with_seed(7);
    for round in 0..16 {
        let number = random.usize(1..=4);
        let what = random.usize(0..6);
        let here = format!("round {round}: {what} of node {number}");
        match what {
            0 => {
                sim.kill(number).unwrap();
                converge(&sim, &mut source, &here);
                sim.start_node(number).unwrap();
            }
            1 => {
                sim.stop_clean(number).unwrap();
                // It is back before the others notice, or just as they do.
                std::thread::sleep(Duration::from_millis(random.u64(0..60)));
                source.tend(&mut Log::default()).ok();
                sim.start_node(number).unwrap();
            }
            2 => drop(sim.move_node(number, 0).unwrap()),
            3 => {
                sim.freeze(number).unwrap();
                converge(&sim, &mut source, &here);
                sim.thaw(number).unwrap();
            }
            4 => {
                sim.isolate(number).unwrap();
                source.tend(&mut Log::default()).ok();
                std::thread::sleep(Duration::from_millis(60));
                source.tend(&mut Log::default()).ok();
                sim.heal(number).unwrap();
            }
            _ => {
                let added = sim.add().unwrap();
                converge(&sim, &mut source, &here);
                sim.remove(added).unwrap();
            }
        }
        converge(&sim, &mut source, &here);
        assert_eq!(source.map().nodes.len(), 4, "{here}");
    }
    assert_rest(&sim, &mut source);
}

#[test]
fn nodes_that_hang_delay_a_pass_by_one_deadline_only() {
    let sim = sim(5);
    let mut source = source(&sim);
    converge(&sim, &mut source, "start");
    for number in [2, 4] {
        sim.freeze(number).unwrap();
    }
    let mut log = Log::default();
    let report = source.tend(&mut log).unwrap();
    // By then the others may have noticed, and the two nodes may be removed.
    assert_eq!(report.nodes_ok, 3);
    // At most one beat every 50 ms, and one for each question: 16 with one deadline,
    // 26 with two.
    assert!((2..=20).contains(&log.beats), "{} beats", log.beats);
}

#[test]
fn h39_a_cluster_that_came_back_elsewhere_is_found_by_what_was_told_before() {
    let sim = sim(3);
    let mut source = source(&sim);
    converge(&sim, &mut source, "start");
    // The seed and one more node move between two passes; the third stays.
    for number in [1, 2] {
        sim.move_node(number, 0).unwrap();
        assert!(sim.settle(LONG));
    }
    let events = converge(&sim, &mut source, "moved");
    let moved = events.iter().filter(|e| matches!(e, TendEvent::NodeMoved { .. })).count();
    assert_eq!(moved, 2, "{events:?}");
    assert_rest(&sim, &mut source);
}

/// The processor time of the tending thread. Simulated nodes have threads of their
/// own.
fn processor_time() -> Duration {
    #[expect(clippy::disallowed_methods, reason = "the processor time of a thread")]
    let now = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

#[test]
fn a_pass_over_64_nodes_at_rest_takes_a_few_milliseconds_of_the_processor() {
    let sim = sim(64);
    let mut config = AerospikeConfig::new(vec![sim.seeds()[0].into()]);
    config.connect_timeout = Duration::from_secs(5);
    let mut source = AerospikeSource::new(config);
    source.start(ClusterMap::new(Capacity { max_nodes: 64, ..Capacity::DEFAULT }));
    converge(&sim, &mut source, "64 nodes");
    let mut times: Vec<Duration> = (0..20)
        .map(|_| {
            let begun = processor_time();
            source.tend(&mut Log::default()).unwrap();
            processor_time() - begun
        })
        .collect();
    times.sort_unstable();
    println!("a pass over 64 nodes: {:?} of processor time (median)", times[10]);
    assert!(times[10] <= Duration::from_millis(10), "{times:?}");
}
