//! The parts of the command line, for its binary, for the harness and for packages
//! of other languages.
#![forbid(unsafe_code)]
#![allow(missing_docs, reason = "shared by programs, not a library")]

pub mod args;
mod c_client;
mod check;
mod command;
mod completions;
mod demo;
mod duration;
mod event;
pub mod failure;
mod flags;
pub mod fleet;
mod grid;
mod invocation;
pub mod json;
pub mod log;
mod ls;
mod manual;
mod map;
mod metrics;
pub mod output;
mod replace;
mod rm;
mod route;
pub mod seen;
pub mod settings;
pub mod signals;
mod sim;
mod status;
mod tend;
mod verify;
mod watch;
mod writer;

pub use command::{Cli, Command, run, run_in};
