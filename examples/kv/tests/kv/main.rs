//! The client of this package with nodes that die, freeze and move: no operation may
//! be lost without an error.

mod access;
mod failures;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use tempfile::TempDir;
use tendmap::client::Client;
use tendmap::map::{Node, NodeId};
use tendmap::route::{Digest, Policy};
use tendmap::sim::{RecordKind, Sim, SimConfig, SimUser};
use tendmap_testkit::authority::{Authority, NAME};
use tendmap_testkit::{directory, wait_until};

use tendmap_kv::access::Access;
use tendmap_kv::flags::Args;
use tendmap_kv::load::{Tally, run};
use tendmap_kv::pool::{Counts, Pool};
use tendmap_kv::store::{KvError, Settings, Store};
use tendmap_kv::wire::{self, Bins, Value};

const LONG: Duration = Duration::from_secs(30);

struct Bench {
    sim: Sim,
    client: Client,
    counts: Counts,
    settings: Settings,
    access: Access,
    _directory: TempDir,
}

impl Bench {
    fn new(nodes: usize) -> Bench {
        let sim = Sim::start(SimConfig::fast(nodes)).unwrap();
        let seeds: Vec<String> = sim.seeds().iter().map(ToString::to_string).collect();
        Bench::over(sim, &seeds.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// A client with these hosts and flags.
    fn over(sim: Sim, args: &[&str]) -> Bench {
        let args = Args::try_parse_from([&["kv"], args].concat()).unwrap();
        let directory = directory();
        let mut config = args.config().unwrap();
        config.shm_directory = directory.path().into();
        config.tend_interval = Duration::from_millis(50);
        config.connect_timeout = Duration::from_secs(1);
        // Allows a long interval.
        config.shm_takeover_threshold = Duration::from_secs(3600);
        let access = Access::new(&config).unwrap();
        let client = Client::connect(config).unwrap();
        let settings = Settings { socket_timeout: Duration::from_millis(200), ..args.settings() };
        let counts = Counts::default();
        Bench { sim, client, counts, settings, access, _directory: directory }
    }

    fn store(&self) -> Store {
        let Bench { client, settings, access, counts, .. } = self;
        Store::new(client, "test", "kv", *settings, access, counts).unwrap()
    }

    /// Runs the load in several threads while `torment` does its part.
    fn load(&self, torment: impl FnOnce(&AtomicU64)) -> Tally {
        let (stop, progress) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            let work = |number| {
                let mut store = self.store();
                let (stop, progress) = (&stop, &progress);
                scope.spawn(move || run(&mut store, number, stop, progress))
            };
            let workers: Vec<_> = (0..3).map(work).collect();
            go_on(&progress);
            torment(&progress);
            go_on(&progress);
            stop.store(true, Ordering::Relaxed);
            let mut tally = Tally::default();
            workers.into_iter().for_each(|worker| tally.add(worker.join().unwrap()));
            tally
        })
    }

    /// A node dies, and returns after it has left the map.
    fn die(&self, number: usize, progress: &AtomicU64) {
        let id = self.id(number);
        self.sim.kill(number).unwrap();
        go_on(progress);
        wait_until("the node is out", || self.address_in_map(id).is_none());
        self.sim.start_node(number).unwrap();
        self.settle();
        wait_until("the node is back", || self.address_in_map(id).is_some());
        go_on(progress);
    }

    /// A node freezes, and wakes.
    fn freeze(&self, number: usize, progress: &AtomicU64) {
        self.sim.freeze(number).unwrap();
        go_on(progress);
        self.sim.thaw(number).unwrap();
        self.settle();
        go_on(progress);
    }

    fn settle(&self) {
        assert!(self.sim.settle(LONG), "{:?}", self.sim.status());
    }

    fn id(&self, number: usize) -> NodeId {
        let status = self.sim.status().unwrap();
        let node = status.nodes.iter().find(|node| node.number == number).unwrap();
        NodeId::new(&node.node).unwrap()
    }

    fn address_in_map(&self, id: NodeId) -> Option<SocketAddr> {
        let map = self.client.map().unwrap().map;
        map.nodes.iter().find(|(_, node)| node.id == id).map(|(_, node)| node.address)
    }
}

/// The load continues: hundreds of operations more.
fn go_on(progress: &AtomicU64) {
    let before = progress.load(Ordering::Relaxed);
    wait_until("operations", || progress.load(Ordering::Relaxed) > before + 300);
}

fn nothing_lost(tally: &Tally) {
    assert_eq!(tally.lost, [] as [String; 0]);
    assert_eq!(
        tally.errors,
        [] as [String; 0],
        "there are two replicas: the other one executes it"
    );
    assert!(tally.operations() > 600, "{tally:?}");
}

#[test]
fn a_record_of_every_scalar_comes_back_and_goes() {
    let bench = Bench::new(3);
    let mut store = bench.store();
    let bins = Bins::from([
        ("integer".into(), Value::Integer(-5)),
        ("double".into(), Value::Double(0.25)),
        ("text".into(), Value::Str("grün".into())),
        ("bytes".into(), Value::Bytes(vec![0, 1, 255])),
        ("bool".into(), Value::Bool(true)),
    ]);
    assert_eq!(store.get("a").unwrap(), None);
    assert!(!store.delete("a").unwrap().found);
    store.put("a", &bins).unwrap();
    assert_eq!(store.get("a").unwrap(), Some(bins.clone()));
    store.put("a", &Bins::from([("integer".into(), Value::Integer(6))])).unwrap();
    let found = store.get("a").unwrap().unwrap();
    assert_eq!((found.len(), &found["integer"]), (5, &Value::Integer(6)), "others stay");
    assert_eq!(store.get(5).unwrap(), None, "another key");
    assert!(store.delete("a").unwrap().found);
    assert_eq!(store.get("a").unwrap(), None);
    let long = Bins::from([("b".repeat(16), Value::Integer(1))]);
    assert!(matches!(store.put("a", &long), Err(KvError::Bin(_))));
}

#[test]
fn on_a_quiet_cluster_every_command_goes_to_the_master_or_to_a_replica_in_turn() {
    let mut bench = Bench::new(3);
    bench.settle();
    wait_until("the first map", || bench.client.map().is_ok_and(|last| last.map.nodes.len() == 3));
    let owners = bench.sim.owners("test").unwrap();
    bench.settings.read_policy = Policy::Any;
    let mut store = bench.store();
    for key in 0..500 {
        store.put(key, &Bins::new()).unwrap();
        store.get(key).unwrap();
    }
    let log = bench.sim.take_commands().unwrap();
    assert_eq!(log.len(), 1000, "no command was sent twice");
    let mut places = [0; 2];
    for command in &log {
        let replicas = &owners[command.partition];
        let place = replicas.iter().position(|id| id.as_str() == command.node).unwrap();
        match command.kind {
            RecordKind::Write => assert_eq!(place, 0, "{command:?}"),
            _ => places[place] += 1,
        }
    }
    assert_eq!(places, [250, 250]);
    assert_eq!(Digest::of("kv", 0).to_hex(), log[0].digest);
    // One thread has one connection to each node.
    let opened = bench
        .counts
        .all()
        .iter()
        .map(|(_, count)| count.connections.load(Ordering::Relaxed))
        .sum::<u64>();
    assert_eq!(opened, 3);
}

#[test]
fn a_rack_that_is_preferred_is_read_from() {
    let mut config = SimConfig::fast(2);
    config.enterprise = true;
    let sim = Sim::start(config).unwrap();
    for (number, rack) in [(1, 7), (2, -8)] {
        sim.set_rack(number, "test", rack).unwrap();
    }
    let seed = sim.seeds()[0].to_string();
    let bench = Bench::over(sim, &[&seed, "--prefer-rack", "-8", "--prefer-rack", "7"]);
    bench.settle();
    wait_until("racks and both nodes", || {
        let map = bench.client.map().unwrap().map;
        let racks = |namespace: &tendmap::map::Namespace| {
            map.nodes.iter().filter(|(slot, _)| namespace.rack(*slot).is_some()).count()
        };
        map.namespaces().iter().any(|ns| ns.name.as_str() == "test" && racks(ns) == 2)
    });
    let mut store = bench.store();
    store.put(0, &Bins::new()).unwrap();
    bench.sim.take_commands().unwrap();
    for key in 0..100 {
        store.get(key).unwrap();
    }
    let log = bench.sim.take_commands().unwrap();
    assert_eq!(log.len(), 100);
    assert!(log.iter().all(|command| command.number == 2), "{log:?}");
}
