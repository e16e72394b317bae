//! The byte stream of a client's connection, in plaintext or over TLS.

use std::io::{self, Read, Write};

use mio::net::TcpStream;

#[derive(Debug)]
pub(super) enum Stream {
    Clear(TcpStream),
    #[cfg(feature = "tls")]
    Tls(Box<rustls::StreamOwned<rustls::ServerConnection, TcpStream>>),
}

impl Stream {
    /// The user that the client's certificate names: the common name of its
    /// subject.
    pub fn certified(&self) -> Option<String> {
        match self {
            Stream::Clear(_) => None,
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => {
                super::tls::common_name(stream.conn.peer_certificates()?.first()?)
            }
        }
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Clear(stream) => stream.read(into),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Clear(stream) => stream.write(bytes),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Stream::Clear(stream) => stream.flush(),
            #[cfg(feature = "tls")]
            Stream::Tls(stream) => stream.flush(),
        }
    }
}
