//! What a client's handles and its thread share, and which clients this
//! process has.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::config::Config;
use super::error::ConnectError;
use super::event::{Event, Role, tell};
use crate::layout::{ForkLocal, Lineage};
use crate::segment::{Backend, Current, Personal, wake};
use crate::tend::login::Credentials;

/// What handles and thread share.
#[derive(Debug)]
pub(super) struct Shared {
    pub config: Config,
    pub current: Arc<Current>,
    pub personal: Personal,
    /// In nanoseconds.
    tend_interval: AtomicU64,
    /// Who is to log in from now on, until the thread takes note.
    credentials: Mutex<Option<Credentials>>,
    stop: AtomicBool,
    role: AtomicU8,
    first: Mutex<Option<Result<(), ConnectError>>>,
    arrived: Condvar,
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

const ROLES: [Role; 4] = [Role::Follower, Role::Standby, Role::Owner, Role::Closed];

impl Shared {
    pub fn new(config: Config, current: Arc<Current>) -> Shared {
        Shared {
            tend_interval: AtomicU64::new(nanoseconds(config.tend_interval)),
            config,
            current,
            personal: Personal::random(),
            credentials: Mutex::new(None),
            stop: AtomicBool::new(false),
            role: AtomicU8::new(0),
            first: Mutex::new(None),
            arrived: Condvar::new(),
        }
    }

    /// Whether the client closes.
    pub fn stopping(&self) -> bool {
        // Acquire: pairs with the Release of the closing handle.
        self.stop.load(Ordering::Acquire)
    }

    /// How often the owner polls: as configured, or as changed since.
    pub fn tend_interval(&self) -> Duration {
        // Relaxed: it stands for itself.
        Duration::from_nanos(self.tend_interval.load(Ordering::Relaxed))
    }

    /// Changes it; the thread is woken to take note.
    pub fn set_tend_interval(&self, interval: Duration) {
        self.tend_interval.store(nanoseconds(interval), Ordering::Relaxed);
        wake(self.current.get().mapping().event(), Some(self.personal));
    }

    /// Has the thread log in as these.
    pub fn set_credentials(&self, credentials: Credentials) {
        *self.credentials.lock().unwrap_or_else(PoisonError::into_inner) = Some(credentials);
        wake(self.current.get().mapping().event(), Some(self.personal));
    }

    /// What [`set_credentials`](Self::set_credentials) has left.
    pub fn take_credentials(&self) -> Option<Credentials> {
        self.credentials.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub fn role(&self) -> Role {
        // Relaxed: it stands for itself.
        ROLES[usize::from(self.role.load(Ordering::Relaxed)) % ROLES.len()]
    }

    pub fn set_role(&self, role: Role) {
        let index = ROLES.iter().position(|&known| known == role).unwrap_or(0);
        self.role.store(index as u8, Ordering::Relaxed);
    }

    pub fn tell(&self, event: Event) {
        tell(self.config.observer.as_ref(), event);
    }

    fn first(&self) -> MutexGuard<'_, Option<Result<(), ConnectError>>> {
        self.first.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a connect still waits for the first map.
    pub fn awaited(&self) -> bool {
        self.first().is_none()
    }

    /// There is a map, or it is known why there is none. Only the first word
    /// counts.
    pub fn settle(&self, result: Result<(), ConnectError>) {
        let mut first = self.first();
        if first.is_none() {
            *first = Some(result);
            self.arrived.notify_all();
        }
    }

    /// Waits until [`settle`](Self::settle)d, at most until `deadline`; `None`
    /// if it was not. An error is handed to one caller only, the others get
    /// what they would find by trying anew: nothing.
    pub fn wait_first(&self, deadline: Instant) -> Option<Result<(), ConnectError>> {
        let mut first = self.first();
        loop {
            match &mut *first {
                Some(Ok(())) => return Some(Ok(())),
                Some(error) => return Some(core::mem::replace(error, Ok(()))),
                None => {}
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            first =
                self.arrived.wait_timeout(first, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Ends the thread when the last handle goes.
#[derive(Debug)]
pub(super) struct Handle {
    pub shared: Arc<Shared>,
    pub thread: Mutex<Option<JoinHandle<()>>>,
    pub lineage: Lineage,
}

impl Drop for Handle {
    fn drop(&mut self) {
        // In a forked child there is no such thread, and its locks may be held
        // for ever: nothing is to be done.
        if self.lineage != Lineage::current() {
            // Not even to be detached: the child's own threads may have got
            // its place, and its name, in the C library.
            let thread = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner);
            std::mem::forget(thread.take());
            return;
        }
        // Release: pairs with `stopping`.
        self.shared.stop.store(true, Ordering::Release);
        let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        // The thread may be between its look at `stop` and its sleep, and it
        // may move to another segment: wake it until it has ended.
        while !thread.is_finished() {
            let segment = self.shared.current.get();
            wake(segment.mapping().event(), Some(self.shared.personal));
            std::thread::sleep(Duration::from_millis(1));
        }
        let _ = thread.join();
    }
}

/// The clients of this process that share a segment, by backend, directory and key.
pub(super) type Clients = Vec<((Backend, PathBuf, u32), Weak<Handle>)>;

/// This process's clients; none in a forked child.
pub(super) fn clients() -> MutexGuard<'static, Clients> {
    static CLIENTS: ForkLocal<Mutex<Clients>> = ForkLocal::new();
    let mut clients =
        CLIENTS.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner);
    clients.retain(|(_, handle)| handle.strong_count() > 0);
    clients
}
