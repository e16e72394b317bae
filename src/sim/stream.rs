//! The byte stream of a client's connection, in plaintext or over TLS.

use std::io::{self, Read, Write};

use mio::net::TcpStream;

#[derive(Debug)]
pub(super) enum AcceptedStream {
    Clear(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<rustls::StreamOwned<rustls::ServerConnection, TcpStream>>),
}

impl AcceptedStream {
    /// The user that the client's certificate names: the common name of its
    /// subject.
    pub fn certified(&self) -> Option<String> {
        match self {
            AcceptedStream::Clear(_) => None,
            #[cfg(feature = "tls")]
            AcceptedStream::Tls(stream) => {
                super::tls::common_name(stream.conn.peer_certificates()?.first()?)
            }
        }
    }
}

impl Read for AcceptedStream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            AcceptedStream::Clear(stream) => stream.read(into),
            #[cfg(feature = "tls")]
            AcceptedStream::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for AcceptedStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            AcceptedStream::Clear(stream) => stream.write(bytes),
            #[cfg(feature = "tls")]
            AcceptedStream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            AcceptedStream::Clear(stream) => stream.flush(),
            #[cfg(feature = "tls")]
            AcceptedStream::Tls(stream) => stream.flush(),
        }
    }
}
