//! Waiting for changes: one thread for a client that is watched, which sleeps on
//! descriptors and wakes Node's event loop. It is not one of libuv's pool.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;
use tendmap::client::{Changes, Role};
use tendmap_bindings::{Failure, Session};

use crate::errors::no_thread;
use crate::mailbox::Mailbox;

/// Wakes the thread that watches: for an event, or to end it.
pub struct Bell {
    descriptor: OwnedFd,
    stop: AtomicBool,
    /// Whether the event loop was woken and has not looked yet.
    pending: AtomicBool,
    /// Why no further change will be reported.
    ended: Mutex<Option<Failure>>,
}

impl Bell {
    /// # Errors
    /// [`Failure`] if no descriptor can be opened.
    pub fn new() -> std::result::Result<Arc<Bell>, Failure> {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let descriptor = eventfd(0, flags).map_err(no_descriptor)?;
        let (stop, pending) = (AtomicBool::new(false), AtomicBool::new(false));
        Ok(Arc::new(Bell { descriptor, stop, pending, ended: Mutex::new(None) }))
    }

    /// Wakes the thread.
    pub fn ring(&self) {
        // It fails only if the counter is at its end: then it is readable anyway.
        let _ = rustix::io::write(&self.descriptor, &1_u64.to_ne_bytes());
    }

    fn clear(&self) {
        // It fails only if there is nothing to clear.
        let _ = rustix::io::read(&self.descriptor, &mut [0; 8]);
    }

    /// The event loop is about to look: what happens from now on wakes it again.
    /// Returns why there will be no further change.
    pub fn look(&self) -> Option<Failure> {
        // SeqCst: pairs with the swap of the thread, which comes after the news.
        self.pending.store(false, Ordering::SeqCst);
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn end(&self, failure: Failure) {
        *self.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
    }
}

fn no_descriptor(error: Errno) -> Failure {
    let text = format!("can't open an eventfd: {error}; check the limit of open files");
    Failure::new(tendmap_bindings::Kind::Descriptor, text)
}

/// The thread of a watched client; dropping it ends the thread.
pub struct Watcher {
    bell: Arc<Bell>,
    thread: Option<JoinHandle<()>>,
}

impl Watcher {
    /// Starts the thread. It sends `ticket` when there is news.
    pub fn start(
        session: &Arc<Session>,
        bell: &Arc<Bell>,
        mailbox: &Arc<Mailbox>,
        ticket: u32,
    ) -> std::result::Result<Watcher, Failure> {
        let changes = session.changes()?;
        let (own, mailbox, session) = (bell.clone(), mailbox.clone(), session.clone());
        // SeqCst: before the thread starts; any order would do. The event loop may have
        // stopped to watch before it looked at what the last thread had sent.
        bell.stop.store(false, Ordering::SeqCst);
        bell.pending.store(false, Ordering::SeqCst);
        // Before the event loop reads it: what changes afterwards is reported.
        let known = session.role().ok().flatten();
        let begun = Builder::new()
            .name("tendmap-events".into())
            .spawn(move || watch(&session, known, &changes, &own, &mailbox, ticket));
        let thread = begun.map_err(|error| no_thread(&error))?;
        Ok(Watcher { bell: bell.clone(), thread: Some(thread) })
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        // SeqCst: pairs with the load of the thread, which the bell wakes for it.
        self.bell.stop.store(true, Ordering::SeqCst);
        self.bell.ring();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
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
    mailbox: &Mailbox,
    ticket: u32,
) {
    let role = || session.role().ok().flatten();
    let look = known.map(|_| LOOK);
    loop {
        let mut descriptors =
            [PollFd::new(changes, PollFlags::IN), PollFd::new(&bell.descriptor, PollFlags::IN)];
        let slept = poll(&mut descriptors, look.as_ref());
        // SeqCst: pairs with the store of the drop.
        if bell.stop.load(Ordering::SeqCst) {
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
        let ended = found.map_err(|failure| bell.end(failure)).is_err();
        // SeqCst: pairs with the store of `look`, which comes before the look.
        if !bell.pending.swap(true, Ordering::SeqCst) {
            mailbox.wake(ticket);
        }
        if ended {
            return;
        }
    }
}
