//! What tendmap's bindings for other languages share: one kind for every
//! error, settings by name, and a client that outlives `fork`.

#![forbid(unsafe_code)]

mod batch;
mod events;
mod kind;
mod session;
mod settings;

pub use batch::{NO_NODE, indexes};
pub use kind::{Failure, Kind};
pub use session::Session;
pub use settings::{SettingError, TEXTS, names, seconds, set};
