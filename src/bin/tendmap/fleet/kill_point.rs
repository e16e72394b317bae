//! A worker that dies as owner in the middle of a publication.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};
use tendmap::client::Client;
use tendmap::map::{ClusterMap, Slot};
use tendmap::segment::{Candidate, Entry, Tenure};

/// How long it tries to become owner.
const PATIENCE: Duration = Duration::from_millis(250);

/// Enters the next term, whoever owns, and dies by SIGKILL after it has stored
/// some words of a whole new map; how many is drawn by `random`. No reader may
/// ever see one of them: the map is one that no cluster has.
///
/// `say` is told their number just before.
pub fn die_amid(client: &Client, random: u64, say: impl FnOnce(usize)) -> ! {
    if let Some(mut tenure) = enter(client) {
        tenure.set_checksums(true);
        let map = turned(tenure.last_map());
        // Of a map without words nothing is published: it dies all the same.
        let whole = tenure.publish_part(&map, 0).unwrap_or(0) as u64;
        let words = (random % (whole + 1)) as usize;
        say(words);
        let _ = tenure.publish_part(&map, words);
        die();
    }
    die()
}

fn enter(client: &Client) -> Option<Box<Tenure>> {
    let deadline = Instant::now() + PATIENCE;
    let mut candidate = Candidate::default();
    while Instant::now() < deadline {
        if let Ok(Entry::Owner(tenure)) = candidate.enter(&client.segment(), true) {
            return Some(tenure);
        }
        thread::sleep(Duration::from_millis(1));
    }
    None
}

/// Every replica with the node after the one that it was with.
fn turned(mut map: ClusterMap) -> ClusterMap {
    let slots: Vec<Slot> = map.nodes.iter().map(|(slot, _)| slot).collect();
    let next = |slot: Slot| {
        let at = slots.iter().position(|&known| known == slot)?;
        Some(slots[(at + 1) % slots.len()])
    };
    for namespace in map.namespaces_mut() {
        let replicas = usize::from(namespace.replication_factor);
        let partitions = &mut namespace.partitions;
        for partition in 0..partitions.len() {
            for replica in 0..replicas.min(partitions.max_replicas()) {
                let owner = partitions.owner(partition, replica).and_then(next);
                partitions.set_owner(partition, replica, owner);
            }
        }
    }
    map
}

fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    loop {
        thread::sleep(Duration::from_secs(1));
    }
}
