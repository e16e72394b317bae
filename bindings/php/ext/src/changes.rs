//! The descriptor of changes.

use std::os::fd::{AsFd, AsRawFd};

use ext_php_rs::prelude::*;
use tendmap::client::Changes as Known;
use tendmap_bindings::changes_closed;

use crate::failure::Outcome;

/// A descriptor that becomes readable when the map changes.
#[php_class]
#[php(name = "Tendmap\\Extension\\Changes")]
pub struct Changes(Option<Known>);

impl Changes {
    /// For PHP.
    pub fn new(known: Known) -> Changes {
        Changes(Some(known))
    }

    fn known(&self) -> Outcome<&Known> {
        Ok(self.0.as_ref().ok_or_else(changes_closed)?)
    }
}

#[php_impl]
impl Changes {
    /// The number of the descriptor.
    pub fn fd(&self) -> PhpResult<i64> {
        let known = self.known().map_err(PhpException::from)?;
        Ok(i64::from(known.as_fd().as_raw_fd()))
    }

    /// Makes it unreadable; the live sequence.
    pub fn take(&self) -> PhpResult<i64> {
        let take = || Outcome::Ok(self.known()?.take()? as i64);
        take().map_err(PhpException::from)
    }

    /// Closes it.
    pub fn close(&mut self) {
        self.0 = None;
    }
}
