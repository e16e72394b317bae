//! The clients of this process, and how they end.
//!
//! Each connect opens the handle of its key; clones of a client share what that
//! connect has opened. When the last one is closed, the thread ends.

use core::cell::Cell;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::agent::{Agent, Start};
use super::changes::ChangeSource;
use super::error::ConnectError;
use super::event::Role;
#[cfg(feature = "c-client")]
use super::mirrors::Mirrors;
use super::state::ClientState;
use crate::layout::ForkLocal;
use crate::segment::{Backend, WakeMask, wake};
use crate::tend::ClusterSource;
use crate::thread::{self, NativeThread};

/// A thread, and the number of connects that use it.
#[derive(Debug)]
pub(super) struct ClientThread {
    pub state: Arc<ClientState>,
    thread: Mutex<Option<NativeThread<()>>>,
    open: Mutex<usize>,
    #[cfg(feature = "c-client")]
    mirrors: Mirrors,
}

thread_local! {
    /// Whether this is a client's thread, on which observers run.
    static CLIENT_THREAD: Cell<bool> = const { Cell::new(false) };
}

/// Marks this thread as a client's.
#[cfg(feature = "c-client")]
pub(super) fn as_client_thread() {
    CLIENT_THREAD.set(true);
}

/// Whether an observer is the caller. It must not wait for a client's thread:
/// that may be its own, or one that waits for the observer's thread in the same
/// way.
pub(super) fn on_client_thread() -> bool {
    CLIENT_THREAD.try_with(Cell::get).unwrap_or(false)
}

/// Dropped as the thread's last action, also when it panics.
struct EndGuard(Arc<ClientThread>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        // After a panic, other processes must not count it as attached. (Its
        // ownership has already been released.)
        self.0.state.current.let_go();
        self.0.state.end();
    }
}

impl ClientThread {
    /// Starts the thread, with one connect open.
    ///
    /// # Errors
    /// [`ConnectError::Thread`]; what `start` holds is then released.
    pub fn spawn(
        state: Arc<ClientState>,
        source: Box<dyn ClusterSource>,
        start: Start,
    ) -> Result<OpenConnect, ConnectError> {
        let handle = Arc::new(ClientThread {
            #[cfg(feature = "c-client")]
            mirrors: Mirrors::start(&state),
            state,
            thread: Mutex::default(),
            open: Mutex::new(1),
        });
        let agent = Agent::new(handle.state.clone(), source, start);
        let ending = handle.clone();
        let thread = thread::spawn("tendmap", move || {
            let ending = EndGuard(ending);
            CLIENT_THREAD.set(true);
            #[cfg(feature = "c-client")]
            ending.0.mirrors.report(&ending.0.state);
            #[cfg(not(feature = "c-client"))]
            let _ = &ending;
            agent.run();
        });
        let thread = thread.map_err(|error| ConnectError::Thread(error.into()))?;
        *handle.thread.lock().unwrap_or_else(PoisonError::into_inner) = Some(thread);
        Ok(OpenConnect::new(handle))
    }

    fn open(&self) -> MutexGuard<'_, usize> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opens it once more; `None` if it is closed, or if its thread has ended.
    pub fn enter(self: &Arc<ClientThread>) -> Option<OpenConnect> {
        let mut open = self.open();
        if *open == 0 || self.state.has_ended() {
            return None;
        }
        *open += 1;
        Some(OpenConnect::new(self.clone()))
    }

    /// Ends the thread and waits until it has ended. On a client's own thread
    /// it does not wait: the thread ends when its observer has returned.
    fn end(&self) {
        // A mirror that releases its segment is done before the map's owner
        // leaves.
        #[cfg(feature = "c-client")]
        self.mirrors.stop(&self.state);
        if on_client_thread() {
            self.state.stop();
            return;
        }
        #[cfg(feature = "c-client")]
        self.mirrors.join(&self.state);
        self.state.stop();
        // The thread may be between its check of `stop` and its sleep, and it
        // may move to another segment: wake it until it has ended.
        let mut pause = Duration::from_millis(1);
        while !self.state.wait_end(pause) {
            self.state.stop();
            pause = (pause * 2).min(Duration::from_millis(32));
        }
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}

impl Drop for ClientThread {
    fn drop(&mut self) {
        // In a forked child the thread must not even be detached: one of the
        // child's own threads may have reused its stack and its id in the C
        // library.
        if self.state.is_inherited() {
            std::mem::forget(self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take());
            #[cfg(feature = "c-client")]
            self.mirrors.forget();
        }
    }
}

/// What one connect has opened, shared by the clones of its client. Dropping it
/// closes it.
#[derive(Debug)]
pub(super) struct OpenConnect {
    pub handle: Arc<ClientThread>,
    closed: AtomicBool,
    /// The wake bit of the threads that wait for a change.
    waiters: WakeMask,
    waiting: AtomicUsize,
    pub changes: ChangeSource,
}

/// Exists while a thread waits for a change.
pub(super) struct WaitGuard<'a>(&'a OpenConnect);

impl Drop for WaitGuard<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

impl OpenConnect {
    fn new(handle: Arc<ClientThread>) -> OpenConnect {
        let (closed, waiting) = (AtomicBool::new(false), AtomicUsize::new(0));
        // Not a strong reference, which would keep a closed client's state.
        let state = Arc::downgrade(&handle.state);
        let ended = move || state.upgrade().is_none_or(|state| state.role() == Role::Closed);
        let changes = ChangeSource::new(&handle.state.current, ended);
        OpenConnect { handle, closed, waiters: WakeMask::random(), waiting, changes }
    }

    /// Whether it was closed, or its thread has panicked.
    pub fn is_closed(&self) -> bool {
        // Acquire: pairs with `close`.
        self.closed.load(Ordering::Acquire) || self.handle.state.role() == Role::Closed
    }

    /// Whether this is a forked child's copy.
    pub fn is_inherited(&self) -> bool {
        self.handle.state.is_inherited()
    }

    /// Registers this thread as waiting for a change; returns the bit under
    /// which it sleeps.
    pub fn waiting(&self) -> (WaitGuard<'_>, WakeMask) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        (WaitGuard(self), self.waiters)
    }

    /// Closes it; the last close of a handle ends the thread. The thread has
    /// ended when this returns, whichever caller closed first.
    pub fn close(&self) {
        if self.is_inherited() {
            // A forked child has no such thread, and its locks may be held for
            // ever: there is nothing else to do.
            self.closed.store(true, Ordering::Release);
            // The child's own handles.
            self.changes.close(&self.handle.state.current);
            return;
        }
        let last = {
            let mut open = self.handle.open();
            // Release: pairs with `is_closed`.
            if !self.closed.swap(true, Ordering::Release) {
                *open -= 1;
            }
            *open == 0
        };
        self.wake_waiters();
        if last {
            self.handle.end();
        }
        // Now it has closed, for those who look when they are told.
        self.changes.close(&self.handle.state.current);
        // A thread between its check and its sleep would notice the close a
        // little later by itself.
        for _ in 0..20 {
            if self.waiting.load(Ordering::Relaxed) == 0 || on_client_thread() {
                break;
            }
            self.wake_waiters();
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn wake_waiters(&self) {
        wake(self.handle.state.current.get().mapping().head(), Some(self.waiters));
    }
}

impl Drop for OpenConnect {
    fn drop(&mut self) {
        self.close();
    }
}

/// Identifies the clients of this process that share a segment: backend,
/// directory and key.
pub(super) type Key = (Backend, PathBuf, u32);

type Clients = Vec<(Key, Weak<ClientThread>)>;

/// This process's clients; none in a forked child.
pub(super) fn clients() -> MutexGuard<'static, Clients> {
    static CLIENTS: ForkLocal<Mutex<Clients>> = ForkLocal::new();
    let mut clients =
        CLIENTS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    clients.retain(|(_, handle)| handle.strong_count() > 0);
    clients
}
