//! How a source reaches the servers: asks go out, answers come back.
//!
//! The logic of a pass knows nothing of sockets: it is driven by recorded
//! replies in tests and by [`TcpTransport`] in life.

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
    /// The connection that it came over. Another number than before = another
    /// connection, perhaps to another process: what was cached of the earlier
    /// one is void.
    pub connection: u64,
    /// The body of the reply, after the header.
    pub body: Vec<u8>,
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AskError {
    /// No connection came about.
    #[error("can't connect: {}", Printable(.0))]
    Connect(String),
    /// No connection was begun, because this process lacks something of its own
    /// machine: what, and what to do.
    #[error("can't connect: {}", Printable(.0))]
    Shortage(String),
    /// The time was over.
    #[error("no answer within {0:?}")]
    TimedOut(Duration),
    /// The connection broke.
    #[error("the connection broke: {}", Printable(.0))]
    Broken(String),
    /// What came is no reply.
    #[error(transparent)]
    Malformed(#[from] InfoError),
    /// No agreement on TLS: what is wrong and what to do.
    #[error("TLS: {}", Printable(.0))]
    Tls(String),
    /// The server takes no login of this user; it is asked again later, ever
    /// less often.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The server wants a login, and there are no credentials.
    #[error("the server requires a login; set user and password")]
    LoginWanted,
}

impl AskError {
    /// Whether it is about who asks, not about the way to the server.
    pub fn is_login(&self) -> bool {
        matches!(self, AskError::Login(_) | AskError::LoginWanted)
    }
}

/// Told to stop by [`Turn::beat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interrupted;

impl From<Interrupted> for TendError {
    fn from(_: Interrupted) -> TendError {
        TendError::Interrupted
    }
}

/// Takes the outcome of each ask, by its index; `Break` = enough.
pub type Done<'a> = dyn FnMut(usize, Result<Answer, AskError>) -> ControlFlow<()> + 'a;

/// The way to the servers.
///
/// While it waits it calls [`Turn::beat`] at least every
/// [`BEAT`](super::BEAT), and returns [`Interrupted`] when told to stop.
pub trait Transport: Send {
    /// Sends all asks (no address twice) at the same time, each with its own
    /// deadline, over one lasting connection for each address, or as many of them
    /// at a time as connections can be had, and hands each outcome to `done` as it comes. Returns when all came, or at once when
    /// `done` breaks off: what is still under way is then given up.
    ///
    /// # Errors
    /// [`Interrupted`].
    fn ask(
        &mut self,
        asks: &[Ask],
        turn: &mut dyn Turn,
        done: &mut Done<'_>,
    ) -> Result<(), Interrupted>;

    /// The addresses of hosts, asked anew each time; for each host a list or
    /// why there is none.
    ///
    /// # Errors
    /// [`Interrupted`].
    fn resolve(
        &mut self,
        hosts: &[Host],
        turn: &mut dyn Turn,
    ) -> Result<Vec<Result<Vec<SocketAddr>, String>>, Interrupted>;

    /// Tells the name (or IP address) that the certificate of the server at
    /// that address must bear, before it is asked. Of no interest without TLS.
    fn name(&mut self, _address: SocketAddr, _name: &str) {}

    /// Tells that logins for the server at `clear` are made at `secure`, the
    /// address at which the same server speaks TLS.
    fn login_at(&mut self, _clear: SocketAddr, _secure: SocketAddr) {}

    /// How many bytes were received since this was last asked: all that came over
    /// the connections, headers, logins and what TLS adds to it included. 0 where
    /// they are not counted.
    fn take_bytes_in(&mut self) -> u64 {
        0
    }

    /// A pass ends: how many asks came to [`AskError::Shortage`] since this was
    /// last asked, and the last of them in words.
    fn take_shortage(&mut self) -> Option<(usize, String)> {
        None
    }

    /// Who logs in from the next login on; those that were refused are tried
    /// again at once. Of no interest without logins.
    fn set_credentials(&mut self, _credentials: Credentials) {}

    /// Closes every connection except those to these addresses.
    fn keep(&mut self, addresses: &BTreeSet<SocketAddr>);

    /// Closes every connection.
    fn close(&mut self);
}
