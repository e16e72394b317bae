//! A client that outlives `fork`.

use std::sync::Arc;

use arc_swap::ArcSwap;
use tendmap::client::{Client, Config};
use tendmap::layout::Lineage;

use crate::kind::Failure;

/// A client, and another one for each forked child that uses it.
///
/// A child inherits the map, but no thread. The first call in a child makes a
/// client of the child's own, with a thread that follows, and that may become
/// owner. Nothing of the parent's is touched, and no lock that a vanished
/// thread may hold is waited for.
#[derive(Debug)]
pub struct Session {
    config: Config,
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
        Ok(Session { config, current: ArcSwap::new(made) })
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
        let config = self.config.clone();
        let own = if config.use_shm { Client::start(config)? } else { Client::connect(config)? };
        // Two threads that come here at once have two handles of one client.
        self.current.store(Made::by(own.clone()));
        Ok(own)
    }

    /// The settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Whether the process that calls made this session's client, or has its
    /// own already.
    pub fn is_settled(&self) -> bool {
        self.current.load().lineage == Lineage::current()
    }
}
