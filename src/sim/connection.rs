//! A client's connection to a node.

use std::io::{self, Read, Write};

use super::stream::AcceptedStream;
use crate::wire::{HEADER_LEN, MessageHeader};

/// The longest accepted request in bytes. A longer one closes the connection.
const MAX_REQUEST: u64 = 8 << 20;

/// One message from a client.
#[derive(Debug)]
pub(super) struct ClientMessage {
    pub header: MessageHeader,
    pub body: Vec<u8>,
}

/// A connection that a node has accepted.
#[derive(Debug)]
pub(super) struct AcceptedConnection {
    /// The number of the node.
    pub node: u16,
    pub stream: AcceptedStream,
    /// The user that has logged in on it.
    pub user: Option<String>,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    sent: usize,
}

impl AcceptedConnection {
    pub fn new(node: u16, stream: AcceptedStream) -> AcceptedConnection {
        AcceptedConnection {
            node,
            stream,
            user: None,
            inbox: Vec::new(),
            outbox: Vec::new(),
            sent: 0,
        }
    }

    /// Reads received bytes. `false` = the client has closed.
    pub fn receive(&mut self) -> bool {
        let mut chunk = [0; 16 << 10];
        loop {
            match self.stream.read(&mut chunk) {
                Ok(0) => return false,
                Ok(length) => self.inbox.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
    }

    /// The complete messages; `None` for one that no server would accept.
    pub fn messages(&mut self) -> Vec<Option<ClientMessage>> {
        let mut messages = Vec::new();
        let mut rest = &self.inbox[..];
        while let Some((header, body)) = rest.split_first_chunk::<HEADER_LEN>() {
            let header = MessageHeader::decode(*header);
            if header.version != crate::wire::VERSION || header.length > MAX_REQUEST {
                messages.push(None);
                break;
            }
            let Some((body, after)) = body.split_at_checked(header.length as usize) else { break };
            messages.push(Some(ClientMessage { header, body: body.to_vec() }));
            rest = after;
        }
        let taken = self.inbox.len() - rest.len();
        self.inbox.drain(..taken);
        messages
    }

    /// Queues bytes to be sent.
    pub fn reply(&mut self, bytes: &[u8]) {
        self.outbox.extend_from_slice(bytes);
    }

    /// Sends as much as possible without waiting. `false` = the connection is
    /// closed.
    pub fn send(&mut self) -> bool {
        while self.sent < self.outbox.len() {
            match self.stream.write(&self.outbox[self.sent..]) {
                Ok(0) => return false,
                Ok(length) => self.sent += length,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        self.outbox.clear();
        self.sent = 0;
        match self.stream.flush() {
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            Ok(()) => true,
        }
    }
}
