//! What one environment of Node has opened. Each runs on a thread of its own, so a
//! number names a client without a lock and without a look into a JavaScript object.

use std::cell::RefCell;
use std::mem::replace;
use std::sync::mpsc::{Receiver, channel};

use tendmap_bindings::{Failure, Kind};

use crate::errors::{Result, raise};
use crate::session::{Local, aside_or_here};

enum Place {
    Open(Box<Local>),
    /// Another thread closes it, and drops the sender when it has done so.
    Closing(&'static str, Receiver<()>),
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
    let name = match found {
        Some(Place::Closed(name) | Place::Closing(name, _)) => name,
        _ => "client",
    };
    raise(Failure::new(Kind::Closed, format!("the {name} is closed")))
}

impl Place {
    fn name(&self) -> &'static str {
        match self {
            Place::Open(local) => local.session.name(),
            Place::Closing(name, _) | Place::Closed(name) => name,
        }
    }

    /// It is closed when this returns.
    fn close(self) {
        match self {
            Place::Open(local) => local.close(),
            // The result is always that there is no sender any more.
            Place::Closing(_, closed) => drop(closed.recv()),
            Place::Closed(_) => {}
        }
    }
}

/// Closes the client or reader of that number, or waits until another thread has done so.
pub fn close(id: u32) {
    let found = PLACES.with_borrow_mut(|places| {
        let place = places.get_mut(id as usize)?;
        let closed = Place::Closed(place.name());
        Some(replace(place, closed))
    });
    if let Some(place) = found {
        place.close();
    }
}

/// Closes the client or reader of that number on another thread, which then calls `done`.
pub fn close_aside(id: u32, done: impl FnOnce() + Send + 'static) {
    let (sender, closed) = channel::<()>();
    let open = PLACES.with_borrow_mut(|places| {
        let place = places.get_mut(id as usize).filter(|place| matches!(place, Place::Open(_)))?;
        let closing = Place::Closing(place.name(), closed);
        match replace(place, closing) {
            Place::Open(local) => Some(local),
            Place::Closing(..) | Place::Closed(_) => None,
        }
    });
    aside_or_here(move || {
        if let Some(local) = open {
            local.close();
        }
        drop(sender);
        done();
    });
}

/// Closes all of them.
pub fn forget_all() {
    PLACES.take().into_iter().for_each(Place::close);
}
