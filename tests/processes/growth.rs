//! Segments that grow under routing processes.

use std::time::Duration;

use tendmap::client::Reader;
use tendmap::sim::{Sim, SimConfig};

use crate::setup::Setup;
use crate::worker::Worker;
use tendmap_testkit::{directory, files, wait_at_most, wait_until};

pub fn trials() -> Vec<(&'static str, fn())> {
    vec![
        ("h15_a_segment_grows_under_twelve_routing_processes", grows),
        ("h15_at_the_ceiling_a_surplus_node_is_refused_and_nothing_else_changes", ceiling),
        ("the_ownership_is_handed_on_in_a_grown_segment", handed_on),
        ("h43_a_segment_whose_terms_are_used_up_is_succeeded", terms_used_up),
    ]
}

fn grows() {
    let directory = directory();
    let mut setup = Setup::new(directory.path(), vec!["127.0.0.1:1".into()]);
    // Twelve busy processes may leave the owner little of the processor: it is
    // slow, not hung.
    setup.threshold_ms = 30_000;
    // Capacities differ from process to process: they meet all the same.
    let mut workers: Vec<Worker> = (0..12)
        .map(|number| {
            setup.max_nodes = 4 + number % 3;
            let worker = Worker::start("spin", &setup);
            worker.expect("connected");
            worker
        })
        .collect();
    let reader = Reader::attach(&setup.place()).unwrap();
    wait_at_most(Duration::from_secs(120), "200 nodes and 40 namespaces", || {
        reader
            .map()
            .is_ok_and(|found| (found.map.nodes.len(), found.map.namespaces().len()) == (200, 40))
    });
    let status = reader.status().unwrap();
    assert!(status.generation > 3 && status.max_nodes >= 200, "{status:?}");
    assert_eq!(status.attached, Some(13), "everybody has moved over");
    drop(reader);
    for worker in &mut workers {
        let told = worker.ask("close", "spun");
        assert!(told["lookups"].as_u64().unwrap() > 1000, "{told}");
        assert_eq!((&told["failed"], &told["wrong"]), (&0.into(), &0.into()), "{told}");
        assert_eq!(told["nodes"], 200, "{told}");
    }
    drop(workers);
    tendmap::segment::remove(&setup.place(), true).unwrap_err();
    assert_eq!(files(&directory), 0, "no older generation is left either");
}

fn ceiling() {
    let sim = Sim::start(SimConfig::fast(3)).unwrap();
    let directory = directory();
    let hosts = sim.seeds().iter().map(ToString::to_string).collect();
    let mut setup = Setup::new(directory.path(), hosts);
    (setup.max_nodes, setup.ceiling) = (2, 4);
    let mut worker = Worker::client(&setup);
    let reader = Reader::attach(&setup.place()).unwrap();
    sim.add().unwrap();
    let four = || reader.map().unwrap().map.nodes.len() == 4;
    wait_until("four nodes", four);
    sim.add().unwrap();
    assert!(sim.settle(Duration::from_secs(20)));
    wait_until("the fifth is refused and counted", || reader.status().unwrap().refused_nodes == 1);
    assert!(four());
    assert_eq!(reader.status().unwrap().max_nodes, 4);
    // Partitions of the refused node stay with their previous holders. Everything else
    // matches the cluster.
    let truth = sim.owners("test").unwrap();
    let found = reader.map().unwrap().map;
    let known: Vec<_> = found.nodes.iter().map(|(_, node)| node.id).collect();
    for (partition, owners) in truth.iter().enumerate() {
        let slot = found.namespaces()[0].partitions.holder(partition, 0).unwrap();
        let node = found.nodes.get(slot).unwrap().id;
        assert!(node == owners[0] || !known.contains(&owners[0]), "partition {partition}");
    }
    worker.assert_routes();
}

fn handed_on() {
    let sim = Sim::start(SimConfig::fast(6)).unwrap();
    let directory = directory();
    let hosts = sim.seeds().iter().map(ToString::to_string).collect();
    let mut setup = Setup::new(directory.path(), hosts);
    setup.max_nodes = 2;
    let owner = Worker::client(&setup);
    let mut next = Worker::client(&setup);
    next.assert_routes();
    let generation = Reader::attach(&setup.place()).unwrap().segment().identity().generation;
    assert!(generation > 1, "six nodes do not fit into two slots");
    owner.close();
    next.expect("owner");
    sim.add().unwrap();
    let reader = Reader::attach(&setup.place()).unwrap();
    wait_until("the next one tends", || reader.map().unwrap().map.nodes.len() == 7);
    next.assert_routes();
    drop(reader);
    next.close();
    assert_eq!(files(&directory), 0);
}

fn terms_used_up() {
    use std::os::unix::fs::FileExt;
    let sim = Sim::start(SimConfig::fast(3)).unwrap();
    let directory = directory();
    let hosts = sim.seeds().iter().map(ToString::to_string).collect();
    let setup = Setup::new(directory.path(), hosts);
    let owner = Worker::client(&setup);
    let mut next = Worker::client(&setup);
    owner.kill();
    next.expect("owner");
    // Set the head to the last term, as after 65,534 takeovers: the owner is fenced,
    // and no process can enter another term.
    let segment = Reader::attach(&setup.place()).unwrap().segment();
    let head = segment.head();
    let last = tendmap::internals::protocol::Head::new(
        tendmap::internals::protocol::Term::LAST,
        head.sequence(),
    );
    let file = std::fs::File::options().write(true).open(segment.path().unwrap()).unwrap();
    file.write_all_at(&last.bits().to_ne_bytes(), 256).unwrap();
    next.expect("fenced");
    next.expect("owner");
    let successor = Reader::attach(&setup.place()).unwrap().segment();
    assert_eq!((successor.identity().generation, successor.head().term()), (2, 1));
    assert!(successor.head().sequence() >= head.sequence(), "the map was inherited");
    next.assert_routes();
}
