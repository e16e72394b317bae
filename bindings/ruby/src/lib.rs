//! tendmap for Ruby: a thin layer over the Rust library. The Ruby part (`lib/tendmap`)
//! has the public classes, their documentation, and everything that waits; this part has
//! what must be fast, and what touches the library.
//!
//! Ruby's lock is never released here, and Ruby code is never called while something is
//! borrowed. What takes long runs in a thread of its own ([`pending`]), whose end makes a
//! descriptor readable: Ruby waits for it as for any other input, so that other threads
//! and fibers run, and a signal, `Timeout` or `Thread#kill` ends the wait.

mod batch;
mod changes;
mod failure;
mod handle;
mod init;
mod keys;
mod lookup;
mod pending;
mod sim;

use magnus::{Error, Ruby};
use tendmap::client::{Setting, Status};

/// Passwords pass through the memory of texts and of TLS.
#[global_allocator]
static WIPING: tendmap::WipingAllocator = tendmap::internals::layout::WipingAllocator;

/// Whether a setting takes any text: a number would be an unnoticed mistake.
fn takes_text(name: String) -> bool {
    Setting::find(&name).is_some_and(|setting| setting.kind().takes_any_text())
}

/// The status of a segment as JSON, without attaching.
fn look(ruby: &Ruby, settings: Vec<(String, String)>) -> Result<String, Error> {
    failure::guard(ruby, || {
        let config = handle::config("localhost", &settings)?;
        Ok(Status::look(&config.place())?.to_json())
    })
}
