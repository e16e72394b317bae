//! A client's connection: not yet created, open, or closed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pyo3::prelude::*;
use tendmap::client::{Client as Known, Config};
use tendmap::wire::login::SecretString;
use tendmap_bindings::Session;

use crate::errors::{closed, raise};
use crate::interrupt::interruptible;

enum State {
    /// Not connected yet.
    Lazy,
    Connected(Arc<Session>),
    /// A session that may still be closing.
    Closed(Weak<Session>),
}

/// A connection and its settings. Its lock is held only briefly, by threads that
/// hold the interpreter's lock, which `os.fork` also needs.
pub struct Connection {
    pub config: Config,
    /// Kept until it has connected.
    password: Mutex<Option<SecretString>>,
    state: Mutex<State>,
}

impl Connection {
    pub fn new(mut config: Config) -> Connection {
        let password = Mutex::new(config.password.take());
        Connection { config, password, state: Mutex::new(State::Lazy) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn password(&self) -> MutexGuard<'_, Option<SecretString>> {
        self.password.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The session; `None` = not connected yet.
    fn connected(&self, py: Python<'_>) -> PyResult<Option<Arc<Session>>> {
        let found = match &*self.state() {
            State::Lazy => Some(None),
            State::Connected(session) => Some(Some(session.clone())),
            State::Closed(_) => None,
        };
        // Made without the lock: an exception may let other threads in.
        found.ok_or_else(|| closed(py))
    }

    /// The session, created if there is none yet.
    pub fn session(&self, py: Python<'_>) -> PyResult<Arc<Session>> {
        if let Some(session) = self.connected(py)? {
            return Ok(session);
        }
        let mut config = self.config.clone();
        config.password = self.password().clone();
        let connect = move || Session::connect(config.clone());
        let made = interruptible(py, connect)?.map_err(|failure| raise(py, failure))?;
        let made = Arc::new(made);
        if let Some(session) = self.keep(made.clone()) {
            return Ok(session);
        }
        // Another thread was faster, or has closed it meanwhile.
        py.detach(|| drop(made));
        self.connected(py)?.ok_or_else(|| closed(py))
    }

    /// Keeps `made` as the session, if there is none yet.
    fn keep(&self, made: Arc<Session>) -> Option<Arc<Session>> {
        let mut state = self.state();
        let State::Lazy = *state else { return None };
        *state = State::Connected(made.clone());
        *self.password() = None;
        Some(made)
    }

    /// This process's client.
    pub fn known(&self, py: Python<'_>) -> PyResult<Known> {
        let session = self.session(py)?;
        let known = match session.is_settled() {
            true => session.client(),
            // The first call in a child; it waits for a private map.
            false => interruptible(py, move || session.client())?,
        };
        known.map_err(|failure| raise(py, failure))
    }

    pub fn close(&self, py: Python<'_>) {
        let session = {
            let mut state = self.state();
            let session = match &*state {
                State::Lazy => None,
                State::Connected(session) => Some(session.clone()),
                State::Closed(session) => session.upgrade(),
            };
            *self.password() = None;
            *state = State::Closed(session.as_ref().map_or_else(Weak::new, Arc::downgrade));
            session
        };
        // Every thread that closes waits until the client's thread has handed the
        // ownership over, whatever other threads do with the session.
        py.detach(move || session.inspect(|session| session.close()));
    }

    pub fn is_closed(&self) -> bool {
        matches!(*self.state(), State::Closed(_))
    }
}
