//! The byte stream of a connection, in plaintext or over TLS.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, connect, getpeername, recv, send,
    socket_with, sockopt,
};

use super::AskError;
use super::shortage::{explain, leave_descriptors};
use crate::descriptor::KeptDescriptor;

/// A nonblocking stream. Dropping it closes the socket and sends nothing, because
/// a forked child must not send anything over the parent's connection.
pub(super) enum Stream {
    Clear(Socket),
    #[cfg(feature = "tls")]
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, Socket>>),
}

/// A socket that counts what it receives, below TLS.
pub(super) struct Socket {
    socket: KeptDescriptor,
    received: u64,
}

impl Socket {
    /// Begins to connect.
    fn connect(address: SocketAddr) -> io::Result<Socket> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket = KeptDescriptor::new(socket_with(family, SocketType::STREAM, flags, None)?)?;
        match connect(socket.get()?, &address) {
            Ok(()) | Err(Errno::INPROGRESS) => Ok(Socket { socket, received: 0 }),
            Err(error) => Err(error.into()),
        }
    }

    /// The connection's descriptor. The caller must use it at once.
    fn get(&self) -> io::Result<BorrowedFd<'_>> {
        self.socket.get().map_err(|_| {
            io::Error::other("the host program has closed the connection's descriptor")
        })
    }

    fn take_received(&mut self) -> u64 {
        core::mem::take(&mut self.received)
    }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let (length, _) = recv(self.get()?, into, RecvFlags::empty())?;
        self.received += length as u64;
        Ok(length)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // `send` works only on a socket, and raises no signal if the server has
        // closed.
        Ok(send(self.get()?, bytes, SendFlags::NOSIGNAL)?)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream {
    /// Begins to connect.
    pub(super) fn open(address: SocketAddr) -> Result<Stream, AskError> {
        leave_descriptors()?;
        let failed = |error: io::Error| explain(&error, Some(address));
        Ok(Stream::Clear(Socket::connect(address).map_err(failed)?))
    }

    /// Begins to connect, with TLS.
    #[cfg(feature = "tls")]
    pub(super) fn with_tls(self, session: rustls::ClientConnection) -> Stream {
        Stream::Tls(Box::new(rustls::StreamOwned::new(session, self.into_socket())))
    }

    #[cfg(feature = "tls")]
    fn into_socket(self) -> Socket {
        match self {
            Stream::Clear(socket) => socket,
            Stream::Tls(stream) => stream.sock,
        }
    }

    fn socket(&self) -> &Socket {
        match self {
            Stream::Clear(clear) => clear,
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => &stream.sock,
        }
    }

    /// Its descriptor, to wait for; `None` if the host has closed it.
    pub(super) fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.socket().get().ok()
    }

    /// Whether TLS data waits to be sent.
    pub(super) fn wants_write(&self) -> bool {
        match self {
            Stream::Clear(_) => false,
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.conn.wants_write(),
        }
    }

    /// How many bytes were received since this was last asked.
    pub(super) fn take_received(&mut self) -> u64 {
        match self {
            Stream::Clear(clear) => clear.take_received(),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.sock.take_received(),
        }
    }

    /// Whether the connection is established.
    pub(super) fn finish_connect(&mut self) -> Result<bool, AskError> {
        let failed = |error: io::Error| AskError::Connect(error.to_string());
        let socket = self.socket().get().map_err(failed)?;
        let found = sockopt::socket_error(socket).map_err(io::Error::from).map_err(failed)?;
        found.map_err(io::Error::from).map_err(failed)?;
        match getpeername(socket) {
            Ok(_) => {
                // Small requests must not wait for acknowledgements.
                let _ = sockopt::set_tcp_nodelay(socket, true);
                Ok(true)
            }
            Err(Errno::NOTCONN) => Ok(false),
            Err(error) => Err(failed(error.into())),
        }
    }

    /// Whether the TLS handshake is still in progress. Nothing can be sent before
    /// it ends.
    pub(super) fn is_handshaking(&self) -> bool {
        match self {
            Stream::Clear(_) => false,
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.conn.is_handshaking(),
        }
    }

    /// Sends as much as possible without waiting; returns the number of bytes.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<usize, AskError> {
        attempt(|| match self {
            Stream::Clear(socket) => socket.write(bytes),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.write(bytes),
        })
        .map(|sent| sent.unwrap_or(0))
    }

    /// Sends waiting TLS data.
    pub(super) fn flush(&mut self) -> Result<(), AskError> {
        attempt(|| match self {
            Stream::Clear(socket) => socket.flush(),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.flush(),
        })
        .map(drop)
    }

    /// Reads received bytes; `None` = nothing yet, 0 = the server has closed.
    pub(super) fn receive(&mut self, into: &mut [u8]) -> Result<Option<usize>, AskError> {
        attempt(|| match self {
            Stream::Clear(socket) => socket.read(into),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => match stream.read(into) {
                // Servers close without sending `close_notify`.
                Err(error)
                    if error.kind() == ErrorKind::UnexpectedEof
                        && !stream.conn.is_handshaking() =>
                {
                    Ok(0)
                }
                result => result,
            },
        })
    }
}

/// `None` = it would have to wait.
fn attempt<T>(mut work: impl FnMut() -> io::Result<T>) -> Result<Option<T>, AskError> {
    loop {
        match work() {
            Ok(done) => return Ok(Some(done)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(failure(&error)),
        }
    }
}

fn failure(error: &io::Error) -> AskError {
    #[cfg(feature = "tls")]
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return AskError::Tls(crate::tend::tls::explain(tls));
    }
    if error.kind() == ErrorKind::UnexpectedEof {
        // Only a handshake ends like this. An end within a reply is reported
        // above.
        let text = "the server closed the connection during the handshake; check that it speaks TLS at this port";
        return AskError::Tls(text.into());
    }
    AskError::Broken(error.to_string())
}
