//! The client: a process's part in a segment.
//!
//! [`Client`] (feature `tend`) attaches to the segment of its key, or creates
//! it. The process that holds ownership tends the cluster, the others follow,
//! and any of them takes over when the owner is gone. [`Reader`] only ever
//! reads: it needs no thread, no network and no permission to write.

#[cfg(feature = "tend")]
mod account;
#[cfg(feature = "tend")]
mod admit;
#[cfg(feature = "tend")]
mod agent;
#[cfg(feature = "tend")]
mod backoff;
mod bell;
mod changes;
#[cfg(feature = "tend")]
mod config;
#[cfg(feature = "tend")]
mod connect;
#[cfg(feature = "tend")]
mod error;
#[cfg(feature = "tend")]
mod event;
#[cfg(feature = "tend")]
mod fit;
#[cfg(feature = "tend")]
mod follower;
#[cfg(feature = "tend")]
mod grow;
mod health;
#[cfg(feature = "json")]
mod json;
#[cfg(feature = "tend")]
mod live;
#[cfg(feature = "tend")]
mod log;
#[cfg(feature = "c-client")]
mod mirrors;
#[cfg(feature = "tend")]
mod open;
#[cfg(feature = "tend")]
mod owner;
#[cfg(feature = "tend")]
mod pace;
mod reader;
mod ringing;
#[cfg(feature = "tend")]
mod settings;
#[cfg(feature = "tend")]
mod standby;
#[cfg(feature = "tend")]
mod state;
mod status;
mod summary;
#[cfg(feature = "tend")]
mod thread;
mod watcher;

pub use crate::times::Histogram;
pub use changes::{Changes, ChangesError};
#[cfg(feature = "tend")]
pub use config::{Config, ConfigError};
#[cfg(feature = "tend")]
pub use connect::Client;
#[cfg(feature = "tend")]
pub use error::ConnectError;
#[cfg(feature = "tend")]
pub use event::{Event, Level, Observer, Role};
pub use health::Verdict;
pub use reader::Reader;
#[cfg(feature = "tend")]
pub use settings::{DurationError, SETTINGS, Setting, SettingError, parse_duration};
pub use status::{ConditionStatus, DepartedNode, NamespaceStatus, NodeStatus, Status, StatusError};

/// What the command line, the bindings and the tests use beside that.
#[cfg(all(feature = "tend", feature = "internals"))]
pub(crate) mod internals {
    pub use super::event::one_of_each;
    pub use super::settings::{SettingGroup, SettingKind};
}
