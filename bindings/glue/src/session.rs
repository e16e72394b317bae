//! A client that outlives `fork`.

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
    /// Of a child: its parent's shared client, to read with where the child can't
    /// have one of its own.
    inherited: Option<Client>,
    /// When to try again to make one.
    again: Mutex<Option<Instant>>,
}

/// How often a child that can't have a client of its own tries to make one.
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

    /// The client, made by the first thread that asks for it.
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
        config.observer = Some(self.events.observer());
        let client = connect(config)?;
        Ok(self.client.get_or_init(|| client))
    }

    /// The same; of a child that can't have its own the inherited one, which only
    /// reads: as the user that it has become it may not open the segment, say.
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
                    self.events.observer().tell(&Event::Trouble { error });
                }
                *again = Some(Instant::now() + AGAIN);
                Ok(inherited.clone())
            }
            other => other.cloned(),
        }
    }
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// [`Failure`], of any kind that connecting has.
    pub fn connect(config: Config) -> Result<Session, Failure> {
        let made = Made::new(None);
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
    /// Where that can't be, because the child has changed its user, say, it is the
    /// one that the child has inherited, which only reads; it is tried again every
    /// second.
    ///
    /// # Errors
    /// [`Failure`] if the child's own can't be started, for another reason than
    /// that the segment is out of its reach.
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
