//! Further worker roles: a follower that keeps local state for each node, and a process
//! that only reads.

use std::fs::{File, OpenOptions};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tendmap::client::{Client, Reader, Verdict};
use tendmap::route::{Partition, Policy, Router};

use super::{commands, say};
use crate::setup::Setup;
use tendmap_testkit::Cluster;

/// The local state of a node: memory, and a descriptor in place of a connection.
struct Pool {
    _memory: Vec<u8>,
    _descriptor: File,
    living: Arc<AtomicUsize>,
}

impl Pool {
    fn new(living: &Arc<AtomicUsize>) -> Pool {
        living.fetch_add(1, Ordering::Relaxed);
        let _descriptor = File::open("/dev/null").unwrap();
        Pool { _memory: vec![1; 16 * 1024], _descriptor, living: living.clone() }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.living.fetch_sub(1, Ordering::Relaxed);
    }
}

/// For each sequence that it reads, routes by that publication and reports its open
/// resources.
pub fn keep(setup: &Setup) {
    let client = Client::connect_with(setup.config(), Cluster::new(1, 1).source()).unwrap();
    let living = Arc::new(AtomicUsize::new(0));
    let mut router = client.router_with({
        let living = living.clone();
        move |_| Pool::new(&living)
    });
    let namespace = router.namespace("test").unwrap();
    say(json!({"event": "connected", "role": client.role().as_str()}));
    for line in commands() {
        let wanted: u64 = line.parse().unwrap();
        let master = |router: &mut Router<Pool>, partition| {
            router.route(namespace, Partition(partition), Policy::Master).unwrap().sequence()
        };
        while master(&mut router, 0) < wanted {
            std::thread::sleep(Duration::from_micros(200));
        }
        for partition in 1..16 {
            master(&mut router, partition);
        }
        say(json!({
            "event": "kept", "living": living.load(Ordering::Relaxed),
            "descriptors": count("/proc/self/fd"), "threads": count("/proc/self/task"),
            "resident_kb": resident_kb(),
        }));
    }
}

fn count(folder: &str) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A process without a tender, which reports the maps that it reads.
pub fn read(setup: &Setup) {
    let reader = match Reader::attach(&setup.place()) {
        Ok(reader) => reader,
        Err(error) => return say(json!({"event": "error", "text": error.to_string()})),
    };
    let mut router = reader.router();
    say(json!({"event": "connected"}));
    for line in commands() {
        say(match line.as_str() {
            "map" => {
                let found = reader.map().unwrap();
                let generation = reader.segment().identity().generation;
                let (nodes, sequence) = (found.map.nodes.len(), found.sequence);
                json!({"event": "map", "nodes": nodes, "sequence": sequence, "generation": generation})
            }
            "route" => {
                let namespace = router.namespace("test").unwrap();
                let routed = |&partition: &usize| {
                    router.route(namespace, Partition(partition), Policy::Master).is_ok()
                };
                json!({"event": "routed", "routed": (0..4096).filter(routed).count()})
            }
            "status" => {
                let status = reader.status().unwrap();
                json!({
                    "event": "status", "healthy": status.verdict() == Verdict::Healthy,
                    "owner_alive": status.owner_alive, "attached": status.attached,
                })
            }
            "write" => try_to_write(&reader),
            other => panic!("no such command: {other}"),
        });
    }
}

/// Reports a process's permissions on the files, and its mappings of them.
fn try_to_write(reader: &Reader) -> Value {
    let segment = reader.segment();
    let paths = [segment.path().unwrap(), segment.lock().unwrap().path().to_path_buf()];
    let refused = paths.clone().map(|path| {
        let opened = OpenOptions::new().write(true).open(path);
        opened.err().map(|error| error.kind().to_string())
    });
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let own = maps.lines().filter(|line| line.contains(paths[0].to_str().unwrap()));
    let rights: Vec<&str> = own.map(|line| line.split(' ').nth(1).unwrap()).collect();
    json!({"event": "write", "refused": refused, "mapped": rights})
}
