//! The client of this package on nodes that die, freeze and move: no
//! operation may be lost without an error.

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

    /// With these hosts and flags.
    fn over(sim: Sim, args: &[&str]) -> Bench {
        let args = Args::try_parse_from([&["kv"], args].concat()).unwrap();
        let directory = directory();
        let mut config = args.config().unwrap();
        config.shm_directory = directory.path().into();
        config.tend_interval = Duration::from_millis(50);
        config.connect_timeout = Duration::from_secs(1);
        // So that the interval may be long.
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

    /// A node dies, and comes back when it has left the map.
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
    let tally = bench.load(|progress| (0..3).for_each(|_| bench.die(2, progress)));
    nothing_lost(&tally);
}

#[test]
fn a_node_that_freezes_and_wakes_loses_nothing() {
    let bench = Bench::new(3);
    let tally = bench.load(|progress| {
        bench.freeze(1, progress);
        bench.freeze(1, progress);
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
        let KvError::GaveUp { after, .. } = error else { panic!("{error}") };
        assert!(after >= bench.settings.total_timeout, "{error}");
        assert!(error.to_string().contains("BB9"), "no node is named: {error}");
    }
    // Five of 0.3 s, each of which may begin one more attempt before that time: ten
    // times that, and far less than any of them without a limit.
    assert!(begun.elapsed() < Duration::from_secs(30));
    // One that is frozen may do the write yet; one that refuses connections not.
    assert!(!store.put(1, &Bins::new()).unwrap_err().in_doubt());
    bench.sim.start_node(1).unwrap();
    bench.settle();
    wait_until("the node is back", || store.put(1, &Bins::new()).is_ok());
    bench.sim.freeze(1).unwrap();
    assert!(store.put(1, &Bins::new()).unwrap_err().in_doubt());
    assert!(!store.get(1).unwrap_err().in_doubt(), "a read changes nothing");
}

#[test]
fn h105_a_command_is_tried_until_its_time_is_up() {
    let mut bench = Bench::new(1);
    bench.settings.total_timeout = LONG;
    let mut store = bench.store();
    store.put(1, &Bins::new()).unwrap();
    bench.sim.kill(1).unwrap();
    let failures = || -> u64 {
        bench.counts.all().iter().map(|(_, count)| count.failures.load(Ordering::Relaxed)).sum()
    };
    thread::scope(|scope| {
        let put = scope.spawn(|| store.put(2, &Bins::new()));
        // More tries than a fixed number of retries would have.
        wait_until("many tries", || failures() > 20);
        bench.sim.start_node(1).unwrap();
        put.join().unwrap().unwrap();
    });
}

#[test]
fn h105_a_failed_exchange_has_the_map_right_long_before_the_next_tend() {
    let bench = Bench::new(3);
    bench.settle();
    wait_until("the whole map", || bench.client.map().unwrap().map.nodes.len() == 3);
    // The next pass by itself is far off, and a quarter of the interval is over,
    // after which the owner may be asked.
    let interval = Duration::from_secs(40);
    bench.client.set_tend_interval(interval).unwrap();
    let status = || bench.client.status().unwrap();
    wait_until("the interval", || status().tend_interval == Some(interval));
    let quarter = interval / 4;
    let age = || status().tended_age.unwrap();
    wait_until("the quarter", || age() > quarter);
    let tends = status().tends;
    bench.sim.kill(3).unwrap();
    bench.settle();
    assert_eq!((status().tends, bench.client.map().unwrap().map.nodes.len()), (tends, 3));
    let mut store = bench.store();
    let mut commands = 0;
    while bench.client.map().unwrap().map.nodes.len() == 3 {
        store.put(commands, &Bins::new()).unwrap();
        commands += 1;
        assert!(commands < 1_000_000 && age() < interval, "nobody has asked for a tend");
    }
    // By that one pass, and not by the one that was due.
    assert!(status().tends <= tends + 2, "{} after {tends}", status().tends);
}

#[test]
fn h105_reads_ask_for_all_copies() {
    let digest = Digest::of("kv", 1);
    let bins = Bins::new();
    for (command, wanted) in [
        (wire::Command::Get, 0b100_0011),
        (wire::Command::Put(&bins), 0),
        (wire::Command::Delete, 0),
    ] {
        let mut message = Vec::new();
        wire::encode(&mut message, "test", "kv", &digest, command, LONG).unwrap();
        assert_eq!(message[wire::HEADER + 1], wanted, "{command:?}");
    }
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
        let node = Node::new(NodeId::new("A").unwrap(), address);
        let mut pool = Pool::new(&node, &Access::default(), &Counts::default());
        for _ in 0..2 {
            let until = Instant::now()
                + Duration::from_millis(if why.contains("time") { 100 } else { 10_000 });
            let broken = pool.exchange(&[0; 8], until).unwrap_err();
            assert!(broken.sent && broken.problem.contains(why), "{broken}, not {why}");
        }
        assert_eq!(server.join().unwrap(), 2, "a new connection each time");
    }
}

const SECRET: &str = "open sesame";

/// Nodes that want a login of `keeper`.
fn secured(nodes: usize) -> SimConfig {
    let mut config = SimConfig::fast(nodes);
    config.security = true;
    config.users = vec![SimUser::new("keeper", SECRET)];
    config
}

/// A file with the password, as an editor leaves it.
fn password_file() -> tempfile::NamedTempFile {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    writeln!(file, "{SECRET}").unwrap();
    file
}

#[test]
fn a_secured_cluster_is_logged_in_to_once_a_node_and_nothing_is_lost_when_sessions_end() {
    let sim = Sim::start(secured(3)).unwrap();
    let (seed, file) = (sim.seeds()[0].to_string(), password_file());
    let password = ["--password-file", file.path().to_str().unwrap()];
    let bench = Bench::over(sim, &[&[&seed, "--user", "keeper"], &password[..]].concat());
    bench.settle();
    let logins = || bench.sim.status().unwrap().logins;
    let tender = logins();
    let tally = bench.load(|progress| {
        // Each of three threads may come to a node first.
        assert!(logins() - tender <= 9, "{}", logins());
        let before = bench.sim.status().unwrap();
        bench.sim.expire_sessions().unwrap();
        for number in 1..=3 {
            bench.sim.drop_connections(number).unwrap();
            go_on(progress);
        }
        assert!(logins() >= before.logins + 3, "{before:?} {:?}", bench.sim.status());
        // Switched off and on again.
        bench.sim.set_security(false).unwrap();
        (1..=3).for_each(|number| bench.sim.drop_connections(number).unwrap());
        go_on(progress);
        bench.sim.set_security(true).unwrap();
        go_on(progress);
        // A restarted node does not know earlier sessions.
        bench.sim.kill(2).unwrap();
        go_on(progress);
        bench.sim.start_node(2).unwrap();
        bench.settle();
        bench.sim.take_commands().unwrap();
        wait_until("the node is used again", || {
            bench.sim.take_commands().unwrap().iter().any(|command| command.number == 2)
        });
    });
    nothing_lost(&tally);
    // More connections than logins: the others have shown a token.
    assert!(bench.sim.status().unwrap().authentications > 0);
}

#[test]
fn with_tls_a_login_and_a_certificate_of_the_clients_own_nothing_goes_in_clear() {
    let authority = Authority::new();
    authority.issue("client", &["keeper"], false);
    let mut config = secured(3);
    let mut tls = authority.nodes();
    tls.cafile = Some(authority.path("ca.pem"));
    config.tls = Some(tls);
    let sim = Sim::start(config).unwrap();
    let (seed, file) = (sim.tls_seeds()[0], password_file());
    let host = format!("{}:{NAME}:{}", seed.ip(), seed.port());
    let paths = ["ca.pem", "client.pem", "client.key"].map(|name| authority.path(name));
    let [cafile, certfile, keyfile] = [0, 1, 2].map(|index| paths[index].to_str().unwrap());
    let mut args = vec![&*host, "--tls-cafile", cafile, "--tls-certfile", certfile];
    args.extend(["--tls-keyfile", keyfile, "--user", "keeper"]);
    args.extend(["--password-file", file.path().to_str().unwrap()]);
    let bench = Bench::over(sim, &args);
    bench.settle();
    let tally = bench.load(|progress| {
        bench.die(2, progress);
        bench.freeze(3, progress);
    });
    nothing_lost(&tally);
    let status = bench.sim.status().unwrap();
    let clear: u64 =
        status.nodes.iter().map(|node| node.connections_accepted - node.tls_accepted).sum();
    assert_eq!(clear, 0);
    assert!(status.logins >= 6, "the tender and the store log in to each node: {status:?}");

    // By its certificate alone.
    drop(bench.client);
    args.truncate(7);
    args.extend(["--auth-mode", "PKI"]);
    let bench = Bench::over(bench.sim, &args);
    let mut store = bench.store();
    store.put(1, &Bins::new()).unwrap();
    assert!(store.delete(1).unwrap().found);
}

#[test]
fn a_password_that_was_changed_is_not_tried_with_every_command() {
    let sim = Sim::start(secured(1)).unwrap();
    let (seed, file) = (sim.seeds()[0].to_string(), password_file());
    let password = ["--password-file", file.path().to_str().unwrap()];
    let mut bench = Bench::over(sim, &[&[&seed, "--user", "keeper"], &password[..]].concat());
    bench.settings.total_timeout = Duration::from_millis(200);
    bench.sim.set_user(SimUser::new("keeper", "another one")).unwrap();
    let mut store = bench.store();
    let begun = Instant::now();
    let tried = || bench.sim.status().unwrap().logins_refused;
    let before = tried();
    for key in 0..10 {
        let error = store.put(key, &Bins::new()).unwrap_err();
        assert!(!error.in_doubt(), "{error}");
        let text = error.to_string();
        assert!(text.contains("check user, password") && !text.contains(SECRET), "{text}");
    }
    let allowed = 2 + begun.elapsed().as_secs();
    assert!(tried() - before <= allowed, "{} of {allowed}", tried() - before);
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
