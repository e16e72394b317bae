//! The events of one attachment, for each client of the process that shares it.
//!
//! The library has one observer for an attachment: that of the client that connected
//! first. With `worker_threads` the others belong to other environments of Node, so all
//! clients of a place give the library the same observer, which passes events on.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tendmap::client::{Config, Observer};
use tendmap_bindings::Events;

use crate::changes::Bell;

/// Where an attachment is: clients of the same place share it.
type Attachment = (&'static str, PathBuf, u32);

static HUBS: Mutex<Vec<(Attachment, Weak<Hub>)>> = Mutex::new(Vec::new());

/// All clients of one attachment.
#[derive(Default)]
pub struct Hub {
    members: Mutex<Vec<(Observer, Arc<Bell>)>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Hub {
    /// The hub of a configuration's place; a private map has one of its own.
    pub fn of(config: &Config) -> Arc<Hub> {
        if !config.use_shm {
            return Arc::default();
        }
        let place = (config.shm_backend.as_str(), config.shm_directory.clone(), config.shm_key);
        let mut hubs = locked(&HUBS);
        hubs.retain(|(_, hub)| hub.strong_count() > 0);
        let known = hubs.iter().find(|(known, _)| *known == place);
        if let Some(hub) = known.and_then(|(_, hub)| hub.upgrade()) {
            return hub;
        }
        let made = Arc::new(Hub::default());
        hubs.push((place, Arc::downgrade(&made)));
        made
    }

    /// For the library: passes its events on.
    pub fn observer(self: &Arc<Hub>) -> Observer {
        let hub = self.clone();
        Observer::new(move |event| {
            for (observer, bell) in &*locked(&hub.members) {
                observer.notify(event);
                bell.ring();
            }
        })
    }

    /// Records events of a client and rings its bell, until the result is dropped.
    pub fn join(self: &Arc<Hub>, events: &Events, bell: &Arc<Bell>) -> Membership {
        locked(&self.members).push((events.observer(None), bell.clone()));
        Membership { hub: self.clone(), bell: bell.clone() }
    }
}

/// A client's place in the hub.
pub struct Membership {
    hub: Arc<Hub>,
    bell: Arc<Bell>,
}

impl Drop for Membership {
    fn drop(&mut self) {
        locked(&self.hub.members).retain(|(_, bell)| !Arc::ptr_eq(bell, &self.bell));
    }
}
