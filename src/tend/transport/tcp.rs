//! Plain TCP, one poll loop in the calling thread.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mio::{Events, Poll};

use super::connection::Connection;
use super::resolve::Resolver;
use super::{Ask, AskError, Done, Interrupted, Transport};
use crate::tend::info::encode;
use crate::tend::{BEAT, Host, Turn};

/// The way to the servers over plain TCP: one lasting nonblocking connection
/// for each address, all of them in one poll loop in the calling thread.
pub struct TcpTransport {
    timeout: Duration,
    greeting: Option<Vec<u8>>,
    resolver: Resolver,
    poll: Option<Poll>,
    connections: BTreeMap<SocketAddr, Connection>,
    next_id: u64,
}

/// An ask under way.
struct Pending {
    request: Vec<u8>,
    deadline: Instant,
    index: usize,
}

impl TcpTransport {
    /// Each ask has `timeout`, connecting included, and each lookup of a name
    /// `resolve_timeout`. The greeting is an info command that goes out first
    /// on every new connection; its reply does not matter.
    pub fn new(
        timeout: Duration,
        resolve_timeout: Duration,
        greeting: Option<&str>,
    ) -> TcpTransport {
        TcpTransport {
            timeout,
            greeting: greeting.map(|command| encode(&[command])),
            resolver: Resolver::new(resolve_timeout),
            poll: None,
            connections: BTreeMap::new(),
            next_id: 0,
        }
    }

    /// The poll, made at the first use.
    fn poll(&mut self) -> io::Result<&mut Poll> {
        match &mut self.poll {
            Some(poll) => Ok(poll),
            none => Ok(none.insert(Poll::new()?)),
        }
    }

    fn open(&mut self, address: SocketAddr) -> Result<(), AskError> {
        let id = self.next_id;
        self.next_id += 1;
        let greeting = self.greeting.take();
        let poll = self.poll().map_err(|error| AskError::Connect(error.to_string()));
        let opened = poll
            .and_then(|poll| Connection::open(address, id, poll.registry(), greeting.as_deref()));
        self.greeting = greeting;
        self.connections.insert(address, opened?);
        Ok(())
    }

    /// Goes on with one ask; its outcome once there is one.
    fn drive(
        &mut self,
        address: SocketAddr,
        request: &[u8],
    ) -> Option<Result<super::Answer, AskError>> {
        let connection = self.connections.get_mut(&address)?;
        match connection.drive() {
            Ok(None) => None,
            Ok(Some(body)) => Some(Ok(super::Answer { connection: connection.id, body })),
            Err(error) => {
                let stale = connection.proven && !connection.has_input();
                self.connections.remove(&address);
                if stale && matches!(error, AskError::Broken(_)) {
                    // The server had closed the idle connection.
                    return self.begin(address, request);
                }
                Some(Err(error))
            }
        }
    }

    /// Sends a request, on a new connection if there is none.
    fn begin(
        &mut self,
        address: SocketAddr,
        request: &[u8],
    ) -> Option<Result<super::Answer, AskError>> {
        if !self.connections.contains_key(&address)
            && let Err(error) = self.open(address)
        {
            return Some(Err(error));
        }
        self.connections.get_mut(&address)?.request(request);
        self.drive(address, request)
    }

    /// Waits until something happens or the time is over; the addresses of the
    /// connections that can go on, and whether the server closed them.
    fn wait(&mut self, time: Duration, events: &mut Events) -> Vec<(SocketAddr, bool)> {
        let polled = self.poll().and_then(|poll| poll.poll(events, Some(time)));
        if let Err(error) = polled
            && error.kind() != io::ErrorKind::Interrupted
        {
            // Nothing can be awaited: the deadlines end the asks.
            tracing::warn!(%error, "can't wait for the network");
            std::thread::sleep(time);
        }
        let mut ready = Vec::new();
        for event in events.iter() {
            let id = event.token().0 as u64;
            let of_it = |entry: &(&SocketAddr, &Connection)| entry.1.id == id;
            if let Some((&address, _)) = self.connections.iter().find(of_it) {
                ready.push((address, event.is_read_closed() || event.is_error()));
            }
        }
        ready
    }
}

impl Transport for TcpTransport {
    fn ask(
        &mut self,
        asks: &[Ask],
        turn: &mut dyn Turn,
        done: &mut Done<'_>,
    ) -> Result<(), Interrupted> {
        let mut pending: BTreeMap<SocketAddr, Pending> = BTreeMap::new();
        let mut finished = Vec::new();
        for (index, ask) in asks.iter().enumerate() {
            let (request, deadline) = (encode(&ask.commands), Instant::now() + self.timeout);
            if let Some(outcome) = self.begin(ask.address, &request) {
                finished.push((index, outcome));
            } else {
                pending.insert(ask.address, Pending { request, deadline, index });
            }
        }
        let mut events = Events::with_capacity(256);
        let mut last_beat: Option<Instant> = None;
        loop {
            let mut enough = false;
            for (index, outcome) in finished.drain(..) {
                enough = enough || done(index, outcome).is_break();
            }
            let now = Instant::now();
            let beat_due = last_beat.is_none_or(|beat| now >= beat + BEAT);
            let interrupted = beat_due && turn.beat().is_break();
            if interrupted || enough {
                for address in pending.keys() {
                    self.connections.remove(address);
                }
                return if interrupted { Err(Interrupted) } else { Ok(()) };
            }
            if beat_due {
                last_beat = Some(now);
            }
            let Some(next) = pending.values().map(|ask| ask.deadline).min() else {
                return Ok(());
            };
            let beat = last_beat.map_or(now, |beat| beat + BEAT);
            let time = next.min(beat).saturating_duration_since(Instant::now());
            for (address, closed) in self.wait(time, &mut events) {
                let Some(ask) = pending.get(&address) else {
                    if closed {
                        self.connections.remove(&address);
                    }
                    continue;
                };
                if let Some(outcome) = self.drive(address, &ask.request) {
                    finished.push((ask.index, outcome));
                    pending.remove(&address);
                }
            }
            let now = Instant::now();
            pending.retain(|address, ask| {
                let over = now >= ask.deadline;
                if over {
                    self.connections.remove(address);
                    finished.push((ask.index, Err(AskError::TimedOut(self.timeout))));
                }
                !over
            });
        }
    }

    fn resolve(
        &mut self,
        hosts: &[Host],
        turn: &mut dyn Turn,
    ) -> Result<Vec<Result<Vec<SocketAddr>, String>>, Interrupted> {
        self.resolver.resolve(hosts, turn)
    }

    fn keep(&mut self, addresses: &BTreeSet<SocketAddr>) {
        self.connections.retain(|address, _| addresses.contains(address));
    }

    fn close(&mut self) {
        self.connections.clear();
        self.poll = None;
    }
}
