//! A client that outlives `fork`.

use std::sync::Arc;
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
}

#[derive(Debug)]
struct Made {
    lineage: Lineage,
    client: Client,
    events: Events,
}

impl Made {
    fn by(
        mut config: Config,
        connect: impl FnOnce(Config) -> Result<Client, ConnectError>,
    ) -> Result<Arc<Made>, Failure> {
        let events = Events::new();
        config.observer = Some(events.observer());
        let client = connect(config)?;
        Ok(Arc::new(Made { lineage: Lineage::current(), client, events }))
    }
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// [`Failure`], of any kind that connecting has.
    pub fn connect(config: Config) -> Result<Session, Failure> {
        let made = Made::by(config.clone(), Client::connect)?;
        Ok(Session { config: ArcSwap::from_pointee(config), current: ArcSwap::new(made) })
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
        Ok(self.made()?.client.clone())
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
        Ok(self.made()?.events.take())
    }

    /// As often as [`next_event`](Self::next_event) gives one, but not for ever.
    ///
    /// # Errors
    /// As [`client`](Self::client).
    pub fn events(&self) -> Result<Vec<Value>, Failure> {
        let made = self.made()?;
        Ok(std::iter::from_fn(|| made.events.take()).take(MAX_EVENTS + 1).collect())
    }

    fn made(&self) -> Result<Arc<Made>, Failure> {
        let made = self.current.load();
        if made.lineage == Lineage::current() {
            return Ok(made.clone());
        }
        let config = Config::clone(&self.config.load());
        let connect = if config.use_shm { Client::start } else { Client::connect };
        let own = Made::by(config, connect)?;
        // Two threads that come here at once have two handles of one client.
        self.current.store(own.clone());
        Ok(own)
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
        self.current.load().lineage == Lineage::current()
    }
}
