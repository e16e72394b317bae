//! The bytes of a connection, in clear or over TLS.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::AskError;
use super::shortage::{explain, leave_descriptors};

/// A nonblocking stream. Dropping it closes the socket and sends nothing: in a
/// forked child it must not speak in the parent's name.
pub(super) enum Stream {
    Clear(Socket),
    #[cfg(feature = "tls")]
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, Socket>>),
}

/// A socket that counts what it receives, below TLS.
pub(super) struct Socket {
    socket: TcpStream,
    received: u64,
}

impl Socket {
    fn take_received(&mut self) -> u64 {
        core::mem::take(&mut self.received)
    }
}

impl Read for Socket {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let length = self.socket.read(into)?;
        self.received += length as u64;
        Ok(length)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

impl Stream {
    /// Begins to connect; its events bear that token.
    pub(super) fn open(
        address: SocketAddr,
        token: Token,
        registry: &Registry,
    ) -> Result<Stream, AskError> {
        leave_descriptors()?;
        let failed = |error: io::Error| explain(&error, Some(address));
        let mut socket = TcpStream::connect(address).map_err(failed)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut socket, token, interest).map_err(failed)?;
        Ok(Stream::Clear(Socket { socket, received: 0 }))
    }

    /// The same, with TLS over it.
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

    fn socket(&self) -> &TcpStream {
        match self {
            Stream::Clear(clear) => &clear.socket,
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => &stream.sock.socket,
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

    /// Whether the connection has come about.
    pub(super) fn finish_connect(&mut self) -> Result<bool, AskError> {
        let failed = |error: io::Error| AskError::Connect(error.to_string());
        let socket = self.socket();
        if let Some(error) = socket.take_error().map_err(failed)? {
            return Err(failed(error));
        }
        match socket.peer_addr() {
            Ok(_) => {
                // Small requests must not wait for acknowledgements.
                let _ = socket.set_nodelay(true);
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    /// Whether the two sides still agree on keys: nothing can be sent before.
    pub(super) fn is_handshaking(&self) -> bool {
        match self {
            Stream::Clear(_) => false,
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.conn.is_handshaking(),
        }
    }

    /// Sends what it can at once; how many bytes, 0 = none.
    pub(super) fn send(&mut self, bytes: &[u8]) -> Result<usize, AskError> {
        attempt(|| match self {
            Stream::Clear(socket) => socket.write(bytes),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.write(bytes),
        })
        .map(|sent| sent.unwrap_or(0))
    }

    /// Sends what TLS has kept back.
    pub(super) fn flush(&mut self) -> Result<(), AskError> {
        attempt(|| match self {
            Stream::Clear(socket) => socket.flush(),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.flush(),
        })
        .map(drop)
    }

    /// Takes what has come; `None` = nothing yet, 0 = the server has closed.
    pub(super) fn receive(&mut self, into: &mut [u8]) -> Result<Option<usize>, AskError> {
        attempt(|| match self {
            Stream::Clear(socket) => socket.read(into),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => match stream.read(into) {
                // Servers close without a goodbye.
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
        // Only a handshake ends so: amid the bytes of a reply it is told above.
        let text = "the server closed amid the handshake; check that it speaks TLS at this port";
        return AskError::Tls(text.into());
    }
    AskError::Broken(error.to_string())
}
