//! The address of a node that does not run: nobody listens there, and nobody else can.

use std::io;
use std::net::SocketAddr;

use mio::net::TcpListener;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{Shutdown, listen, shutdown};

/// The number of connections that wait to be accepted.
const BACKLOG: i32 = 1024;

/// A socket that is bound to an address, and does not listen.
#[derive(Debug)]
pub(super) struct ReservedAddress(TcpListener);

impl ReservedAddress {
    /// Stops listening, and keeps the address.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn of(socket: TcpListener) -> io::Result<(SocketAddr, ReservedAddress)> {
        let address = socket.local_addr()?;
        // A listening socket becomes one that is only bound.
        shutdown(&socket, Shutdown::Read)?;
        // With this option others could bind it as well.
        set_socket_reuseaddr(&socket, false)?;
        Ok((address, ReservedAddress(socket)))
    }

    /// Listens there again.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn listen(self) -> io::Result<TcpListener> {
        // Connections that have ended may still have the address.
        set_socket_reuseaddr(&self.0, true)?;
        listen(&self.0, BACKLOG)?;
        Ok(self.0)
    }
}
