//! What threads leave for one environment of Node: the main thread, or a worker of
//! `worker_threads`.

use std::cell::{Cell, RefCell};
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
    /// One for each time that the environment has loaded the package's modules: a runner of
    /// tests loads them again for each file. All of them get every ticket.
    wakes: Mutex<Vec<Wake>>,
    arrived: Mutex<Arrived>,
}

thread_local! {
    static OWN: RefCell<Option<Arc<Mailbox>>> = const { RefCell::new(None) };
    static LAST: Cell<u32> = const { Cell::new(0) };
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        for wake in &*locked(&self.wakes) {
            wake.call(ticket, ThreadsafeFunctionCallMode::NonBlocking);
        }
    }

    /// Leaves a result, and wakes the event loop. After its end the result is closed.
    pub fn leave(&self, ticket: u32, result: std::result::Result<Opened, Failure>) {
        if let Some(arrived) = &mut *locked(&self.arrived) {
            arrived.push((ticket, result));
        } else {
            return;
        }
        self.wake(ticket);
    }

    /// Takes a result.
    pub fn take(&self, ticket: u32) -> Option<std::result::Result<Opened, Failure>> {
        let mut arrived = locked(&self.arrived);
        let arrived = arrived.as_mut()?;
        let place = arrived.iter().position(|(known, _)| *known == ticket)?;
        Some(arrived.swap_remove(place).1)
    }

    /// The environment ends: its clients are closed, and so is what arrives later.
    fn end() {
        let own = OWN.take();
        local::forget_all();
        sim::forget_all();
        if let Some(own) = own {
            let left = locked(&own.arrived).take();
            drop(left);
        }
    }
}

/// Adds a function that gets the tickets.
#[napi(catch_unwind)]
pub fn listen(env: Env, wake: Function<u32, UnknownReturnValue>) -> napi::Result<()> {
    let wake = wake.build_threadsafe_function().weak::<true>().build()?;
    if let Some(own) = OWN.with_borrow(Clone::clone) {
        locked(&own.wakes).push(wake);
        return Ok(());
    }
    let (wakes, arrived) = (Mutex::new(vec![wake]), Mutex::new(Some(Vec::new())));
    OWN.set(Some(Arc::new(Mailbox { wakes, arrived })));
    env.add_env_cleanup_hook((), |()| Mailbox::end())?;
    Ok(())
}

/// Another ticket than all before it in this environment (of the last 2^32).
#[napi(catch_unwind)]
pub fn ticket() -> u32 {
    LAST.set(LAST.get().wrapping_add(1));
    LAST.get()
}
