//! The client of a session.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use serde_json::Value;
use tendmap::client::{Client, Config, ConnectError, Event};
use tendmap::internals::layout::Lineage;
use tendmap::wire::login::SecretString;

use crate::events::{Events, MAX_EVENTS};
use crate::kind::Failure;

/// A client, and another client in each forked child that uses it.
///
/// A child inherits the map, but no thread. The first call in a child creates the
/// child's own client, with a thread that follows and that may become owner. It
/// touches nothing of the parent's, and waits for no lock that a vanished thread may
/// hold.
#[derive(Debug)]
pub struct ClientSession {
    /// The configuration for a child's own client.
    config: ArcSwap<Config>,
    current: ArcSwap<Made>,
    closed: AtomicBool,
}

/// One process's client; all of its threads find the same one.
#[derive(Debug)]
struct Made {
    lineage: Lineage,
    /// The client records its events here from its first moment on.
    events: Events,
    client: OnceLock<Client>,
    /// Only threads of this process take it: a child has its own.
    making: Mutex<()>,
    /// In a child: its parent's shared client. It is used for reading if the child
    /// can't have its own.
    inherited: Option<Client>,
    /// The earliest time of the next attempt to create one.
    again: Mutex<Option<Instant>>,
}

/// The interval at which a child without a client of its own tries to create one.
const AGAIN: Duration = Duration::from_secs(1);

impl Made {
    fn new(inherited: Option<Client>) -> Made {
        Made {
            inherited,
            again: Mutex::new(None),
            lineage: Lineage::current(),
            events: Events::new(),
            client: OnceLock::new(),
            making: Mutex::new(()),
        }
    }

    /// The client, created by the first thread that asks for it.
    fn client(
        &self,
        config: impl FnOnce() -> Config,
        connect: impl FnOnce(Config) -> Result<Client, ConnectError>,
    ) -> Result<&Client, ConnectError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let _making = self.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let mut config = config();
        config.observer = Some(self.events.observer(config.observer.take()));
        let client = connect(config)?;
        Ok(self.client.get_or_init(|| client))
    }

    /// The same. A child that can't have its own client gets the inherited one, which
    /// only reads. (For example, the child has changed its user and may not open the
    /// segment.)
    fn own_or_inherited(
        &self,
        config: impl FnOnce() -> Config,
        connect: impl FnOnce(Config) -> Result<Client, ConnectError>,
    ) -> Result<Client, ConnectError> {
        let (Some(inherited), None) = (&self.inherited, self.client.get()) else {
            return self.client(config, connect).cloned();
        };
        let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
        if again.is_some_and(|again| Instant::now() < again) {
            return Ok(inherited.clone());
        }
        match self.client(config, connect) {
            Err(error @ (ConnectError::Segment(_) | ConnectError::Thread(_))) => {
                if again.is_none() {
                    let error =
                        format!("this process only reads the map that it has inherited: {error}");
                    self.events.observer(None).notify(&Event::Trouble { error });
                }
                *again = Some(Instant::now() + AGAIN);
                Ok(inherited.clone())
            }
            other => other.cloned(),
        }
    }
}

impl ClientSession {
    /// Connects. An observer of the configuration gets the events as well.
    ///
    /// # Errors
    /// [`Failure`], of any kind that connecting has.
    pub fn connect(config: Config) -> Result<ClientSession, Failure> {
        ClientSession::made_by(config, Client::connect)
    }

    /// Connects without waiting for a map.
    ///
    /// # Errors
    /// As [`Client::start`].
    pub fn start(config: Config) -> Result<ClientSession, Failure> {
        ClientSession::made_by(config, Client::start)
    }

    fn made_by(
        config: Config,
        connect: impl FnOnce(Config) -> Result<Client, ConnectError>,
    ) -> Result<ClientSession, Failure> {
        let made = Made::new(None);
        made.client(|| config.clone(), connect)?;
        Ok(ClientSession {
            config: ArcSwap::from_pointee(config),
            current: ArcSwap::from_pointee(made),
            closed: AtomicBool::new(false),
        })
    }

    /// This process's client.
    ///
    /// The first call in a child starts the child's own client. A shared client waits
    /// for nothing; a private one (`use_shm = false`) waits for its first map.
    ///
    /// If that is not possible, for example because the child has changed its user,
    /// the result is the inherited client, which only reads. Another attempt follows
    /// every second.
    ///
    /// # Errors
    /// [`Failure`] if the child's own client can't be started, except if the child
    /// may not open the segment.
    pub fn client(&self) -> Result<Client, Failure> {
        Ok(self.made()?.1)
    }

    /// The oldest event of this process's client that was not returned yet: the
    /// fields of [`Event::to_json`](tendmap::client::Event::to_json), with its
    /// `level` and its `time` in seconds since 1970. `None` if there is no event.
    ///
    /// The last 256 events are kept. If there were more, the first is `events_lost`
    /// with their `count`. Clients of a process that share an attachment share their
    /// events: the one that connected first has them.
    ///
    /// # Errors
    /// As [`client`](Self::client).
    pub fn next_event(&self) -> Result<Option<Value>, Failure> {
        Ok(self.made()?.0.events.take())
    }

    /// All events that [`next_event`](Self::next_event) would return, but a bounded
    /// number.
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
            // If several threads of a child arrive here at once, one of them is
            // first: the child's client records its events in that thread's [`Made`].
            let parents = made.client.get().or(made.inherited.as_ref());
            let parents = parents.filter(|_| self.config.load().use_shm).cloned();
            let own = Arc::new(Made::new(parents));
            let before = self.current.compare_and_swap(&made, own.clone());
            made = if Arc::ptr_eq(&before, &made) { own } else { Arc::clone(&before) };
        }
        let config = || Config::clone(&self.config.load());
        let start = |config: Config| match config.use_shm {
            true => Client::start(config),
            false => Client::connect(config),
        };
        let client = made.own_or_inherited(config, start)?;
        // SeqCst: either this load sees the close, or the close sees the new client.
        if self.closed.load(Ordering::SeqCst) {
            client.clone().close();
        }
        Ok((made, client))
    }

    /// Closes this process's client. It has closed when this returns, whatever other
    /// threads do with it; their waits for a change return. A child does not change
    /// inherited clients.
    pub fn close(&self) {
        // SeqCst: pairs with the load after a client was created.
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

    /// Whether the calling process created this session's client, or already has its
    /// own.
    pub fn is_settled(&self) -> bool {
        let made = self.current.load();
        made.lineage == Lineage::current() && made.client.get().is_some()
    }
}
