//! A client that outlives `fork`.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tendmap::client::{Client, Config};
use tendmap::layout::Lineage;
use tendmap::tend::login::SecretString;

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
}

impl Made {
    fn by(client: Client) -> Arc<Made> {
        Arc::new(Made { lineage: Lineage::current(), client })
    }
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// [`Failure`], of any kind that connecting has.
    pub fn connect(config: Config) -> Result<Session, Failure> {
        let made = Made::by(Client::connect(config.clone())?);
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
        let made = self.current.load();
        if made.lineage == Lineage::current() {
            return Ok(made.client.clone());
        }
        let config = Config::clone(&self.config.load());
        let own = if config.use_shm { Client::start(config)? } else { Client::connect(config)? };
        // Two threads that come here at once have two handles of one client.
        self.current.store(Made::by(own.clone()));
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
