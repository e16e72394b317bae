//! The connections to the servers, and what is needed to open one.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::connection::{Connection, Progress};
use super::logins::{Logins, Proof};
use super::shortage::most_connections;
use super::stream::Stream;
use super::{Answer, AskError};
#[cfg(feature = "tls")]
use crate::tend::tls::{Connector, TlsConfig};
use crate::wire::login::{AuthMode, Credentials, LoginError, LoginOutcome};

/// How many times a request is sent again over a new connection: once if the
/// server had closed the idle one, and once if it no longer knows the session.
const AGAIN: u32 = 2;

/// One lasting connection for each address, and what is needed to open another:
/// the credentials, the names in certificates, and the addresses for logins.
pub(super) struct Links {
    greeting: Option<Vec<u8>>,
    connections: BTreeMap<SocketAddr, Connection>,
    next_id: u64,
    /// Numbers of connections that were closed in this pass because their
    /// descriptors were needed for others. If such a connection is opened again
    /// in the same pass, it counts as the same connection. Otherwise, with few
    /// descriptors, data that takes two requests could never be read.
    lent: BTreeMap<SocketAddr, u64>,
    /// The number of requests for which no connection could be opened, and why.
    shortage: Option<(usize, String)>,
    /// The bytes received since the last report.
    bytes_in: u64,
    logins: Option<Logins>,
    #[cfg(feature = "tls")]
    tls: Option<Tls>,
    /// The names that certificates must have.
    names: BTreeMap<SocketAddr, String>,
    /// For each plaintext address, the address at which the same server accepts
    /// logins.
    login_at: BTreeMap<SocketAddr, SocketAddr>,
}

#[cfg(feature = "tls")]
struct Tls {
    config: TlsConfig,
    /// Created at the first use; if the files are invalid, at a later one.
    connector: Option<Connector>,
}

/// How a stream is to be opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// With TLS, if that is configured.
    Configured,
    /// In plaintext, if only logins use TLS.
    Clear,
}

/// A request in progress.
pub(super) struct PendingAsk {
    pub(super) request: Vec<u8>,
    pub(super) deadline: Instant,
    pub(super) index: usize,
    /// How many times it was sent again.
    again: u32,
}

impl PendingAsk {
    pub(super) fn new(request: Vec<u8>, deadline: Instant, index: usize) -> PendingAsk {
        PendingAsk { request, deadline, index, again: 0 }
    }
}

impl Links {
    /// No connections yet. The greeting goes out first on every new connection.
    pub(super) fn new(greeting: Option<Vec<u8>>) -> Links {
        Links {
            greeting,
            connections: BTreeMap::new(),
            next_id: 0,
            lent: BTreeMap::new(),
            shortage: None,
            bytes_in: 0,
            logins: None,
            #[cfg(feature = "tls")]
            tls: None,
            names: BTreeMap::new(),
            login_at: BTreeMap::new(),
        }
    }

    /// Speaks TLS from the next connection on.
    #[cfg(feature = "tls")]
    pub(super) fn set_tls(&mut self, config: Option<TlsConfig>) {
        self.tls = config.map(|config| Tls { config, connector: None });
    }

    fn open(&mut self, address: SocketAddr) -> Result<(), AskError> {
        let id = match self.lent.remove(&address) {
            Some(id) => id,
            None => {
                self.next_id += 1;
                self.next_id - 1
            }
        };
        let proof = self.proof(address)?;
        self.check_way(proof.as_ref())?;
        let elsewhere = match proof {
            Some(Proof::Login(_)) => self.login_at.get(&address).copied(),
            _ => None,
        };
        // Only a login, and an address that was not advertised as plaintext,
        // uses TLS.
        let way = match elsewhere {
            None if self.login_at.contains_key(&address) => Way::Clear,
            _ => Way::Configured,
        };
        let stream = self.stream(elsewhere.unwrap_or(address), way)?;
        let mut connection = Connection::new(stream, id, proof, self.greeting.as_deref());
        connection.login_only = elsewhere.is_some();
        self.connections.insert(address, connection);
        Ok(())
    }

    fn proof(&self, address: SocketAddr) -> Result<Option<Proof>, LoginError> {
        let place = self.login_place(address);
        self.logins.as_ref().map(|logins| logins.proof(place, Instant::now())).transpose()
    }

    /// Refuses to send a password in plaintext, unless the configuration names
    /// the mode that does so.
    fn check_way(&self, proof: Option<&Proof>) -> Result<(), AskError> {
        let mode = self.logins.as_ref().map(Logins::mode);
        #[cfg(feature = "tls")]
        let is_tls = self.tls.is_some();
        #[cfg(not(feature = "tls"))]
        let is_tls = false;
        match (proof, mode) {
            (Some(Proof::Login(_)), Some(mode @ AuthMode::External)) if !is_tls => {
                let text = format!("auth_mode {mode} needs TLS; set it{}", mode.otherwise());
                Err(AskError::Tls(text))
            }
            _ => Ok(()),
        }
    }

    /// The address for logins of the server at `address`.
    fn login_place(&self, address: SocketAddr) -> SocketAddr {
        self.login_at.get(&address).copied().unwrap_or(address)
    }

    /// Opens a stream.
    fn stream(&mut self, address: SocketAddr, way: Way) -> Result<Stream, AskError> {
        let stream = Stream::open(address)?;
        #[cfg(feature = "tls")]
        if let Some(tls) = &mut self.tls
            && way == Way::Configured
        {
            let connector = match &mut tls.connector {
                Some(connector) => connector,
                none => {
                    let made = Connector::new(tls.config.clone());
                    none.insert(made.map_err(|error| AskError::Tls(error.to_string()))?)
                }
            };
            let name = self.names.get(&address).cloned();
            let name = name.unwrap_or_else(|| address.ip().to_string());
            return Ok(stream.with_tls(connector.begin(&name).map_err(AskError::Tls)?));
        }
        #[cfg(not(feature = "tls"))]
        let _ = way;
        Ok(stream)
    }

    /// Sends a request, on a new connection if there is none.
    pub(super) fn begin(
        &mut self,
        address: SocketAddr,
        pending: &mut PendingAsk,
    ) -> Option<Result<Answer, AskError>> {
        if let Err(error) = self.renew(address).and_then(|()| self.queue(address, pending)) {
            return Some(Err(error));
        }
        self.drive(address, pending)
    }

    /// Renews the session of an open connection if that is due.
    fn renew(&mut self, address: SocketAddr) -> Result<(), AskError> {
        let place = self.login_place(address);
        let Some(logins) = &self.logins else { return Ok(()) };
        let Some(connection) = self.connections.get_mut(&address) else { return Ok(()) };
        // If the renewal must wait, the session is still valid for a minute.
        if let Ok(Some(proof)) = logins.renewal(place, Instant::now()) {
            if self.login_at.contains_key(&address) {
                self.connections.remove(&address);
            } else {
                connection.prove(proof);
            }
        }
        Ok(())
    }

    fn queue(&mut self, address: SocketAddr, pending: &PendingAsk) -> Result<(), AskError> {
        if !self.connections.contains_key(&address) {
            self.open(address)?;
        }
        if let Some(connection) = self.connections.get_mut(&address) {
            connection.request(&pending.request);
        }
        Ok(())
    }

    /// Continues one request; returns its result once there is one.
    pub(super) fn drive(
        &mut self,
        address: SocketAddr,
        pending: &mut PendingAsk,
    ) -> Option<Result<Answer, AskError>> {
        loop {
            let place = self.login_place(address);
            let connection = self.connections.get_mut(&address)?;
            let driven = connection.drive();
            self.bytes_in += connection.take_received();
            if connection.take_login_sent() {
                if let Some(logins) = &mut self.logins {
                    logins.sent(place, Instant::now());
                }
            }
            let error = match driven {
                Ok(Progress::Waiting) => return None,
                Ok(Progress::Reply(body)) if !is_to_a_stranger(&body) => {
                    return Some(Ok(Answer { connection: connection.id, body }));
                }
                // Security was switched on, or the server no longer knows the
                // session.
                Ok(Progress::Reply(_)) if self.logins.is_some() => {
                    LoginError::Refused { code: 80 }.into()
                }
                Ok(Progress::Reply(_)) => AskError::LoginWanted,
                Ok(Progress::LoggedIn(answer)) => match self.logged_in(address, answer) {
                    Ok(()) => continue,
                    Err(error) => error,
                },
                Err(error) => error,
            };
            if !self.failed(address, &error) || pending.again == AGAIN {
                return Some(Err(error));
            }
            pending.again += 1;
            if let Err(error) = self.queue(address, pending) {
                return Some(Err(error));
            }
        }
    }

    fn logged_in(&mut self, address: SocketAddr, answer: LoginOutcome) -> Result<(), AskError> {
        let session = match answer {
            LoginOutcome::Session(session) => Some(session),
            LoginOutcome::NotNeeded => None,
        };
        let is_needed = session.is_some();
        let lifetime = session.as_ref().and_then(|session| session.lifetime());
        tracing::debug!(%address, session = is_needed, ?lifetime, "logged in");
        let place = self.login_place(address);
        if let Some(logins) = &mut self.logins {
            logins.accepted(place, session, Instant::now());
        }
        let of_it = self.connections.get(&address).filter(|connection| connection.login_only);
        if of_it.is_some() {
            let stream = self.stream(address, Way::Clear)?;
            let proof = if is_needed { self.proof(address)? } else { None };
            if let Some(connection) = self.connections.get_mut(&address) {
                connection.switch(stream, proof);
            }
        }
        Ok(())
    }

    /// Closes a connection that failed; returns whether a new one may succeed.
    fn failed(&mut self, address: SocketAddr, error: &AskError) -> bool {
        let Some(connection) = self.connections.remove(&address) else { return false };
        let place = self.login_place(address);
        match (error, &mut self.logins) {
            // The server had closed the idle connection.
            (AskError::Broken(_), _) => connection.proven && !connection.has_input(),
            (AskError::Login(why), Some(logins)) if connection.logs_in() => {
                let wait = logins.refused(place, why.clone(), Instant::now());
                tracing::debug!(%address, error = %why, ?wait, "no login");
                false
            }
            (AskError::Login(_), Some(logins)) => {
                logins.forget(place);
                true
            }
            _ => false,
        }
    }

    /// Waits until something happens at one of these connections or the time is
    /// over; returns the addresses of those that can continue.
    ///
    /// The others are ignored: what a server has done to an idle connection is
    /// detected when it is used next.
    pub(super) fn wait<'a>(
        &mut self,
        time: Duration,
        addresses: impl Iterator<Item = &'a SocketAddr>,
    ) -> Vec<SocketAddr> {
        let mut ready = Vec::new();
        let (mut of, mut polled) = (Vec::new(), Vec::new());
        for &address in addresses {
            let Some(connection) = self.connections.get(&address) else { continue };
            let Some(descriptor) = connection.descriptor() else {
                // The host program has closed it, so that it fails at once.
                ready.push(address);
                continue;
            };
            let mut wanted = PollFlags::IN;
            wanted.set(PollFlags::OUT, connection.wants_write());
            polled.push(PollFd::from_borrowed_fd(descriptor, wanted));
            of.push(address);
        }
        if !ready.is_empty() {
            return ready;
        }
        let until = Timespec {
            tv_sec: time.as_secs().min(3600) as i64,
            tv_nsec: i64::from(time.subsec_nanos()),
        };
        match poll(&mut polled, Some(&until)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => {
                // Nothing can be awaited, so the deadlines end the requests.
                tracing::warn!(%error, "can't wait for the network");
                std::thread::sleep(time);
            }
        }
        let happened = polled.iter().map(|polled| !polled.revents().is_empty());
        of.into_iter().zip(happened).filter_map(|(of, happened)| happened.then_some(of)).collect()
    }

    /// Whether there is a connection to this address.
    pub(super) fn is_there(&self, address: SocketAddr) -> bool {
        self.connections.contains_key(&address)
    }

    /// Whether a request to this address can begin, over an existing connection
    /// or a new one. If the limit is reached, an idle connection is closed for the
    /// new one.
    pub(super) fn make_way(
        &mut self,
        address: SocketAddr,
        in_use: impl Fn(&SocketAddr) -> bool,
    ) -> bool {
        self.connections.contains_key(&address)
            || self.connections.len() < most_connections()
            || self.lend(in_use)
    }

    /// Closes a connection that is not in use; returns whether there was one.
    pub(super) fn lend(&mut self, in_use: impl Fn(&SocketAddr) -> bool) -> bool {
        let Some(&address) = self.connections.keys().find(|address| !in_use(address)) else {
            return false;
        };
        if let Some(connection) = self.connections.remove(&address) {
            self.lent.insert(address, connection.id);
        }
        true
    }

    /// Counts a request that failed because no connection could be opened.
    pub(super) fn count_shortage(&mut self, why: &str) {
        let (count, text) = self.shortage.get_or_insert_default();
        *count += 1;
        why.clone_into(text);
    }

    pub(super) fn take_shortage(&mut self) -> Option<(usize, String)> {
        self.lent.clear();
        self.shortage.take()
    }

    /// Does the slow work before any deadline is set.
    pub(super) fn prepare(&self) {
        if let Some(logins) = &self.logins {
            logins.prepare();
        }
    }

    /// Closes the connection to this address.
    pub(super) fn close(&mut self, address: SocketAddr) {
        self.connections.remove(&address);
    }

    pub(super) fn set_credentials(&mut self, credentials: Credentials) {
        match &mut self.logins {
            Some(logins) => logins.replace(credentials),
            None => self.logins = Some(Logins::new(credentials)),
        }
    }

    pub(super) fn name(&mut self, address: SocketAddr, name: &str) {
        if self.names.get(&address).is_none_or(|known| known != name) {
            self.names.insert(address, name.to_owned());
        }
    }

    pub(super) fn login_at(&mut self, clear: SocketAddr, secure: SocketAddr) {
        // An address that is advertised as both is a TLS address, because logins
        // are sent to it.
        if clear != secure && !self.login_at.values().any(|&taken| taken == clear) {
            self.login_at.remove(&secure);
            self.login_at.insert(clear, secure);
        }
    }

    pub(super) fn take_bytes_in(&mut self) -> u64 {
        core::mem::take(&mut self.bytes_in)
    }

    /// Forgets all other addresses.
    pub(super) fn keep(&mut self, addresses: &BTreeSet<SocketAddr>) {
        self.connections.retain(|address, _| addresses.contains(address));
        self.login_at.retain(|clear, _| addresses.contains(clear));
        let login_at = &self.login_at;
        let of_use = |address: &SocketAddr| {
            addresses.contains(address) || login_at.values().any(|secure| secure == address)
        };
        self.names.retain(|address, _| of_use(address));
        if let Some(logins) = &mut self.logins {
            logins.keep(of_use, Instant::now());
        }
    }

    /// Closes and forgets everything except the credentials.
    pub(super) fn close_all(&mut self) {
        self.connections.clear();
        self.lent.clear();
        self.names.clear();
        self.login_at.clear();
        if let Some(logins) = &mut self.logins {
            logins.clear();
        }
    }
}

/// Whether a reply is the one that a server sends to every command on a
/// connection that is not authenticated.
fn is_to_a_stranger(body: &[u8]) -> bool {
    let value = body.iter().position(|&byte| byte == b'\t').map(|tab| &body[tab + 1..]);
    value.is_some_and(|value| value.starts_with(b"ERROR:80:"))
}
