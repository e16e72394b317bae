//! What threads leave for one environment of Node: the main thread, or a worker of
//! `worker_threads`.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use napi::Env;
use napi::bindgen_prelude::Function;
use napi::threadsafe_function::{
    ThreadsafeFunction, ThreadsafeFunctionCallMode, UnknownReturnValue,
};
use napi_derive::napi;
use tendmap_bindings::{Failure, Kind};

use crate::errors::{Result, raise};
use crate::session::Opened;
use crate::{local, sim};

/// What threads have opened, by ticket; `None` after the end of the environment.
type Arrived = Option<Vec<(u32, std::result::Result<Opened, Failure>)>>;

/// It never keeps the process running.
type Wake = ThreadsafeFunction<u32, UnknownReturnValue, u32, napi::Status, false, true>;

/// The results of other threads, and the way to wake the event loop.
pub struct Mailbox {
    wake: Wake,
    arrived: Mutex<Arrived>,
}

thread_local! {
    static OWN: RefCell<Option<Arc<Mailbox>>> = const { RefCell::new(None) };
}

impl Mailbox {
    /// The mailbox of this thread's environment.
    pub fn own() -> Result<Arc<Mailbox>> {
        let own = OWN.with_borrow(Clone::clone);
        own.ok_or_else(|| {
            raise(Failure::new(Kind::Internal, "tendmap was not loaded by its index"))
        })
    }

    /// Passes a ticket to the event loop. Nothing happens after its end.
    pub fn wake(&self, ticket: u32) {
        self.wake.call(ticket, ThreadsafeFunctionCallMode::NonBlocking);
    }

    /// Leaves a result, and wakes the event loop. After its end the result is closed.
    pub fn leave(&self, ticket: u32, result: std::result::Result<Opened, Failure>) {
        if let Some(arrived) = &mut *self.arrived() {
            arrived.push((ticket, result));
        } else {
            return;
        }
        self.wake(ticket);
    }

    /// Takes a result.
    pub fn take(&self, ticket: u32) -> Option<std::result::Result<Opened, Failure>> {
        let mut arrived = self.arrived();
        let arrived = arrived.as_mut()?;
        let place = arrived.iter().position(|(known, _)| *known == ticket)?;
        Some(arrived.swap_remove(place).1)
    }

    fn arrived(&self) -> MutexGuard<'_, Arrived> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The environment ends: its clients are closed, and so is what arrives later.
    fn end() {
        let own = OWN.take();
        local::forget_all();
        sim::forget_all();
        if let Some(own) = own {
            let left = own.arrived().take();
            drop(left);
        }
    }
}

/// Sets the function that gets the tickets; once for each environment.
#[napi(catch_unwind)]
pub fn listen(env: Env, wake: Function<u32, UnknownReturnValue>) -> napi::Result<()> {
    let wake = wake.build_threadsafe_function().weak::<true>().build()?;
    let made = Mailbox { wake, arrived: Mutex::new(Some(Vec::new())) };
    OWN.set(Some(Arc::new(made)));
    env.add_env_cleanup_hook((), |()| Mailbox::end())?;
    Ok(())
}
