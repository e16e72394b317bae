//! A load that checks a store: an acknowledged record must exist, and a removed one
//! must not.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::store::{KvError, Store};
use crate::wire::{Bins, Value};

/// The number of records that a thread keeps in the database.
const WINDOW: usize = 1000;
/// The number of errors whose text is kept.
const ERRORS: usize = 10;

/// The results of a thread.
#[derive(Debug, Default)]
pub struct Tally {
    pub puts: u64,
    pub gets: u64,
    pub deletes: u64,
    /// Operations that ended in an error.
    pub failed: u64,
    /// Writes that were done after a try without a reply.
    pub in_doubt: u64,
    /// The longest operation.
    pub slowest: Duration,
    /// The first errors.
    pub errors: Vec<String>,
    /// Acknowledged writes that could not be read afterwards. A frozen real node may
    /// miss some for a while (see `store.rs`).
    pub lost: Vec<String>,
}

impl Tally {
    pub fn operations(&self) -> u64 {
        self.puts + self.gets + self.deletes
    }

    pub fn add(&mut self, other: Tally) {
        self.puts += other.puts;
        self.gets += other.gets;
        self.deletes += other.deletes;
        self.failed += other.failed;
        self.in_doubt += other.in_doubt;
        self.slowest = self.slowest.max(other.slowest);
        self.errors.extend(other.errors);
        self.lost.extend(other.lost);
    }

    /// Counts an operation by its outcome; its result if it was done.
    fn note<T>(&mut self, begun: Instant, outcome: Result<T, KvError>) -> Option<T> {
        self.slowest = self.slowest.max(begun.elapsed());
        match outcome {
            Ok(value) => Some(value),
            Err(error) => {
                self.failed += 1;
                if self.errors.len() < ERRORS {
                    self.errors.push(error.to_string());
                }
                None
            }
        }
    }
}

/// A record that was stored.
struct Put {
    key: i64,
    acknowledged: bool,
    in_doubt: bool,
}

/// Puts records, reads them and older ones, and removes the oldest, until it is
/// stopped; then removes the rest. `progress` counts the operations. A key is used
/// only once, so that a try which a frozen node executes late can't undo a newer
/// write.
pub fn run(store: &mut Store, thread: i64, stop: &AtomicBool, progress: &AtomicU64) -> Tally {
    let mut tally = Tally::default();
    let mut window: VecDeque<Put> = VecDeque::new();
    let mut rng = fastrand::Rng::new();
    let mut key = thread << 40;
    while !stop.load(Ordering::Relaxed) {
        key += 1;
        let begun = Instant::now();
        let outcome = store.put(key, &bins(key));
        let doubt = outcome.as_ref().map_or_else(KvError::in_doubt, |written| written.in_doubt);
        let acknowledged = tally.note(begun, outcome).is_some();
        tally.puts += 1;
        tally.in_doubt += u64::from(acknowledged && doubt);
        window.push_back(Put { key, acknowledged, in_doubt: doubt });
        check(store, window.back().expect("just put"), &mut tally);
        check(store, &window[rng.usize(..window.len())], &mut tally);
        progress.fetch_add(3, Ordering::Relaxed);
        if window.len() > WINDOW {
            remove(store, &window.pop_front().expect("more than none"), &mut tally);
            progress.fetch_add(2, Ordering::Relaxed);
        }
    }
    for put in &window {
        check(store, put, &mut tally);
        remove(store, put, &mut tally);
    }
    tally
}

fn bins(key: i64) -> Bins {
    let text = format!("record {key}");
    Bins::from([("key".into(), Value::Integer(key)), ("text".into(), Value::Str(text))])
}

/// An acknowledged record must exist, with the written content.
fn check(store: &mut Store, put: &Put, tally: &mut Tally) {
    let begun = Instant::now();
    let outcome = store.get(put.key);
    tally.gets += 1;
    let Some(found) = tally.note(begun, outcome) else { return };
    if found.as_ref() != Some(&bins(put.key)) && (put.acknowledged || found.is_some()) {
        tally.lost.push(format!("key {}: put and acknowledged, read {found:?}", put.key));
    }
}

/// A removed record must not exist, unless a try to put it is still in progress.
fn remove(store: &mut Store, put: &Put, tally: &mut Tally) {
    let begun = Instant::now();
    let outcome = store.delete(put.key);
    tally.deletes += 1;
    let Some(written) = tally.note(begun, outcome) else { return };
    tally.in_doubt += u64::from(written.in_doubt);
    if !written.found && put.acknowledged && !written.in_doubt {
        tally.lost.push(format!("key {}: put and acknowledged, not there to remove", put.key));
    }
    let begun = Instant::now();
    let outcome = store.get(put.key);
    tally.gets += 1;
    let Some(found) = tally.note(begun, outcome) else { return };
    if found.is_some() && !put.in_doubt {
        tally.lost.push(format!("key {}: removed and acknowledged, still there", put.key));
    }
}
