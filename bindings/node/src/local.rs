//! What one environment of Node has opened. Each runs on a thread of its own, so a
//! number names a client without a lock and without a look into a JavaScript object.

use std::cell::RefCell;

use tendmap_bindings::{Failure, Kind};

use crate::errors::{Result, raise};
use crate::session::Local;

enum Place {
    Open(Box<Local>),
    /// The name of what was open: numbers are not used again.
    Closed(&'static str),
}

thread_local! {
    static PLACES: RefCell<Vec<Place>> = const { RefCell::new(Vec::new()) };
}

/// Adds a client or a reader, and returns its number.
pub fn add(local: Local) -> u32 {
    PLACES.with_borrow_mut(|places| {
        places.push(Place::Open(Box::new(local)));
        places.len() as u32 - 1
    })
}

/// Runs `f` with the client or reader of that number.
#[inline(always)]
pub fn with<T>(id: u32, f: impl FnOnce(&mut Local) -> Result<T>) -> Result<T> {
    PLACES.with_borrow_mut(|places| match places.get_mut(id as usize) {
        Some(Place::Open(local)) => f(local),
        other => Err(closed(other.map(|place| &*place))),
    })
}

#[cold]
fn closed(found: Option<&Place>) -> napi::Error<crate::errors::Code> {
    let name = if let Some(Place::Closed(name)) = found { name } else { "client" };
    raise(Failure::new(Kind::Closed, format!("the {name} is closed")))
}

/// Removes the client or reader of that number.
pub fn remove(id: u32) -> Option<Box<Local>> {
    PLACES.with_borrow_mut(|places| {
        let place = places.get_mut(id as usize)?;
        let name = match place {
            Place::Open(local) => local.session.name(),
            Place::Closed(name) => name,
        };
        match std::mem::replace(place, Place::Closed(name)) {
            Place::Open(local) => Some(local),
            Place::Closed(_) => None,
        }
    })
}

/// Closes all of them.
pub fn forget_all() {
    let places = PLACES.take();
    for place in places {
        if let Place::Open(local) = place {
            local.close();
        }
    }
}
