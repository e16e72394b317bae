//! A client that outlives `fork`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde_json::Value;
use tendmap::client::{Client, Config, ConnectError};
use tendmap::layout::Lineage;
use tendmap::tend::login::SecretString;

use crate::events::{Events, MAX_EVENTS};
use crate::kind::Failure;

/// A client, and another one for each forked child that uses it.
///
/// A child inherits the map, but no thread. The first call in a child makes a
/// client of the child's own, with a thread that follows, and that may become
/// owner. Nothing of the parent's is touched, and no lock that a vanished
/// thread may hold is waited for.
#[derive(Debug)]
pub struct Session {
    /// What a child's own client is made with.
    config: ArcSwap<Config>,
    current: ArcSwap<Made>,
    closed: AtomicBool,
}

/// One process's client, of which all of its threads find the same.
#[derive(Debug)]
struct Made {
    lineage: Lineage,
    /// Fed by the client from its first moment on.
    events: Events,
    client: OnceLock<Client>,
    /// Only this process's threads take it: a child has one of its own.
    making: Mutex<()>,
}

impl Made {
    fn new() -> Made {
        Made {
            lineage: Lineage::current(),
            events: Events::new(),
            client: OnceLock::new(),
            making: Mutex::new(()),
        }
    }

    /// The client, made by the first thread that asks for it.
    fn client(
        &self,
        config: impl FnOnce() -> Config,
        connect: impl FnOnce(Config) -> Result<Client, ConnectError>,
    ) -> Result<&Client, Failure> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let mut config = config();
        config.observer = Some(self.events.observer());
        let client = connect(config)?;
        Ok(self.client.get_or_init(|| client))
    }
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// [`Failure`], of any kind that connecting has.
    pub fn connect(config: Config) -> Result<Session, Failure> {
        let made = Made::new();
        made.client(|| config.clone(), Client::connect)?;
        Ok(Session {
            config: ArcSwap::from_pointee(config),
            current: ArcSwap::from_pointee(made),
            closed: AtomicBool::new(false),
        })
    }

    /// This process's client.
    ///
    /// In a child that calls it for the first time it starts the child's own. A
    /// shared one waits for nothing; a private one (`use_shm = false`) waits
    /// for its first map.
    ///
    /// # Errors
    /// [`Failure`] if the child's own can't be started.
    pub fn client(&self) -> Result<Client, Failure> {
        Ok(self.made()?.1)
    }

    /// The oldest event of this process's client that was not given yet: what
    /// [`Event::to_json`](tendmap::client::Event::to_json) has, with its `level`
    /// and its `time` in seconds since 1970. `None` if nothing has happened.
    ///
    /// The last 256 are kept; where there were more, the first is `events_lost`
    /// with their `count`. Clients of a process that share an attachment share
    /// its events: the one that connected first has them.
    ///
    /// # Errors
    /// As [`client`](Self::client).
    pub fn next_event(&self) -> Result<Option<Value>, Failure> {
        Ok(self.made()?.0.events.take())
    }

    /// As often as [`next_event`](Self::next_event) gives one, but not for ever.
    ///
    /// # Errors
    /// As [`client`](Self::client).
    pub fn events(&self) -> Result<Vec<Value>, Failure> {
        let (made, _) = self.made()?;
        Ok(std::iter::from_fn(|| made.events.take()).take(MAX_EVENTS + 1).collect())
    }

    fn made(&self) -> Result<(Arc<Made>, Client), Failure> {
        let mut made = self.current.load_full();
        if made.lineage != Lineage::current() {
            // Of the threads of a child that come here at once one is first: its
            // events are those that the child's client feeds.
            let own = Arc::new(Made::new());
            let before = self.current.compare_and_swap(&made, own.clone());
            made = if Arc::ptr_eq(&before, &made) { own } else { Arc::clone(&before) };
        }
        let config = || Config::clone(&self.config.load());
        let start = |config: Config| match config.use_shm {
            true => Client::start(config),
            false => Client::connect(config),
        };
        let client = made.client(config, start)?.clone();
        // SeqCst: it was made after the close has looked, or that finds it.
        if self.closed.load(Ordering::SeqCst) {
            client.clone().close();
        }
        Ok((made, client))
    }

    /// Closes this process's client. It has closed when this returns, whatever
    /// other threads do with it; those that wait for a change return. A child
    /// leaves what it has inherited as it is.
    pub fn close(&self) {
        // SeqCst: pairs with the look after a client was made.
        self.closed.store(true, Ordering::SeqCst);
        if let Some(client) = self.current.load_full().client.get() {
            client.clone().close();
        }
    }

    /// As [`Client::set_preferred_racks`], also for clients of children that are
    /// forked from now on.
    ///
    /// # Errors
    /// As [`client`](Self::client).
    pub fn set_preferred_racks(&self, racks: &[i32]) -> Result<(), Failure> {
        self.client()?.set_preferred_racks(racks);
        self.remember(|config| config.preferred_racks = racks.to_vec());
        Ok(())
    }

    /// As [`Client::set_tend_interval`], also for clients of children that are
    /// forked from now on.
    ///
    /// # Errors
    /// As [`client`](Self::client), and those of the method.
    pub fn set_tend_interval(&self, interval: Duration) -> Result<(), Failure> {
        self.client()?.set_tend_interval(interval)?;
        self.remember(|config| config.tend_interval = interval);
        Ok(())
    }

    /// As [`Client::set_password`], also for clients of children that are forked
    /// from now on.
    ///
    /// # Errors
    /// As [`client`](Self::client), and those of the method.
    pub fn set_password(&self, password: SecretString) -> Result<(), Failure> {
        self.client()?.set_password(password.clone())?;
        self.remember(|config| config.password = Some(password.clone()));
        Ok(())
    }

    fn remember(&self, change: impl Fn(&mut Config)) {
        self.config.rcu(|config| {
            let mut changed = Config::clone(config);
            change(&mut changed);
            changed
        });
    }

    /// Whether the process that calls made this session's client, or has its
    /// own already.
    pub fn is_settled(&self) -> bool {
        let made = self.current.load();
        made.lineage == Lineage::current() && made.client.get().is_some()
    }
}
