//! Sends requests to the servers and returns their replies.
//!
//! The logic of a pass knows nothing of sockets: tests drive it with recorded
//! replies, production with [`TcpTransport`].

use core::ops::ControlFlow;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::{TendError, Turn};
use crate::text::Printable;
use crate::wire::Host;
use crate::wire::info::InfoError;
use crate::wire::login::{Credentials, LoginError};

mod connection;
mod links;
mod logins;
mod resolve;
mod shortage;
mod stream;
mod tcp;

pub use tcp::TcpTransport;

/// One request to one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The server.
    pub address: SocketAddr,
    /// The info commands, answered in this order.
    pub commands: Vec<String>,
}

/// The reply to an [`Ask`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The connection that was used. A different number means another
    /// connection, perhaps to another process: what was cached for the earlier
    /// one is invalid.
    pub connection: u64,
    /// The body of the reply, after the header.
    pub body: Vec<u8>,
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// The connection failed.
    #[error("can't connect: {}", Printable(.0))]
    Connect(String),
    /// No connection was opened, because this process lacks a local resource:
    /// what is missing, and what to do.
    #[error("can't connect: {}", Printable(.0))]
    Shortage(String),
    /// No reply before the deadline.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The connection broke.
    #[error("the connection broke: {}", Printable(.0))]
    Broken(String),
    /// The server's data is not a reply.
    #[error(transparent)]
    Malformed(#[from] InfoError),
    /// The TLS handshake failed: what is wrong and what to do.
    #[error("TLS: {}", Printable(.0))]
    Tls(String),
    /// The server refuses logins of this user. Further attempts follow with
    /// growing delays.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The server requires a login, and no credentials are configured.
    #[error("the server requires a login; set user and password")]
    LoginWanted,
}

impl AskError {
    /// Whether the error is about the login, not about the connection.
    pub fn is_login(&self) -> bool {
        matches!(self, AskError::Login(_) | AskError::LoginWanted)
    }
}

/// Interrupted by [`Turn::beat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("interrupted: the process closes, or another one owns the segment")]
pub struct Interrupted;

impl From<Interrupted> for TendError {
    fn from(_: Interrupted) -> TendError {
        TendError::Interrupted
    }
}

/// Receives the result of each request, by its index; `Break` = enough.
pub type Done<'a> = dyn FnMut(usize, Result<Answer, AskError>) -> ControlFlow<()> + 'a;

/// The network connections to the servers.
///
/// While it waits it calls [`Turn::beat`] at least every 50 ms,
/// and returns [`Interrupted`] if that asks it to stop.
pub trait Transport: Send {
    /// Sends all requests (no address twice), each with its own deadline, over one lasting
    /// connection per address. They are sent at the same time, as far as connections can be
    /// opened. Each result is passed to `done` as it arrives. Returns when all have arrived, or at
    /// once when `done` returns `Break`; requests in progress are then abandoned.
    ///
    /// # Errors
    /// [`Interrupted`].
    fn ask(
        &mut self,
        asks: &[Ask],
        turn: &mut dyn Turn,
        done: &mut Done<'_>,
    ) -> Result<(), Interrupted>;

    /// Resolves hosts, again in each call; for each host a list of addresses or an error.
    ///
    /// # Errors
    /// [`Interrupted`].
    fn resolve(
        &mut self,
        hosts: &[Host],
        turn: &mut dyn Turn,
    ) -> Result<Vec<Result<Vec<SocketAddr>, String>>, Interrupted>;

    /// Sets the name (or IP address) that the certificate of the server at this
    /// address must have. It is called before the server is asked. Ignored without
    /// TLS.
    fn name(&mut self, _address: SocketAddr, _name: &str) {}

    /// Sends logins for the server at `clear` to `secure`, the address at which
    /// the same server speaks TLS.
    fn login_at(&mut self, _clear: SocketAddr, _secure: SocketAddr) {}

    /// The number of bytes received since the last call, including headers, logins
    /// and TLS overhead. 0 if they are not counted.
    fn take_bytes_in(&mut self) -> u64 {
        0
    }

    /// The number of requests that ended in [`AskError::Shortage`] since the last
    /// call, and the text of the last one. Called at the end of a pass.
    fn take_shortage(&mut self) -> Option<(usize, String)> {
        None
    }

    /// Sets the credentials for future logins, and retries refused logins at once.
    /// Ignored without logins.
    fn set_credentials(&mut self, _credentials: Credentials) {}

    /// Closes every connection except those to these addresses.
    fn keep(&mut self, addresses: &BTreeSet<SocketAddr>);

    /// Closes every connection.
    fn close(&mut self);
}
