//! Opens clients and readers.

use napi_derive::napi;

use crate::errors::{Result, raise};
use crate::local;
use crate::mailbox::Mailbox;
use crate::session::{Local, Opened, aside};
use crate::settings;

/// Connects on a thread of its own; the ticket comes back when that is done.
#[napi(catch_unwind)]
pub fn connect(names: Vec<String>, values: Vec<String>, ticket: u32) -> Result<()> {
    let mailbox = Mailbox::own()?;
    let config = settings::checked(&names, &values)?;
    aside(move || mailbox.leave(ticket, Opened::connect(config))).map_err(raise)
}

/// Connects, and blocks the event loop meanwhile.
#[napi(catch_unwind)]
pub fn connect_now(names: Vec<String>, values: Vec<String>) -> Result<u32> {
    let config = settings::checked(&names, &values)?;
    Ok(local::add(Local::new(Opened::connect(config).map_err(raise)?)?))
}

/// Attaches as a reader, which takes microseconds.
#[napi(catch_unwind)]
pub fn read(names: Vec<String>, values: Vec<String>) -> Result<u32> {
    let config = settings::config(&names, &values)?;
    Ok(local::add(Local::new(Opened::read(&config).map_err(raise)?)?))
}
