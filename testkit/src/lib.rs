//! Support for the tests of all packages: a cluster without a network, servers that
//! answer from a table or a script, certificates, and recorded replies.
#![allow(missing_docs, reason = "the tests are the documentation")]
#![allow(clippy::new_without_default, reason = "made for tests, with much effect")]

pub mod authority;
pub mod c_client;
mod cluster;
pub mod forked;
pub mod memory;
mod program;
pub mod sandbox;
pub mod scripted;
pub mod scripted_tls;
mod skip;
pub mod tables;

use std::path::{Path, PathBuf};

pub use cluster::*;
pub use program::copy_program;
pub use skip::skipped;

/// A file or folder of recorded data.
pub fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}
