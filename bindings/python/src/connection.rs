//! A connection to a map: not yet created, open, or closed.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use pyo3::prelude::*;
use tendmap::client::{Client as Known, Config};
use tendmap::wire::login::SecretString;
use tendmap_bindings::{Failure, Kind, Session};

use crate::errors::raise;
use crate::interrupt::interruptible;
use crate::log;
use crate::source::Source;

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
    /// What it is called in errors.
    name: &'static str,
}

impl Connection {
    /// Of a client, not connected yet.
    pub fn new(mut config: Config) -> Connection {
        let password = Mutex::new(config.password.take());
        Connection { config, password, state: Mutex::new(State::Lazy), name: "client" }
    }

    /// Of a reader.
    pub fn reading(config: Config, session: Session) -> Connection {
        let state = Mutex::new(State::Connected(Arc::new(session)));
        Connection { config, password: Mutex::new(None), state, name: "reader" }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn password(&self) -> MutexGuard<'_, Option<SecretString>> {
        self.password.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The exception of a call after the close.
    #[cold]
    pub fn closed(&self, py: Python<'_>) -> PyErr {
        raise(py, Failure::new(Kind::Closed, format!("the {} is closed", self.name)))
    }

    /// The session; `None` = not connected yet.
    fn connected(&self, py: Python<'_>) -> PyResult<Option<Arc<Session>>> {
        let found = match &*self.state() {
            State::Lazy => Some(None),
            State::Connected(session) => Some(Some(session.clone())),
            State::Closed(_) => None,
        };
        // Made without the lock: an exception may let other threads in.
        found.ok_or_else(|| self.closed(py))
    }

    fn full_config(&self) -> Config {
        let mut config = self.config.clone();
        config.password = self.password().clone();
        config
    }

    /// The session, created if there is none yet. In a thread with a running event
    /// loop it does not wait for a map.
    fn session(&self, py: Python<'_>) -> PyResult<Arc<Session>> {
        match self.connected(py)? {
            Some(session) => Ok(session),
            None if in_event_loop(py) => {
                let config = self.full_config();
                log::begin(py);
                let made = py.detach(|| Session::start(config));
                self.keep(py, Arc::new(made.map_err(|failure| raise(py, failure))?))
            }
            None => self.connect(py),
        }
    }

    fn connect(&self, py: Python<'_>) -> PyResult<Arc<Session>> {
        log::begin(py);
        let config = self.full_config();
        let made = interruptible(py, move || Session::connect(config.clone()))?;
        self.keep(py, Arc::new(made.map_err(|failure| raise(py, failure))?))
    }

    /// Connects if it has not yet, and waits for it.
    pub fn wait_to_connect(&self, py: Python<'_>) -> PyResult<()> {
        match self.connected(py)? {
            Some(_) => self.ready(py).map(drop),
            None => self.connect(py).map(drop),
        }
    }

    /// Keeps `made` as the session, if there is none yet; returns the session.
    fn keep(&self, py: Python<'_>, made: Arc<Session>) -> PyResult<Arc<Session>> {
        {
            let mut state = self.state();
            if let State::Lazy = *state {
                *state = State::Connected(made.clone());
                *self.password() = None;
                return Ok(made);
            }
        }
        // Another thread was faster, or has closed it meanwhile.
        py.detach(|| drop(made));
        self.connected(py)?.ok_or_else(|| self.closed(py))
    }

    /// The session with this process's own part.
    pub fn ready(&self, py: Python<'_>) -> PyResult<Arc<Session>> {
        let session = self.session(py)?;
        if !session.is_settled() {
            // The first call in a child; it waits for a private map.
            log::begin(py);
            let own = session.clone();
            let made = interruptible(py, move || own.client().map(drop))?;
            made.map_err(|failure| raise(py, failure))?;
        }
        Ok(session)
    }

    /// This process's client.
    pub fn known(&self, py: Python<'_>) -> PyResult<Known> {
        self.ready(py)?.client().map_err(|failure| raise(py, failure))
    }

    /// What this process's routers are made by.
    pub fn source(&self, py: Python<'_>) -> PyResult<Source> {
        let session = self.ready(py)?;
        let source = match session.is_reader() {
            true => session.reader().map(Source::Reader),
            false => session.client().map(Source::Client),
        };
        source.map_err(|failure| raise(py, failure))
    }

    /// What [`Connection::connect_later`] does in another thread: a new session, if one
    /// was needed.
    pub fn connecting(
        &self,
        py: Python<'_>,
    ) -> PyResult<impl FnOnce() -> Result<Option<Arc<Session>>, Failure> + Send + use<>> {
        let session = self.connected(py)?;
        log::begin(py);
        let config = self.full_config();
        Ok(move || match session {
            Some(session) if session.is_reader() => Ok(None),
            Some(session) => session.client().map(|_| None),
            None => Session::connect(config).map(|session| Some(Arc::new(session))),
        })
    }

    /// Keeps what [`connecting`](Self::connecting) has made.
    pub fn made(&self, py: Python<'_>, made: Option<Arc<Session>>) -> PyResult<()> {
        match made {
            Some(made) => self.keep(py, made).map(drop),
            None => self.connected(py).map(drop),
        }
    }

    /// Marks it as closed; returns what is still to be done, which may wait until the
    /// client's thread has handed the ownership over.
    pub fn closing(&self) -> impl FnOnce() + Send + use<> {
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
        move || drop(session.inspect(|session| session.close()))
    }

    pub fn close(&self, py: Python<'_>) {
        // Every thread that closes waits, whatever other threads do with the session.
        py.detach(self.closing());
    }

    pub fn is_closed(&self) -> bool {
        matches!(*self.state(), State::Closed(_))
    }
}

/// Whether an event loop of asyncio runs in this thread.
#[cold]
fn in_event_loop(py: Python<'_>) -> bool {
    let running = || {
        let modules = py.import("sys")?.getattr("modules")?;
        // Without the module there is no loop.
        modules.get_item("asyncio")?.call_method0("_get_running_loop")
    };
    running().is_ok_and(|found: Bound<'_, PyAny>| !found.is_none())
}
