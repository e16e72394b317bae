//! The wire format as plain values: addresses, the header of a message, the info
//! protocol and the login. The tender and the simulated cluster both use it;
//! nothing here opens a connection.

#![forbid(unsafe_code)]

mod header;
mod host;
pub(crate) mod info;
pub mod login;

pub(crate) use header::{HEADER_LEN, MessageHeader, MessageKind, VERSION};
pub use host::{Host, HostError};
