//! Lets a worker die as owner in the middle of a publication, or while it
//! replaces the segment.

use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Signal, getpid, kill_process};
use tendmap::client::Client;
use tendmap::internals::layout::shm_remove;
use tendmap::internals::segment::{
    Candidate, Carryover, Ownership, SegmentBuilder, TakeoverOutcome,
};
use tendmap::map::{ClusterMap, Slot};
use tendmap::segment::Place;

use super::message::Message;

/// How long a worker tries to become owner.
const PATIENCE: Duration = Duration::from_millis(250);

/// Enters the next term, whichever process owns the segment, and dies by
/// SIGKILL: every fourth time while it replaces the segment, otherwise while it
/// publishes.
///
/// `say` receives the point of death just before.
pub fn die_amid(client: &Client, place: &Place, random: u64, say: impl FnOnce(Message)) -> ! {
    if let Some(ownership) = enter(client) {
        match random % 4 {
            0 => amid_growth(*ownership, place, random / 4, say),
            _ => amid_publication(*ownership, random / 4, say),
        }
    }
    die()
}

/// Dies after it has stored a random number of words of a whole new map. No reader
/// may ever see one of them, because no cluster has this map.
fn amid_publication(mut ownership: Ownership, random: u64, say: impl FnOnce(Message)) {
    ownership.set_checksums(true);
    let map = turned(ownership.last_map());
    // A map without words publishes nothing. The worker still dies.
    let whole = ownership.publish_part(&map, 0).unwrap_or(0) as u64;
    let words = (random % (whole + 1)) as usize;
    say(Message::Dying { words });
    let _ = ownership.publish_part(&map, words);
    // The destructor must not run, because it would hand the ownership over.
    die()
}

/// Dies after one of the steps by which an owner replaces its segment.
fn amid_growth(mut ownership: Ownership, place: &Place, random: u64, say: impl FnOnce(Message)) {
    let map = ownership.last_map();
    let old = ownership.segment().clone();
    let inherited = Carryover {
        sequence: old.head().sequence() + 1,
        table_generation: ownership.table_generation(),
        map: &map,
    };
    let next = old.identity().generation + 1;
    let built = SegmentBuilder::build(place, next, old.geometry().capacity(), Some(inherited));
    let step = (random % 4) as usize;
    say(Message::DyingGrown { step });
    let Ok(built) = built else { die() };
    if step > 0 && ownership.retire().is_ok() {
        match (step, old.location().and_then(|at| at.shm_id())) {
            (1, _) => {}
            // A System V segment gives up its key before the next one gets it.
            (2, Some(id)) => drop(shm_remove(id)),
            _ => drop(built.link().map(std::mem::forget)),
        }
    }
    die()
}

fn enter(client: &Client) -> Option<Box<Ownership>> {
    let deadline = Instant::now() + PATIENCE;
    let mut candidate = Candidate::default();
    while Instant::now() < deadline {
        if let Ok(TakeoverOutcome::Won(ownership)) = candidate.enter(&client.segment(), true) {
            return Some(ownership);
        }
        thread::sleep(Duration::from_millis(1));
    }
    None
}

/// Moves every replica to the node after its holder.
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
                let owner = partitions.holder(partition, replica).and_then(next);
                partitions.set_holder(partition, replica, owner);
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
