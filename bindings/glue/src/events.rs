//! Events, kept until the program asks for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crossbeam::queue::ArrayQueue;
use serde_json::{Value, json};
use tendmap::client::{Event, Level, Observer};
use tendmap::internals::client::one_of_each;
use tendmap::internals::layout::Lineage;

/// The number of events that are kept; older ones are dropped.
pub const MAX_EVENTS: usize = 256;

/// The events of one process's client.
///
/// A [`Session`](crate::Session) has its own. A binding whose host runs several
/// interpreters in one process makes one for each of them, because clients of a process
/// that share an attachment have one observer.
///
/// They are kept until the program asks, because a callback would run on the client's
/// own thread, which an interpreter can't support while it forks or ends.
#[derive(Debug)]
pub struct Events {
    kept: Arc<Kept>,
    lineage: Lineage,
}

#[derive(Debug)]
struct Kept {
    queue: ArrayQueue<(SystemTime, Event)>,
    lost: AtomicU64,
}

impl Events {
    /// No events yet.
    pub fn new() -> Events {
        let kept = Kept { queue: ArrayQueue::new(MAX_EVENTS), lost: AtomicU64::new(0) };
        Events { kept: Arc::new(kept), lineage: Lineage::current() }
    }

    /// The observer that records events, and then passes them on to another one.
    pub fn observer(&self, next: Option<Observer>) -> Observer {
        let kept = self.kept.clone();
        Observer::new(move |event| {
            if kept.queue.force_push((wall_clock(), event.clone())).is_some() {
                kept.lost.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(next) = &next {
                next.notify(event);
            }
        })
    }

    /// Takes the oldest event; see
    /// [`Session::next_event`](crate::Session::next_event).
    pub fn take(&self) -> Option<Value> {
        let lost = self.kept.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            return Some(lost_events(lost));
        }
        let (time, event) = self.kept.queue.pop()?;
        Some(stamped(event.to_json_value(), time, event.level()))
    }
}

impl Default for Events {
    fn default() -> Events {
        Events::new()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // In a forked child the parent's thread may have been adding an event at the
        // fork. A half-written event must not be dropped.
        if self.lineage != Lineage::current() {
            std::mem::forget(self.kept.clone());
        }
    }
}

/// One event of every kind, as [`Session::next_event`](crate::Session::next_event)
/// returns it: for tests of the types that a language has for them.
pub fn one_event_of_each() -> Vec<Value> {
    let events = one_of_each().into_iter();
    let told = events.map(|event| stamped(event.to_json_value(), wall_clock(), event.level()));
    told.chain([lost_events(1)]).collect()
}

fn lost_events(count: u64) -> Value {
    let object = json!({ "event": "events_lost", "count": count });
    stamped(object, wall_clock(), Level::Warning)
}

/// The time of an event.
#[expect(clippy::disallowed_methods, reason = "shown, never waited for")]
fn wall_clock() -> SystemTime {
    SystemTime::now()
}

fn stamped(mut event: Value, time: SystemTime, level: Level) -> Value {
    let time = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    if let Some(object) = event.as_object_mut() {
        object.insert("level".into(), level.as_str().into());
        object.insert("time".into(), time.as_secs_f64().into());
    }
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_and_are_counted() {
        let events = Events::new();
        assert_eq!(events.take(), None);
        let observer = events.observer(None);
        for term in 0..MAX_EVENTS as u16 + 3 {
            observer.notify(&Event::Fenced { term });
        }
        let lost = events.take().unwrap();
        assert_eq!((&lost["event"], &lost["count"]), (&json!("events_lost"), &json!(3)));
        for term in 3..MAX_EVENTS as u16 + 3 {
            let event = events.take().unwrap();
            assert_eq!((&event["event"], &event["term"]), (&json!("fenced"), &json!(term)));
            assert_eq!(event["level"], "warning");
            assert!(event["time"].as_f64().unwrap() > 1e9);
        }
        assert_eq!(events.take(), None);
    }

    #[test]
    fn another_observer_is_told_after_the_event_was_kept() {
        let (first, second) = (Events::new(), Events::new());
        first.observer(Some(second.observer(None))).notify(&Event::Fenced { term: 7 });
        for events in [first, second] {
            assert_eq!(events.take().unwrap()["term"], json!(7));
        }
    }
}
