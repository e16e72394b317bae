//! The processes that use the segment during the attack.

use std::io::Write;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tendmap::client::{Client, Config, Event, Observer, Reader};
use tendmap::route::{Batch, InSet, Partition, Policy, Record, Router};
use tendmap::segment::{Backend, Place};

use crate::measure::Calls;

/// The variable that makes a process a victim, and names its role.
pub const ROLE: &str = "TENDMAP_HOSTILE_VICTIM";

const POLICIES: [Policy; 5] =
    [Policy::Master, Policy::Sequence, Policy::Any, Policy::Random, Policy::PreferRack];

/// The number of events that this process has received.
static EVENTS: AtomicU64 = AtomicU64::new(0);

/// The configuration of every process on the segment.
#[derive(Clone)]
pub struct Setup {
    pub backend: Backend,
    pub directory: PathBuf,
    pub key: u32,
    pub hosts: String,
    pub max_nodes: usize,
    pub max_namespaces: usize,
}

impl Setup {
    pub fn place(&self) -> Place {
        let directory = self.directory.clone();
        Place { backend: self.backend, directory, ..Place::of_key(self.key) }
    }

    pub fn config(&self) -> Config {
        let hosts = self.hosts.split(',').map(|host| host.parse().unwrap()).collect();
        let mut config = Config::shared(hosts, self.key);
        config.shm_backend = self.backend;
        config.shm_directory = self.directory.clone();
        config.tend_interval = Duration::from_millis(50);
        config.connect_timeout = Duration::from_millis(100);
        config.shm_takeover_threshold = Duration::from_millis(400);
        config.shm_max_nodes = self.max_nodes;
        config.shm_max_namespaces = self.max_namespaces;
        config.observer = Some(Observer::new(|event| {
            EVENTS.fetch_add(1, Ordering::Relaxed);
            if let Event::Trouble { error } = event {
                eprintln!("trouble: {error}");
            }
        }));
        config
    }

    pub fn to_text(&self, role: &str) -> String {
        let Setup { backend, directory, key, hosts, max_nodes, max_namespaces } = self;
        let (backend, directory) = (backend.as_str(), directory.display());
        format!("{role} {backend} {directory} {key} {hosts} {max_nodes} {max_namespaces}")
    }

    fn of_text(text: &str) -> (&str, Setup) {
        let words: Vec<&str> = text.split(' ').collect();
        let [role, backend, directory, key, hosts, max_nodes, max_namespaces] = words[..] else {
            panic!("no setup: {text}")
        };
        let setup = Setup {
            backend: backend.parse().unwrap(),
            directory: directory.into(),
            key: key.parse().unwrap(),
            hosts: hosts.into(),
            max_nodes: max_nodes.parse().unwrap(),
            max_namespaces: max_namespaces.parse().unwrap(),
        };
        (role, setup)
    }
}

/// If this process was started as a victim, runs as one until its input ends, and
/// does not return.
pub fn work_if_asked() {
    let Ok(text) = std::env::var(ROLE) else { return };
    let (role, setup) = Setup::of_text(&text);
    static STOP: AtomicBool = AtomicBool::new(false);
    thread::spawn(|| {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        STOP.store(true, Ordering::Relaxed);
    });
    let calls = match role {
        "client" => client(&setup.config(), &STOP),
        "named" => {
            let mut config = setup.config();
            config.cluster_name = Some("lab".into());
            client(&config, &STOP)
        }
        "newcomer" => newcomer(&setup.config(), &STOP),
        "reader" => reader(&setup.place(), &STOP),
        other => panic!("no such victim: {other}"),
    };
    println!("CALLS {}; {} events", calls.text(), EVENTS.load(Ordering::Relaxed));
    std::process::exit(0);
}

/// Reports that one more round of every call is complete.
fn tick(calls: &Calls) {
    // The parent may have ended.
    let _ = writeln!(std::io::stdout(), "LEAST {}", calls.least());
}

/// Connects once and makes every call, from three threads. Connects again if the
/// map turns out to be another cluster's.
fn client(config: &Config, stop: &AtomicBool) -> Calls {
    let mut calls = Calls::default();
    while !stop.load(Ordering::Relaxed) {
        let connected = calls.time("connect", Duration::ZERO, || Client::connect(config.clone()));
        let Ok(client) = connected else {
            thread::sleep(Duration::from_millis(5));
            continue;
        };
        let ended = || stop.load(Ordering::Relaxed) || client.is_closed();
        let (routes, asks, waits) = thread::scope(|scope| {
            let routes = scope.spawn(|| {
                let mut calls = Calls::default();
                let mut router = client.router();
                while !ended() {
                    routes(&mut calls, &mut router);
                }
                calls
            });
            let asks = scope.spawn(|| {
                let mut calls = Calls::default();
                let mut told = Instant::now();
                while !ended() {
                    asks(&mut calls, &client);
                    if told.elapsed() > Duration::from_millis(100) {
                        tick(&calls);
                        told = Instant::now();
                    }
                }
                calls
            });
            let waits = scope.spawn(|| {
                let mut calls = Calls::default();
                let asked = Duration::from_millis(20);
                while !ended() {
                    let sequence = client.segment().head().sequence();
                    calls.time("wait", asked, || client.wait_for_change(sequence, asked));
                }
                calls
            });
            (routes.join(), asks.join(), waits.join())
        });
        calls.join(routes.expect("no panic"));
        calls.join(asks.expect("no panic"));
        calls.join(waits.expect("no panic"));
        calls.time("close", Duration::ZERO, || client.close());
    }
    calls
}

fn routes(calls: &mut Calls, router: &mut Router) {
    let found = calls.time("namespace", Duration::ZERO, || router.namespace("test"));
    let Ok(namespace) = found else { return };
    for number in 0..20 {
        for policy in POLICIES {
            calls.time("route", Duration::ZERO, || {
                let _ = router.route(namespace, Partition(number * 205), policy);
                let _ = router.route(namespace, Record::new("users", number as i64), policy);
                let _ = router.route("test", Partition(number), policy);
            });
        }
    }
    let keys: Vec<i64> = (0..1000).collect();
    let mut batch = Batch::new();
    for policy in POLICIES {
        calls.time("batch", Duration::ZERO, || {
            let keys = InSet::new("users", &keys);
            let routed = router.route_batch(namespace, &keys, policy, &mut batch).is_ok();
            let grouped: usize = batch.groups().map(|group| group.indexes().len()).sum();
            assert_eq!(grouped + batch.unrouted().count(), batch.len());
            assert!(batch.len() == if routed { 1000 } else { 0 });
            (0..batch.len()).for_each(|index| drop(batch.get(index)));
        });
    }
    let _ = router.pin(|pinned| pinned.master(namespace, Partition(1)).map(|_| ()));
}

fn asks(calls: &mut Calls, client: &Client) {
    let now = Duration::ZERO;
    let _ = calls.time("nodes", now, || client.map().map(|map| map.map.nodes.len()));
    let status = calls.time("status", now, || client.status());
    let _ = calls.time("json", now, || status.as_ref().map(|status| status.to_json()));
    calls.time("request", now, || client.request_tend());
    client.set_preferred_racks(&[1, 2, 3]);
}

/// Connects and closes, again and again.
fn newcomer(config: &Config, stop: &AtomicBool) -> Calls {
    let mut calls = Calls::default();
    while !stop.load(Ordering::Relaxed) {
        let connected = calls.time("connect", Duration::ZERO, || Client::connect(config.clone()));
        if let Ok(client) = connected {
            routes(&mut calls, &mut client.router());
            calls.time("close", Duration::ZERO, || client.close());
        }
        tick(&calls);
    }
    calls
}

/// Attaches, routes and detaches, without a thread.
fn reader(place: &Place, stop: &AtomicBool) -> Calls {
    let mut calls = Calls::default();
    let mut kept = None;
    while !stop.load(Ordering::Relaxed) {
        let attached = calls.time("attach", Duration::ZERO, || Reader::attach(place));
        if let Ok(reader) = attached {
            routes(&mut calls, &mut reader.router());
            let _ = calls.time("map", Duration::ZERO, || reader.map().map(|map| map.sequence));
            let _ = calls.time("status", Duration::ZERO, || {
                reader.status().map(|status| (status.verdict(), status.to_json()))
            });
            // A reader that stays attached keeps routing as well.
            kept.get_or_insert(reader);
        }
        if let Some(kept) = &kept {
            routes(&mut calls, &mut kept.router());
        }
        tick(&calls);
    }
    calls
}
