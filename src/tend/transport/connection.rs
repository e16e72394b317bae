//! One connection to one server.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::AskError;
use crate::tend::HEADER_LEN;
use crate::tend::info::{InfoError, body_length};

/// How much is read at once.
const CHUNK: usize = 16 * 1024;

/// A nonblocking connection with at most one request under way.
pub(super) struct Connection {
    stream: TcpStream,
    /// Its number, never used before.
    pub(super) id: u64,
    /// Whether it has answered before: if it now breaks without a byte, then
    /// the server had closed it in the meantime.
    pub(super) proven: bool,
    connected: bool,
    out: Vec<u8>,
    sent: usize,
    input: Vec<u8>,
    /// Replies to pass over: those to the greeting.
    skip: usize,
}

impl Connection {
    /// Begins to connect. The greeting goes out first; the reply to it, one
    /// message, is passed over.
    pub(super) fn open(
        address: SocketAddr,
        id: u64,
        registry: &Registry,
        greeting: Option<&[u8]>,
    ) -> Result<Connection, AskError> {
        let failed = |error: std::io::Error| AskError::Connect(error.to_string());
        let mut stream = TcpStream::connect(address).map_err(failed)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream, Token(id as usize), interest).map_err(failed)?;
        Ok(Connection {
            stream,
            id,
            proven: false,
            connected: false,
            out: greeting.unwrap_or_default().to_vec(),
            sent: 0,
            input: Vec::new(),
            skip: usize::from(greeting.is_some()),
        })
    }

    /// Queues a request.
    pub(super) fn request(&mut self, bytes: &[u8]) {
        self.out.extend(bytes);
    }

    /// Whether any byte came that was not yet used.
    pub(super) fn has_input(&self) -> bool {
        !self.input.is_empty()
    }

    /// Goes on as far as it can without waiting; the body of the reply when it
    /// is there whole.
    pub(super) fn drive(&mut self) -> Result<Option<Vec<u8>>, AskError> {
        if !self.connected {
            self.connected = self.finish_connect()?;
            if !self.connected {
                return Ok(None);
            }
            // Small requests must not wait for acknowledgements.
            let _ = self.stream.set_nodelay(true);
        }
        self.send()?;
        loop {
            if let Some(body) = self.take_reply()? {
                self.proven = true;
                return Ok(Some(body));
            }
            if !self.receive()? {
                return Ok(None);
            }
        }
    }

    fn finish_connect(&mut self) -> Result<bool, AskError> {
        let failed = |error: std::io::Error| AskError::Connect(error.to_string());
        if let Some(error) = self.stream.take_error().map_err(failed)? {
            return Err(failed(error));
        }
        match self.stream.peer_addr() {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    fn send(&mut self) -> Result<(), AskError> {
        while self.sent < self.out.len() {
            match self.stream.write(&self.out[self.sent..]) {
                Ok(0) => return Err(AskError::Broken("nothing could be sent".into())),
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(AskError::Broken(error.to_string())),
            }
        }
        self.out.clear();
        self.sent = 0;
        Ok(())
    }

    /// Reads once; whether anything came.
    fn receive(&mut self) -> Result<bool, AskError> {
        let mut chunk = [0; CHUNK];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => {
                    let bytes = self.input.len();
                    let text = format!("closed by the server after {bytes} bytes of a reply");
                    return Err(AskError::Broken(text));
                }
                Ok(length) => {
                    self.input.extend(&chunk[..length]);
                    return Ok(true);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(AskError::Broken(error.to_string())),
            }
        }
    }

    /// The body of the reply, once its header has passed and it is whole.
    fn take_reply(&mut self) -> Result<Option<Vec<u8>>, AskError> {
        loop {
            let Some((header, rest)) = self.input.split_first_chunk::<HEADER_LEN>() else {
                return Ok(None);
            };
            let length = body_length(*header)?;
            if rest.len() < length {
                return Ok(None);
            }
            let after = self.input.split_off(HEADER_LEN + length);
            let mut body = core::mem::replace(&mut self.input, after);
            if self.skip > 0 {
                self.skip -= 1;
                continue;
            }
            if !self.input.is_empty() {
                return Err(InfoError::Surplus { found: self.input.len() }.into());
            }
            body.drain(..HEADER_LEN);
            return Ok(Some(body));
        }
    }
}
