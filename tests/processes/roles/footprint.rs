//! The cost of a reader and of a follower.

use std::time::{Duration, Instant};

use serde_json::json;
use tendmap::client::{Client, Reader};
use tendmap::route::{Partition, Policy, Router};

use super::say;
use crate::setup::Setup;

/// Reports the resources that a reader, and then a follower, with a router that has
/// routed, adds to this process.
pub fn footprint(setup: &Setup) {
    // Allocate before the measurement what the first output and the first file read
    // take.
    let _ = (memory(), threads(), sockets(), route_once(&Reader::attach(&setup.place()).unwrap()));
    let (kib, before, open) = (memory(), threads(), sockets());
    let reader = Reader::attach(&setup.place()).unwrap();
    let router = route_once(&reader);
    let of_reader = json!({
        "private_kib": memory().saturating_sub(kib), "threads": threads() - before,
        "sockets": sockets() - open,
    });
    drop((router, reader));
    let (kib, before, open) = (memory(), threads(), sockets());
    let client = Client::connect(setup.config()).unwrap();
    let mut router = client.router();
    let handle = router.namespace("test").unwrap();
    router.route(handle, Partition(0), Policy::Master).unwrap();
    let (kib, started) = (memory().saturating_sub(kib), threads() - before);
    let (wakes, begun) = (switches(), Instant::now());
    std::thread::sleep(Duration::from_secs(3));
    let wakes = (switches() - wakes) as f64 / begun.elapsed().as_secs_f64();
    say(json!({
        "event": "footprint", "private_kib": kib, "threads": started,
        "sockets": sockets() - open, "wakes_a_second": wakes, "reader": of_reader,
    }));
    client.close();
}

fn route_once(reader: &Reader) -> Router {
    let mut router = reader.router();
    let handle = router.namespace("test").unwrap();
    router.route(handle, Partition(0), Policy::Master).unwrap();
    router
}

/// Private memory of this process that is not just mapped from a file, in KiB.
fn memory() -> u64 {
    let smaps = std::fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let of = |name| smaps.lines().find_map(|line: &str| line.strip_prefix(name)).unwrap();
    of("Private_Dirty:").trim().trim_end_matches(" kB").parse().unwrap()
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

/// How many times the library's thread has slept.
fn switches() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let told = |task: std::fs::DirEntry| std::fs::read_to_string(task.path().join("status")).ok();
    let ours = tasks.filter_map(|task| told(task.unwrap()));
    let ours = ours.filter(|status| status.starts_with("Name:\ttendmap\n"));
    let count = |status: String| {
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.unwrap().trim().parse::<u64>().unwrap()
    };
    ours.map(count).sum()
}

fn sockets() -> usize {
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let leads = open.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
    leads.filter(|target| target.to_string_lossy().starts_with("socket:")).count()
}
