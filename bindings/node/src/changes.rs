//! Waiting for changes: one thread for a client that is watched, which sleeps on
//! descriptors and wakes Node's event loop. It is not one of libuv's pool.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use tendmap::client::{Changes, Role};
use tendmap_bindings::{Failure, Session};

use crate::errors::no_thread;
use crate::mailbox::Mailbox;

/// Wakes the thread that watches a client: for an event, or to end it.
pub struct Bell(OwnedFd);

impl Bell {
    /// # Errors
    /// [`Failure`] if no descriptor can be opened.
    pub fn new() -> std::result::Result<Arc<Bell>, Failure> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        Ok(Arc::new(Bell(eventfd(0, flags).map_err(no_descriptor)?)))
    }

    /// Wakes the thread.
    pub fn ring(&self) {
        // It fails only if the counter is at its end: then it is readable anyway.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    fn clear(&self) {
        // It fails only if there is nothing to clear.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

/// What the event loop and one thread share.
#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    /// Whether the event loop was woken and has not looked yet.
    pending: AtomicBool,
    /// Why no further change will be reported.
    ended: Mutex<Option<Failure>>,
}

impl Shared {
    fn ended(&self) -> MutexGuard<'_, Option<Failure>> {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn no_descriptor(error: Errno) -> Failure {
    let text = format!("can't open an eventfd: {error}; check the limit of open files");
    Failure::new(tendmap_bindings::Kind::Descriptor, text)
}

/// The thread of a watched client. Dropping it ends the thread; the event loop does not wait
/// for that.
pub struct Watcher {
    bell: Arc<Bell>,
    shared: Arc<Shared>,
}

impl Watcher {
    /// Starts the thread. It sends `ticket` when there is news.
    pub fn start(
        session: &Arc<Session>,
        bell: &Arc<Bell>,
        mailbox: &Arc<Mailbox>,
        ticket: u32,
    ) -> std::result::Result<(Watcher, JoinHandle<()>), Failure> {
        let changes = session.changes()?;
        let (own, mailbox, session) = (bell.clone(), mailbox.clone(), session.clone());
        let watcher = Watcher { bell: bell.clone(), shared: Arc::default() };
        let shared = watcher.shared.clone();
        // Before the event loop reads it: what changes afterwards is reported.
        let known = session.role().ok().flatten();
        let begun = Builder::new().name("tendmap-events".into()).spawn(move || {
            watch(&session, known, &changes, &own, &shared, &|| mailbox.wake(ticket));
        });
        Ok((watcher, begun.map_err(|error| no_thread(&error))?))
    }

    /// The event loop is about to look: what happens from now on wakes it again.
    /// Returns why there will be no further change.
    pub fn look(&self) -> Option<Failure> {
        // SeqCst: pairs with the swap of the thread, which comes after the news.
        self.shared.pending.store(false, Ordering::SeqCst);
        self.shared.ended().clone()
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // SeqCst: pairs with the loads of the thread, which the bell wakes for it.
        self.shared.stop.store(true, Ordering::SeqCst);
        self.bell.ring();
    }
}

/// How often the role of a client is looked at: a follower becomes standby without an
/// event.
const LOOK: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

fn watch(
    session: &Session,
    mut known: Option<Role>,
    changes: &Changes,
    bell: &Bell,
    shared: &Shared,
    wake: &dyn Fn(),
) {
    let role = || session.role().ok().flatten();
    let look = known.map(|_| LOOK);
    loop {
        let mut descriptors =
            [PollFd::new(changes, PollFlags::IN), PollFd::new(&bell.0, PollFlags::IN)];
        let slept = poll(&mut descriptors, look.as_ref());
        // SeqCst: pairs with the store of the drop.
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let found = match slept {
            Err(Errno::INTR) => continue,
            Err(error) => Err(no_descriptor(error)),
            Ok(0) if role() == known => continue,
            Ok(_) => {
                known = role();
                bell.clear();
                changes.take().map_err(Failure::from)
            }
        };
        let ended = found.map_err(|failure| *shared.ended() = Some(failure)).is_err();
        // SeqCst: pairs with the store of `look`, which comes before the look.
        if !shared.pending.swap(true, Ordering::SeqCst) {
            wake();
        }
        // SeqCst: pairs with the store of the drop, after which another thread may watch. What
        // was cleared here was meant for it.
        if shared.stop.load(Ordering::SeqCst) {
            bell.ring();
            return;
        }
        if ended {
            return;
        }
    }
}
