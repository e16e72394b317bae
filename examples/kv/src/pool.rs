//! The connections to one node, which the router keeps as its local state.
//!
//! A router belongs to one thread, and so do its pools: there is no lock. When the
//! node leaves, moves or is replaced, the router drops the pool, which closes its
//! connections. A forked child creates its own.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tendmap::map::{Node, NodeId};

use crate::access::{Access, Stream};
use crate::wire::{self, HEADER, Reply};

/// A connection that was idle for longer is not used again: servers close connections
/// that are idle for a minute.
const MAX_IDLE: Duration = Duration::from_secs(45);

/// The work done at one node, by all threads.
#[derive(Debug, Default)]
pub struct Count {
    pub commands: AtomicU64,
    pub failures: AtomicU64,
    pub connections: AtomicU64,
}

/// The counts by node. They exist longer than the pools.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Mutex<BTreeMap<NodeId, Arc<Count>>>>);

impl Counts {
    fn of(&self, node: NodeId) -> Arc<Count> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(node).or_default().clone()
    }

    /// Every node with its counts.
    pub fn all(&self) -> Vec<(NodeId, Arc<Count>)> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().map(|(id, count)| (*id, count.clone())).collect()
    }
}

/// The reason why a node did not execute a command.
#[derive(Debug, thiserror::Error)]
#[error("node {node} at {address}: {problem}")]
pub struct Broken {
    pub node: NodeId,
    pub address: SocketAddr,
    pub problem: String,
    /// Whether the node may have received the command nevertheless.
    pub sent: bool,
}

/// The idle connections to one node.
pub struct Pool {
    node: Node,
    access: Access,
    idle: Vec<Connection>,
    count: Arc<Count>,
}

impl Pool {
    /// A pool for that node; it opens no connection yet.
    pub fn new(node: &Node, access: &Access, counts: &Counts) -> Pool {
        let count = counts.of(node.id);
        Pool { node: *node, access: access.clone(), idle: Vec::new(), count }
    }

    /// Sends a command and waits for the reply until the deadline.
    pub fn exchange(&mut self, message: &[u8], until: Instant) -> Result<Reply, Broken> {
        self.count.commands.fetch_add(1, Ordering::Relaxed);
        let result = self.connection(until).map_err(|error| (error, false));
        let result = result.and_then(|mut connection| {
            let reply = connection.exchange(message, until).map_err(|error| (error, true))?;
            // Security was enabled, or the session has ended.
            if reply.result == wire::NOT_LOGGED_IN && self.access.forget(self.node.address) {
                return Err((io::Error::other("the server wants another login"), false));
            }
            Ok((connection, reply))
        });
        match result {
            Ok((mut connection, reply)) => {
                connection.used = Instant::now();
                self.idle.push(connection);
                Ok(reply)
            }
            Err((error, sent)) => {
                self.count.failures.fetch_add(1, Ordering::Relaxed);
                // A reply may still arrive, so the connection can't be used again. If
                // one connection is broken, the others probably are too.
                self.idle.clear();
                let problem = match error.kind() {
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                        "no answer in time".into()
                    }
                    _ => error.to_string(),
                };
                let Node { id, address, .. } = self.node;
                Err(Broken { node: id, address, problem, sent })
            }
        }
    }

    /// An idle connection, or a new one.
    fn connection(&mut self, until: Instant) -> io::Result<Connection> {
        while let Some(connection) = self.idle.pop() {
            if connection.used.elapsed() < MAX_IDLE {
                return Ok(connection);
            }
        }
        self.count.connections.fetch_add(1, Ordering::Relaxed);
        let stream = self.access.connect(&self.node, until)?;
        Ok(Connection { stream, used: Instant::now(), inbox: Vec::new() })
    }
}

/// The time until the deadline; it is an error if none is left.
pub fn left(until: Instant) -> io::Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}

#[derive(Debug)]
struct Connection {
    stream: Stream,
    used: Instant,
    inbox: Vec<u8>,
}

impl Connection {
    fn exchange(&mut self, message: &[u8], until: Instant) -> io::Result<Reply> {
        self.stream.socket().set_write_timeout(Some(left(until)?))?;
        self.stream.write_all(message)?;
        self.inbox.clear();
        self.receive(HEADER, until)?;
        let header = self.inbox[..HEADER].try_into().expect("a header");
        let length = HEADER + wire::body_length(header).map_err(io::Error::other)?;
        self.receive(length, until)?;
        if self.inbox.len() > length {
            return Err(io::Error::other("more than one reply to one command"));
        }
        wire::decode(&self.inbox[HEADER..]).map_err(io::Error::other)
    }

    /// Receives bytes until that many have arrived.
    fn receive(&mut self, wanted: usize, until: Instant) -> io::Result<()> {
        let mut chunk = [0; 16 << 10];
        while self.inbox.len() < wanted {
            self.stream.socket().set_read_timeout(Some(left(until)?))?;
            match self.stream.read(&mut chunk) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => self.inbox.extend_from_slice(&chunk[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
