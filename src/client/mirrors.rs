//! The threads that keep segments of the C client filled.
//!
//! A mirror reads the map as any other process does, and knows nothing of the
//! tender. It has a thread of its own, so that nothing that happens to it can
//! delay or prevent a publication.

use std::io;
use std::os::fd::BorrowedFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

use super::event::Event;
use super::reader::Reader;
use super::state::ClientState;
use super::thread::as_client_thread;
use crate::c_client::{Feed, Mirror, MirrorEvent, MirrorSettings, Target};
use crate::clock::is_recent;
use crate::descriptor::KeptDescriptor;
use crate::explain::explain;
use crate::layout::OwnerWord;
use crate::map::Snapshot;
use crate::protocol::load_owner;
use crate::segment::{Place, Segment, WakeMask, wake};
use crate::thread::{self, NativeThread};

/// The mirrors of a client.
#[derive(Debug)]
pub(super) struct Mirrors {
    stop: Arc<Stop>,
    threads: Mutex<Vec<NativeThread<()>>>,
    /// The keys of those whose threads could not be started, and why.
    unstarted: Vec<(u32, String)>,
}

/// Ends the sleep of all mirrors of a client.
#[derive(Debug)]
struct Stop {
    asked: AtomicBool,
    /// For a mirror that sleeps on the end of a process.
    event: Option<KeptDescriptor>,
    /// For one that sleeps on the next publication.
    personal: WakeMask,
}

impl Stop {
    fn is_asked(&self) -> bool {
        // Acquire: pairs with `Mirrors::stop`.
        self.asked.load(Ordering::Acquire)
    }

    fn event(&self) -> Option<BorrowedFd<'_>> {
        self.event.as_ref()?.get().ok()
    }
}

impl Mirrors {
    /// Starts a thread for each segment that is configured.
    pub fn start(state: &Arc<ClientState>) -> Mirrors {
        let event = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK);
        let event = event.ok().and_then(|event| KeptDescriptor::new(event).ok());
        let stop = Stop { asked: AtomicBool::new(false), event, personal: WakeMask::random() };
        let stop = Arc::new(stop);
        let (mut threads, mut unstarted) = (Vec::new(), Vec::new());
        for &target in &state.config.c_client.targets {
            match spawn(state, &stop, target) {
                Ok(thread) => threads.push(thread),
                Err(error) => {
                    let error = format!("can't start a thread: {}", explain(&error));
                    unstarted.push((target.key, error));
                }
            }
        }
        Mirrors { stop, threads: Mutex::new(threads), unstarted }
    }

    /// Reports, on the client's thread, those that could not be started: the host's
    /// observer may connect, and the thread that connects holds a lock.
    pub fn report(&self, state: &ClientState) {
        for (key, error) in &self.unstarted {
            notify(state, *key, MirrorEvent::Trouble { error: error.clone() });
        }
    }

    /// Asks all of them to end.
    pub fn stop(&self, state: &ClientState) {
        // Release: pairs with `is_asked`.
        self.stop.asked.store(true, Ordering::Release);
        if let Some(event) = self.stop.event() {
            let _ = rustix::io::write(event, &1u64.to_ne_bytes());
        }
        wake(state.current.get().mapping().head(), Some(self.stop.personal));
    }

    /// Waits until all of them have ended.
    pub fn join(&self, state: &ClientState) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            // It may be between its check of `stop` and its sleep.
            while !thread.is_finished() {
                self.stop(state);
                std::thread::sleep(Duration::from_millis(1));
            }
            let _ = thread.join();
        }
    }

    /// Forgets the threads, in a forked child, where they don't exist.
    pub fn forget(&mut self) {
        let threads = self.threads.get_mut().unwrap_or_else(PoisonError::into_inner);
        std::mem::forget(std::mem::take(threads));
    }
}

fn notify(state: &ClientState, key: u32, event: MirrorEvent) {
    state.notify(Event::CClient { key, event });
}

fn spawn(
    state: &Arc<ClientState>,
    stop: &Arc<Stop>,
    target: Target,
) -> io::Result<NativeThread<()>> {
    let (threads, stop) = (state.clone(), stop.clone());
    let work = move || {
        as_client_thread();
        // A panic ends this mirror, and nothing else.
        let place = threads.config.place();
        let run = AssertUnwindSafe(|| Worker::new(&threads, &place, stop, target).run());
        if catch_unwind(run).is_err() {
            let error = "the mirror panicked and has ended".to_owned();
            notify(&threads, target.key, MirrorEvent::Trouble { error });
        }
    };
    thread::spawn("tendmap-mirror", work)
}

/// A mirror and the map that it follows.
struct Worker<'a> {
    state: &'a ClientState,
    stop: Arc<Stop>,
    reader: Reader,
    map: Option<Snapshot>,
    mirror: Mirror<'a>,
}

impl<'a> Worker<'a> {
    fn new(
        state: &'a ClientState,
        place: &'a Place,
        stop: Arc<Stop>,
        target: Target,
    ) -> Worker<'a> {
        let settings = MirrorSettings { target, config: &state.config.c_client, place };
        let mirror = Mirror::new(settings, move |event| notify(state, target.key, event));
        let reader = Reader::of(state.current.clone(), &[]);
        Worker { state, stop, reader, map: None, mirror }
    }

    fn run(mut self) {
        while !self.stop.is_asked() {
            let segment = self.reader.segment();
            let sequence = segment.head().sequence();
            if self.map.as_ref().map_or(0, |map| map.sequence) != sequence {
                // A read that was overtaken is repeated at once, since the
                // sequence has changed.
                if let Ok(map) = self.reader.map() {
                    self.map = Some(map);
                }
            }
            let sequence = self.map.as_ref().map_or(sequence, |map| map.sequence);
            let map = self.map.as_ref().map(|snapshot| (snapshot.sequence, &snapshot.map));
            let pause = self.mirror.pass(Feed { map, tended: is_tended(&segment) });
            self.sleep(sequence, pause);
        }
        self.mirror.close();
    }

    fn sleep(&self, sequence: u64, pause: Duration) {
        match self.mirror.awaited() {
            Some(process) => drop(process.wait_or(self.stop.event(), pause)),
            None => {
                let stop = || self.stop.is_asked() || self.state.stopping();
                let personal = self.stop.personal;
                self.reader.sleep(sequence, pause, personal, stop);
            }
        }
    }
}

/// Whether the map is kept current: the last successful pass is at most three
/// intervals ago.
fn is_tended(segment: &Segment) -> bool {
    let get = |word| load_owner(segment.mapping().owner(word), segment.head());
    let (Some(at), Some(interval)) = (get(OwnerWord::TendedMs), get(OwnerWord::TendIntervalMs))
    else {
        return false;
    };
    is_recent(at, interval)
}
