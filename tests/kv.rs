//! The client of `examples/kv.rs` on nodes that die, freeze and move: no
//! operation may be lost without an error.

mod common;
#[allow(dead_code, reason = "the example uses all of it")]
#[path = "../examples/kv/load.rs"]
mod load;
#[allow(dead_code, reason = "the example uses all of it")]
#[path = "../examples/kv/pool.rs"]
mod pool;
#[path = "../examples/kv/store.rs"]
mod store;
#[path = "../examples/kv/wire.rs"]
mod wire;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{directory, wait_until};
use tempfile::TempDir;
use tendmap::client::Client;
use tendmap::map::{Node, NodeId};
use tendmap::route::{Digest, Policy};
use tendmap::sim::{RecordKind, Sim, SimConfig};

use load::Tally;
use pool::{Counts, Pool};
use store::{KvError, Settings, Store};
use wire::{Bins, Value};

const LONG: Duration = Duration::from_secs(30);

struct Bench {
    sim: Sim,
    client: Client,
    counts: Counts,
    settings: Settings,
    _directory: TempDir,
}

impl Bench {
    fn new(nodes: usize) -> Bench {
        let sim = Sim::start(SimConfig::fast(nodes)).unwrap();
        let directory = directory();
        let mut config = common::config(&directory);
        config.hosts = sim.seeds().into_iter().map(Into::into).collect();
        let client = Client::connect(config).unwrap();
        let settings =
            Settings { socket_timeout: Duration::from_millis(200), ..Settings::default() };
        Bench { sim, client, counts: Counts::default(), settings, _directory: directory }
    }

    fn store(&self) -> Store {
        Store::new(&self.client, "test", "kv", self.settings, &self.counts).unwrap()
    }

    /// Runs the load in several threads while `torment` does its part.
    fn load(&self, torment: impl FnOnce(&AtomicU64)) -> Tally {
        let (stop, progress) = (AtomicBool::new(false), AtomicU64::new(0));
        thread::scope(|scope| {
            let work = |number| {
                let mut store = self.store();
                let (stop, progress) = (&stop, &progress);
                scope.spawn(move || load::run(&mut store, number, stop, progress))
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

/// The load goes on: hundreds of operations more.
fn go_on(progress: &AtomicU64) {
    let before = progress.load(Ordering::Relaxed);
    wait_until("operations", || progress.load(Ordering::Relaxed) > before + 300);
}

fn nothing_lost(tally: &Tally) {
    assert_eq!(tally.lost, [] as [String; 0]);
    assert_eq!(tally.errors, [] as [String; 0], "two replicas: the other one does it");
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
    // One thread has one connection a node.
    let opened = bench
        .counts
        .all()
        .iter()
        .map(|(_, count)| count.connections.load(Ordering::Relaxed))
        .sum::<u64>();
    assert_eq!(opened, 3);
}

#[test]
fn a_node_that_is_killed_and_comes_back_loses_nothing() {
    let bench = Bench::new(3);
    let id = bench.id(2);
    let tally = bench.load(|progress| {
        for _ in 0..3 {
            bench.sim.kill(2).unwrap();
            go_on(progress);
            wait_until("the node is out", || bench.address_in_map(id).is_none());
            bench.sim.start_node(2).unwrap();
            bench.settle();
            wait_until("the node is back", || bench.address_in_map(id).is_some());
            go_on(progress);
        }
    });
    nothing_lost(&tally);
}

#[test]
fn a_node_that_freezes_and_wakes_loses_nothing() {
    let bench = Bench::new(3);
    let tally = bench.load(|progress| {
        for _ in 0..2 {
            bench.sim.freeze(1).unwrap();
            go_on(progress);
            bench.sim.thaw(1).unwrap();
            bench.settle();
            go_on(progress);
        }
    });
    nothing_lost(&tally);
    let failures: u64 =
        bench.counts.all().iter().map(|(_, count)| count.failures.load(Ordering::Relaxed)).sum();
    assert!(failures > 0, "nobody was waiting for the node");
}

#[test]
fn a_node_that_moves_is_used_at_its_new_address() {
    let bench = Bench::new(3);
    let id = bench.id(3);
    let tally = bench.load(|progress| {
        let port = bench.sim.move_node(3, 0).unwrap();
        wait_until("the new address", || {
            bench.address_in_map(id).is_some_and(|address| address.port() == port)
        });
        bench.settle();
        bench.sim.take_commands().unwrap();
        go_on(progress);
        let log = bench.sim.take_commands().unwrap();
        assert!(log.iter().any(|command| command.number == 3), "nothing went there");
    });
    nothing_lost(&tally);
}

#[test]
fn without_any_node_operations_end_with_an_error_in_time() {
    let mut bench = Bench::new(2);
    bench.settings.total_timeout = Duration::from_millis(300);
    let mut store = bench.store();
    store.put(1, &Bins::new()).unwrap();
    for number in [1, 2] {
        bench.sim.kill(number).unwrap();
    }
    let begun = Instant::now();
    for key in 0..5 {
        let error = store.put(key, &Bins::new()).unwrap_err();
        assert!(matches!(error, KvError::GaveUp { .. }), "{error}");
        assert!(error.to_string().contains("BB9"), "no node is named: {error}");
    }
    assert!(begun.elapsed() < Duration::from_secs(15));
    // One that is frozen may do the write yet; one that refuses connections not.
    assert!(!store.put(1, &Bins::new()).unwrap_err().in_doubt());
    bench.sim.start_node(1).unwrap();
    bench.settle();
    wait_until("the node is back", || store.put(1, &Bins::new()).is_ok());
    bench.sim.freeze(1).unwrap();
    assert!(store.put(1, &Bins::new()).unwrap_err().in_doubt());
    assert!(!store.get(1).unwrap_err().in_doubt(), "a read changes nothing");
}

/// A server that takes a command and answers these bytes.
fn answering(bytes: Vec<u8>) -> (SocketAddr, thread::JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = move || {
        let mut accepted = 0;
        for stream in listener.incoming().take(2) {
            accepted += 1;
            let mut stream = stream.unwrap();
            let mut request = [0; 8];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(&bytes).unwrap();
            // Until the client has had enough.
            let _ = stream.read_to_end(&mut Vec::new());
        }
        accepted
    };
    (address, thread::spawn(serve))
}

#[test]
fn a_connection_with_a_reply_that_is_none_is_not_used_again() {
    let header = |length: u64, kind| {
        let mut bytes = length.to_be_bytes();
        (bytes[0], bytes[1]) = (2, kind);
        bytes.to_vec()
    };
    let two = [header(22, 3), vec![0; 22], header(22, 3), vec![0; 22]].concat();
    let bad_bins = [header(22, 3), vec![0; 21], vec![1]].concat();
    for (bytes, why) in [
        (header(22, 1), "another version or type"),
        (header(1 << 40, 3), "an absurd length"),
        (bad_bins, "an end in the middle"),
        (header(22, 3), "no answer in time"),
        (two, "more than one reply"),
    ] {
        let (address, server) = answering(bytes);
        let node = Node { id: NodeId::new("A").unwrap(), address, tls_name: None };
        let mut pool = Pool::new(&node, &Counts::default());
        for _ in 0..2 {
            let until = Instant::now()
                + Duration::from_millis(if why.contains("time") { 100 } else { 10_000 });
            let broken = pool.exchange(&[0; 8], until).unwrap_err();
            assert!(broken.sent && broken.problem.contains(why), "{broken}, not {why}");
        }
        assert_eq!(server.join().unwrap(), 2, "a new connection each time");
    }
}
