//! News of changes, for event loops.

use std::os::fd::{AsFd, IntoRawFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError};

use magnus::typed_data::Obj;
use magnus::{DataTypeFunctions, Error, Ruby, TypedData};
use tendmap::Changes;
use tendmap_bindings::{Failure, Kind, changes_closed};

use crate::failure::guard;

/// A handle for changes.
#[derive(TypedData)]
#[magnus(class = "Tendmap::Changes", free_immediately)]
pub struct Handles(Mutex<Option<Changes>>);

impl DataTypeFunctions for Handles {}

impl Handles {
    pub fn new(changes: Changes) -> Handles {
        Handles(Mutex::new(Some(changes)))
    }

    fn lock(&self) -> MutexGuard<'_, Option<Changes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<R>(
        &self,
        ruby: &Ruby,
        f: impl FnOnce(&Changes) -> Result<R, Failure>,
    ) -> Result<R, Error> {
        guard(ruby, || match &*self.lock() {
            Some(changes) => f(changes),
            None => Err(changes_closed()),
        })
    }

    pub fn close(&self) {
        let former = self.lock().take();
        drop(former);
    }

    pub fn is_closed(&self) -> bool {
        self.lock().is_none()
    }
}

/// A duplicate of the descriptor, which belongs to the caller: an IO object may then live
/// longer than the handle.
pub fn descriptor(ruby: &Ruby, this: Obj<Handles>) -> Result<RawFd, Error> {
    this.with(ruby, |changes| match changes.as_fd().try_clone_to_owned() {
        Ok(descriptor) => Ok(descriptor.into_raw_fd()),
        Err(error) => {
            let text = format!("no descriptor for changes: {error}; check the limit of open files");
            Err(Failure::new(Kind::Descriptor, text))
        }
    })
}

pub fn take(ruby: &Ruby, this: Obj<Handles>) -> Result<u64, Error> {
    this.with(ruby, |changes| Ok(changes.take()?))
}

pub fn sequence(ruby: &Ruby, this: Obj<Handles>) -> Result<u64, Error> {
    this.with(ruby, |changes| Ok(changes.sequence()))
}
