//! TCP and TLS, one poll loop in the calling thread.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::links::{Links, PendingAsk};
use super::resolve::Resolver;
use super::{Answer, Ask, AskError, Done, Interrupted, Transport};
#[cfg(feature = "tls")]
use crate::tend::tls::TlsConfig;
use crate::tend::{BEAT, Turn};
use crate::wire::Host;
use crate::wire::info::encode;
use crate::wire::login::Credentials;

/// The transport over TCP, with TLS if it is configured: one lasting nonblocking
/// connection for each address, all in one poll loop in the calling thread.
pub struct TcpTransport {
    timeout: Duration,
    resolver: Resolver,
    links: Links,
}

impl TcpTransport {
    /// Each request, including the connect, has `timeout`, and each name lookup
    /// `resolve_timeout`. The greeting is an info command that goes out first on
    /// every new connection; its reply is ignored.
    pub fn new(
        timeout: Duration,
        resolve_timeout: Duration,
        greeting: Option<&str>,
    ) -> TcpTransport {
        TcpTransport {
            timeout,
            resolver: Resolver::new(resolve_timeout),
            links: Links::new(greeting.map(|command| encode(&[command]))),
        }
    }

    /// Adds a login to every server.
    pub fn with_credentials(mut self, credentials: Option<Credentials>) -> TcpTransport {
        if let Some(credentials) = credentials {
            self.links.set_credentials(credentials);
        }
        self
    }

    /// Adds TLS.
    #[cfg(feature = "tls")]
    pub fn with_tls(mut self, config: Option<TlsConfig>) -> TcpTransport {
        self.links.set_tls(config);
        self
    }
}

/// Requests by index, with their results.
type Finished = Vec<(usize, Result<Answer, AskError>)>;

impl TcpTransport {
    /// Begins the waiting requests, as far as connections are available. If none
    /// is, and none can be closed, it continues when a request has ended.
    fn begin(
        &mut self,
        asks: &[Ask],
        waiting: &mut VecDeque<usize>,
        pending: &mut BTreeMap<SocketAddr, PendingAsk>,
        finished: &mut Finished,
    ) {
        while let Some(&index) = waiting.front() {
            let ask = &asks[index];
            if !self.links.make_way(ask.address, |address| pending.contains_key(address)) {
                return;
            }
            let (request, deadline) = (encode(&ask.commands), Instant::now() + self.timeout);
            let mut under_way = PendingAsk::new(request, deadline, index);
            match self.links.begin(ask.address, &mut under_way) {
                Some(Err(AskError::Shortage(why))) => {
                    if self.links.lend(|address| pending.contains_key(address)) {
                        continue;
                    }
                    if !pending.is_empty() {
                        return;
                    }
                    finished.push((index, Err(AskError::Shortage(why))));
                }
                Some(outcome) => finished.push((index, outcome)),
                None => drop(pending.insert(ask.address, under_way)),
            }
            waiting.pop_front();
        }
    }
}

impl Transport for TcpTransport {
    fn ask(
        &mut self,
        asks: &[Ask],
        turn: &mut dyn Turn,
        done: &mut Done<'_>,
    ) -> Result<(), Interrupted> {
        self.links.prepare();
        let mut pending: BTreeMap<SocketAddr, PendingAsk> = BTreeMap::new();
        let mut finished = Vec::new();
        // Requests with an existing connection come first, because the others may
        // have to wait for one.
        let (there, new): (Vec<usize>, Vec<usize>) =
            (0..asks.len()).partition(|&index| self.links.is_there(asks[index].address));
        let mut waiting: VecDeque<usize> = there.into_iter().chain(new).collect();
        let mut last_beat: Option<Instant> = None;
        // The first deadline, or an earlier moment. A scan of all deadlines in
        // each iteration would cost too much with many requests.
        let mut next: Option<Instant> = None;
        loop {
            self.begin(asks, &mut waiting, &mut pending, &mut finished);
            let mut enough = false;
            for (index, outcome) in finished.drain(..) {
                if let Err(AskError::Shortage(why)) = &outcome {
                    self.links.count_shortage(why);
                }
                enough = enough || done(index, outcome).is_break();
            }
            let now = Instant::now();
            let beat_due = last_beat.is_none_or(|beat| now >= beat + BEAT);
            let interrupted = beat_due && turn.beat().is_break();
            if interrupted || enough {
                pending.keys().for_each(|&address| self.links.close(address));
                return if interrupted { Err(Interrupted) } else { Ok(()) };
            }
            if beat_due {
                last_beat = Some(now);
            }
            if pending.is_empty() {
                if waiting.is_empty() {
                    return Ok(());
                }
                continue;
            }
            let first = || pending.values().map(|ask| ask.deadline).min();
            let Some(due) = next.or_else(first) else { continue };
            next = Some(due);
            let beat = last_beat.map_or(now, |beat| beat + BEAT);
            let time = due.min(beat).saturating_duration_since(Instant::now());
            for address in self.links.wait(time, pending.keys()) {
                let Some(ask) = pending.get_mut(&address) else { continue };
                if let Some(outcome) = self.links.drive(address, ask) {
                    finished.push((ask.index, outcome));
                    pending.remove(&address);
                }
            }
            let now = Instant::now();
            if now < due {
                continue;
            }
            pending.retain(|address, ask| {
                let over = now >= ask.deadline;
                if over {
                    self.links.close(*address);
                    finished.push((ask.index, Err(AskError::TimedOut(self.timeout))));
                }
                !over
            });
            next = None;
        }
    }

    fn resolve(
        &mut self,
        hosts: &[Host],
        turn: &mut dyn Turn,
    ) -> Result<Vec<Result<Vec<SocketAddr>, String>>, Interrupted> {
        self.resolver.resolve(hosts, turn)
    }

    fn set_credentials(&mut self, credentials: Credentials) {
        self.links.set_credentials(credentials);
    }

    fn name(&mut self, address: SocketAddr, name: &str) {
        self.links.name(address, name);
    }

    fn login_at(&mut self, clear: SocketAddr, secure: SocketAddr) {
        self.links.login_at(clear, secure);
    }

    fn take_shortage(&mut self) -> Option<(usize, String)> {
        match (self.links.take_shortage(), self.resolver.take_shortage()) {
            (Some((asks, _)), Some((lookups, why))) => Some((asks + lookups, why)),
            (links, lookups) => links.or(lookups),
        }
    }

    fn take_bytes_in(&mut self) -> u64 {
        self.links.take_bytes_in()
    }

    fn keep(&mut self, addresses: &BTreeSet<SocketAddr>) {
        self.links.keep(addresses);
    }

    fn close(&mut self) {
        self.links.close_all();
    }
}
