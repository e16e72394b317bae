//! The routers of a client, for Python's threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use atomic_refcell::{AtomicRefCell, AtomicRefMut};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use sync_wrapper::SyncWrapper;

use crate::lent::Lent;
use crate::source::Source;

/// The routers of a client.
///
/// The locks here are held only for a moment, by threads that hold the interpreter's
/// lock. `os.fork` needs that lock too, so a child never finds one of these locks
/// taken. Where this can't be relied on, a lock is only tried, and a new router is
/// created if it is taken.
pub struct Pool {
    /// For calls that keep the interpreter's lock. It is boxed, because a router is
    /// aligned to 128 bytes and Python's objects only to 16.
    hot: AtomicRefCell<SyncWrapper<Option<Box<Lent>>>>,
    /// For calls that release it.
    spare: Mutex<Vec<Lent>>,
    /// Set when the pool keeps routers no longer: a router would keep its client
    /// alive.
    closed: AtomicBool,
}

impl Pool {
    pub fn new() -> Pool {
        Pool {
            hot: AtomicRefCell::new(SyncWrapper::new(None)),
            spare: Mutex::new(Vec::new()),
            closed: AtomicBool::new(false),
        }
    }

    /// Runs `f` with a router, with the interpreter's lock held. `connect` returns
    /// what makes routers if a router has to be created.
    #[inline(always)]
    pub fn with<R>(
        &self,
        py: Python<'_>,
        connect: impl FnOnce() -> PyResult<Source>,
        f: impl FnOnce(&mut Lent) -> PyResult<R>,
    ) -> PyResult<R> {
        if let Ok(hot) = self.hot.try_borrow_mut() {
            let mut hot = Hot { py, pool: self, hot };
            match hot.hot.get_mut() {
                Some(lent) if lent.is_own() => return f(lent),
                _ => {}
            }
        }
        self.with_another(py, connect, f)
    }

    #[cold]
    fn with_another<R>(
        &self,
        py: Python<'_>,
        connect: impl FnOnce() -> PyResult<Source>,
        f: impl FnOnce(&mut Lent) -> PyResult<R>,
    ) -> PyResult<R> {
        let mut lent = self.take(connect)?;
        let result = f(&mut lent);
        if let Some(lent) = self.make_hot(lent) {
            self.give_back(py, lent);
        }
        result
    }

    /// Makes the router the one for calls that keep the interpreter's lock. Returns
    /// the router that is not needed there.
    fn make_hot(&self, lent: Lent) -> Option<Lent> {
        if self.is_closed() {
            return Some(lent);
        }
        let Ok(mut hot) = self.hot.try_borrow_mut() else { return Some(lent) };
        match hot.get_mut() {
            Some(own) if own.is_own() => Some(lent),
            place => place.replace(Box::new(lent)).map(|former| *former),
        }
    }

    /// A router that may be used without the interpreter's lock.
    pub fn take(&self, connect: impl FnOnce() -> PyResult<Source>) -> PyResult<Lent> {
        loop {
            let spare = self.spare.try_lock().ok().and_then(|mut spare| spare.pop());
            match spare {
                Some(lent) if lent.is_own() => return Ok(lent),
                Some(inherited) => drop(inherited),
                None => return Ok(Lent::new(connect()?)),
            }
        }
    }

    /// Keeps the router for the next call if it can be used again.
    pub fn give_back(&self, py: Python<'_>, mut lent: Lent) {
        lent.forget_nodes();
        if lent.is_own()
            && !self.is_closed()
            && let Ok(mut spare) = self.spare.try_lock()
        {
            return spare.push(lent);
        }
        let_go(py, [lent]);
    }

    /// From now on no router is kept; a router in use is dropped when it is given
    /// back.
    pub fn close(&self, py: Python<'_>) {
        self.closed.store(true, Ordering::Relaxed);
        self.empty(py);
    }

    /// Drops all routers that are not in use.
    pub fn empty(&self, py: Python<'_>) {
        let hot = self.hot.try_borrow_mut().ok().and_then(|mut hot| hot.get_mut().take());
        let spare = self.spare.try_lock().map(|mut spare| std::mem::take(&mut *spare));
        let_go(py, spare.unwrap_or_default().into_iter().chain(hot.map(|hot| *hot)));
    }

    /// Shows Python's garbage collector every object of the routers that are not in
    /// use. The collector assumes that all others are in use.
    pub fn visit(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        if let Ok(mut hot) = self.hot.try_borrow_mut() {
            hot.get_mut().iter().try_for_each(|lent| lent.visit(visit))?;
        }
        match self.spare.try_lock() {
            Ok(spare) => spare.iter().try_for_each(|lent| lent.visit(visit)),
            Err(_) => Ok(()),
        }
    }

    #[inline(always)]
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
}

/// The router in use by a call that keeps the interpreter's lock.
struct Hot<'a> {
    py: Python<'a>,
    pool: &'a Pool,
    hot: AtomicRefMut<'a, SyncWrapper<Option<Box<Lent>>>>,
}

impl Drop for Hot<'_> {
    /// Done here and not after the call, so that the result need not be moved.
    #[inline(always)]
    fn drop(&mut self) {
        // Converting a key may have closed the client, or let another thread close
        // it.
        if self.pool.is_closed() {
            let_go(self.py, self.hot.get_mut().take().map(|hot| *hot));
        }
    }
}

/// Drops routers without the interpreter's lock: the last handle of a client waits
/// until its thread has handed the ownership over.
#[cold]
fn let_go(py: Python<'_>, routers: impl IntoIterator<Item = Lent>) {
    let mut routers: Vec<Lent> = routers.into_iter().collect();
    routers.iter_mut().for_each(Lent::forget);
    py.detach(|| drop(routers));
}
