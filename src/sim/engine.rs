//! The thread of a simulated cluster: one poll loop over all sockets of all
//! nodes. All state lives in it; commands come in as closures.

use crossbeam::channel::{Receiver, TryRecvError};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

use super::batch;
use super::cluster::Cluster;
use super::config::{SimConfig, SimError};
use super::connection::{AcceptedConnection, ClientMessage};
use super::info::{alternate_ip, answer, only_names_client, refuse};
use super::record::{Command, RecordStore, forbidden, refusal};
use super::reserved::ReservedAddress;
use super::security::Security;
use super::status::{RecordCommand, SimNodeState, SimNodeStatus, SimStatus};
use super::stream::AcceptedStream;
use crate::wire::{MessageHeader, MessageKind};

/// The token of the waker; sockets come after it.
pub(super) const WAKE: Token = Token(0);

/// The most record commands in the log.
const LOG_LIMIT: usize = 1 << 20;

/// A closure that the thread runs.
pub(super) type Job = Box<dyn FnOnce(&mut Engine) + Send>;

/// A listening socket of a node.
#[derive(Debug)]
pub(super) struct Listener {
    node: u16,
    socket: TcpListener,
    /// Whether it accepts TLS.
    secure: bool,
}

pub(super) struct Engine {
    pub cluster: Cluster,
    pub security: Security,
    #[cfg(feature = "tls")]
    pub tls: Option<std::sync::Arc<rustls::ServerConfig>>,
    /// Record commands received.
    pub log: Vec<RecordCommand>,
    poll: Poll,
    listeners: HashMap<Token, Listener>,
    /// The addresses that nodes have used and listen at no more.
    reserved: HashMap<SocketAddr, ReservedAddress>,
    connections: HashMap<Token, AcceptedConnection>,
    next_token: usize,
    store: RecordStore,
    rng: fastrand::Rng,
}

impl Engine {
    /// A cluster with all its nodes listening.
    pub fn new(config: SimConfig) -> Result<Engine, SimError> {
        config.check()?;
        let poll = Poll::new().map_err(|error| SimError::System { what: "poll", error })?;
        let (nodes, base_port) = (config.nodes, config.base_port);
        let mut security = Security::new(config.security, config.session_lifetime);
        config.users.iter().cloned().for_each(|user| security.set_user(user));
        let mut engine = Engine {
            security,
            #[cfg(feature = "tls")]
            tls: config.tls.as_ref().map(|tls| tls.load()).transpose()?,
            cluster: Cluster::new(config, &[], Instant::now()),
            log: Vec::new(),
            poll,
            listeners: HashMap::new(),
            reserved: HashMap::new(),
            connections: HashMap::new(),
            next_token: WAKE.0 + 1,
            store: RecordStore::default(),
            rng: fastrand::Rng::new(),
        };
        let mut ports = Vec::new();
        for index in 0..nodes {
            let port = if base_port == 0 { 0 } else { base_port + index as u16 };
            ports.push(engine.listen(index as u16 + 1, port)?);
        }
        engine.cluster = Cluster::new(engine.cluster.config, &ports, Instant::now());
        Ok(engine)
    }

    pub fn registry(&self) -> &mio::Registry {
        self.poll.registry()
    }

    /// Runs until the other end of the channel is dropped.
    pub fn run(&mut self, jobs: &Receiver<Job>) {
        let mut events = Events::with_capacity(1024);
        loop {
            let now = Instant::now();
            let timeout = self.cluster.next_due().map(|due| due.saturating_duration_since(now));
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return,
                _ => {}
            }
            self.cluster.run(Instant::now());
            for token in events.iter().map(mio::event::Event::token) {
                self.ready(token);
            }
            loop {
                match jobs.try_recv() {
                    Ok(job) => job(self),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
        }
    }

    /// Binds the listeners of a node; also returns its port. Port 0 = any free
    /// port below those that the system uses for outgoing connections.
    pub fn bind(&mut self, node: u16, port: u16) -> Result<(u16, Vec<Listener>), SimError> {
        let mut ips = vec![self.cluster.config.ip()];
        if self.cluster.config.alternate_addresses {
            ips.push(alternate_ip(node).into());
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let wanted = if port == 0 { self.rng.u16(10_240..31_000) } else { port };
            let at = |&ip: &IpAddr| {
                let mut ports = vec![(wanted, false)];
                ports.extend(self.tls_port(wanted).map(|port| (port, true)));
                ports.into_iter().map(move |(port, secure)| (SocketAddr::new(ip, port), secure))
            };
            let addresses: Vec<_> = ips.iter().flat_map(at).collect();
            let listeners = addresses.into_iter().map(|(address, secure)| {
                let socket = self.listen_at(address).map_err(|error| (address, error))?;
                Ok(Listener { node, socket, secure })
            });
            let listeners: Result<Vec<_>, _> = listeners.collect();
            match listeners {
                Ok(listeners) => return Ok((wanted, listeners)),
                Err((_, error))
                    if port == 0 && tries < 1000 && error.kind() == io::ErrorKind::AddrInUse => {}
                Err((address, error)) => return Err(SimError::Listen { address, error }),
            }
        }
    }

    /// The TLS port of a node at this port, if the nodes use TLS.
    fn tls_port(&self, port: u16) -> Option<u16> {
        #[cfg(feature = "tls")]
        if self.tls.is_some() {
            return Some(port.saturating_add(super::tls::SimTls::PORT_OFFSET));
        }
        let _ = port;
        None
    }

    /// Serves at these listeners of a node.
    pub fn open(&mut self, listeners: Vec<Listener>) -> Result<(), SimError> {
        for mut listener in listeners {
            let token = self.token();
            self.register(&mut listener.socket, token, Interest::READABLE)?;
            self.listeners.insert(token, listener);
        }
        Ok(())
    }

    /// [`bind`](Self::bind) and [`open`](Self::open); returns the port.
    pub fn listen(&mut self, number: u16, port: u16) -> Result<u16, SimError> {
        let (port, listeners) = self.bind(number, port)?;
        self.open(listeners)?;
        Ok(port)
    }

    fn listen_at(&mut self, address: SocketAddr) -> io::Result<TcpListener> {
        match self.reserved.remove(&address) {
            Some(reserved) => reserved.listen(),
            None => TcpListener::bind(address),
        }
    }

    /// Closes all sockets of a node. Its addresses refuse connections, and no
    /// other program gets them until the cluster ends.
    pub fn close(&mut self, number: u16) {
        let closed = self.listeners.extract_if(|_, listener| listener.node == number);
        for (_, Listener { mut socket, .. }) in closed.collect::<Vec<_>>() {
            let _ = self.poll.registry().deregister(&mut socket);
            // Without a reservation another program may get the address.
            if let Ok((address, reserved)) = ReservedAddress::of(socket) {
                self.reserved.insert(address, reserved);
            }
        }
        self.drop_connections(number);
    }

    /// Closes the connections of a node.
    pub fn drop_connections(&mut self, number: u16) {
        self.connections.retain(|_, connection| connection.node != number);
    }

    /// Serves the requests that arrived while the node was frozen.
    pub fn catch_up(&mut self, number: u16) {
        let listeners = self.listeners.iter().filter(|(_, listener)| listener.node == number);
        let mut tokens: Vec<Token> = listeners.map(|(token, _)| *token).collect();
        let connections = self.connections.iter().filter(|(_, known)| known.node == number);
        tokens.extend(connections.map(|(token, _)| *token));
        tokens.into_iter().for_each(|token| self.ready(token));
    }

    pub fn status(&self) -> SimStatus {
        let mut open: HashMap<u16, usize> = HashMap::new();
        for connection in self.connections.values() {
            *open.entry(connection.node).or_default() += 1;
        }
        let nodes = self.cluster.nodes.values().filter(|node| !node.retired);
        let nodes = nodes.map(|node| {
            let process = node.process.as_ref();
            SimNodeStatus {
                number: usize::from(node.number),
                node: node.id.clone(),
                address: SocketAddr::new(self.cluster.config.ip(), node.port).to_string(),
                build: self.cluster.build_of(node).to_owned(),
                state: node.state(),
                connections: open.get(&node.number).copied().unwrap_or(0),
                connections_accepted: node.accepted,
                tls_accepted: node.tls_accepted,
                info_requests: node.info_requests,
                user_agents: node.user_agents,
                record_commands: node.record_commands,
                partition_generation: process.map_or(-1, |process| process.partition_generation),
                peers_generation: process.map_or(0, |process| process.peers_generation),
                rebalance_generation: process.map_or(0, |process| process.rebalance_generation),
            }
        });
        SimStatus {
            cluster_name: self.cluster.config.cluster_name.clone(),
            logins: self.security.counts.accepted,
            logins_refused: self.security.counts.refused,
            authentications: self.security.counts.authenticated,
            migrations: self.cluster.migrations(),
            settled: self.cluster.is_settled(),
            nodes: nodes.collect(),
        }
    }

    /// The number of a node in one of these states.
    pub fn node_in(
        &self,
        number: usize,
        states: &[SimNodeState],
        wanted: &'static str,
    ) -> Result<u16, SimError> {
        let node = self.cluster.node(number)?;
        let state = node.state();
        if states.contains(&state) {
            return Ok(node.number);
        }
        Err(SimError::WrongState { number, found: state.as_str(), wanted })
    }

    fn token(&mut self) -> Token {
        self.next_token += 1;
        Token(self.next_token)
    }

    fn register(
        &self,
        source: &mut impl mio::event::Source,
        token: Token,
        interest: Interest,
    ) -> Result<(), SimError> {
        let registered = self.poll.registry().register(source, token, interest);
        registered.map_err(|error| SimError::System { what: "watch a socket", error })
    }

    fn is_frozen(&self, number: u16) -> bool {
        self.cluster.nodes.get(&number).is_some_and(|node| node.is_frozen())
    }

    fn ready(&mut self, token: Token) {
        if let Some(&Listener { node, secure, .. }) = self.listeners.get(&token) {
            if !self.is_frozen(node) {
                self.accept(token, node, secure);
            }
        } else if let Some(mut connection) = self.connections.remove(&token) {
            if self.is_frozen(connection.node) || self.serve(&mut connection) {
                self.connections.insert(token, connection);
            }
        }
    }

    fn accept(&mut self, listener: Token, number: u16, secure: bool) {
        while let Some(Ok((mut stream, _))) =
            self.listeners.get(&listener).map(|listener| listener.socket.accept())
        {
            let token = self.token();
            let interest = Interest::READABLE | Interest::WRITABLE;
            let nodelay = stream.set_nodelay(true).is_ok();
            if nodelay && self.register(&mut stream, token, interest).is_ok() {
                if let Some(node) = self.cluster.nodes.get_mut(&number) {
                    node.accepted += 1;
                    node.tls_accepted += u64::from(secure);
                }
                if let Some(stream) = self.stream(stream, secure) {
                    self.connections.insert(token, AcceptedConnection::new(number, stream));
                }
            }
        }
    }

    fn stream(&self, stream: mio::net::TcpStream, secure: bool) -> Option<AcceptedStream> {
        #[cfg(feature = "tls")]
        if secure {
            let session = super::tls::accept(self.tls.as_ref()?)?;
            return Some(AcceptedStream::Tls(Box::new(rustls::StreamOwned::new(session, stream))));
        }
        let _ = secure;
        Some(AcceptedStream::Clear(stream))
    }

    /// Answers received requests. `false` = the connection must be closed.
    fn serve(&mut self, connection: &mut AcceptedConnection) -> bool {
        let open = connection.receive();
        for message in connection.messages() {
            let reply = message.and_then(|message| self.answer(connection, &message));
            let Some(reply) = reply else {
                connection.send();
                return false;
            };
            connection.reply(&reply);
        }
        connection.send() && open
    }

    /// The reply to a message; `None` = close the connection without a reply.
    fn answer(
        &mut self,
        connection: &mut AcceptedConnection,
        message: &ClientMessage,
    ) -> Option<Vec<u8>> {
        let number = connection.node;
        let right = self.security.right(connection.user.as_deref());
        const INFO: u8 = MessageKind::Info as u8;
        const ADMIN: u8 = MessageKind::Admin as u8;
        const RECORD: u8 = MessageKind::Record as u8;
        let (kind, body) = match message.header.kind {
            INFO => {
                let node = self.cluster.nodes.get_mut(&number)?;
                node.info_requests += 1;
                node.user_agents += u64::from(only_names_client(&message.body));
                let node = self.cluster.nodes.get(&number)?;
                if let Some(raw) = &node.raw_reply {
                    return Some(raw.clone());
                }
                let body = match right.refusal() {
                    Some(refusal) => refuse(&message.body, refusal),
                    None => answer(&self.cluster, node, &message.body),
                };
                (MessageKind::Info, body)
            }
            ADMIN => {
                let process = (number, self.cluster.nodes.get(&number)?.incarnation);
                let certified = connection.stream.certified();
                let (certified, now) = (certified.as_deref(), Instant::now());
                let (body, user) = self.security.answer(process, certified, &message.body, now);
                connection.user = user.or(connection.user.take());
                (MessageKind::Admin, body)
            }
            RECORD if right.refusal().is_some() => (MessageKind::Record, forbidden(right.code())),
            RECORD => (MessageKind::Record, self.record(number, &message.body)?),
            _ => return None,
        };
        let mut reply = MessageHeader::new(kind, body.len()).encode().to_vec();
        reply.extend(body);
        Some(reply)
    }

    fn record(&mut self, number: u16, body: &[u8]) -> Option<Vec<u8>> {
        let node = self.cluster.nodes.get_mut(&number)?;
        node.record_commands += 1;
        let id = node.id.clone();
        if let Some(command) = Command::parse(body) {
            return Some(self.execute(number, &id, &command));
        }
        let Some(commands) = batch::parse(body) else { return Some(refusal()) };
        let replies =
            commands.into_iter().map(|(n, command)| (n, self.execute(number, &id, &command)));
        Some(batch::reply(replies))
    }

    fn execute(&mut self, number: u16, node: &str, command: &Command) -> Vec<u8> {
        let partition = usize::from(u16::from_le_bytes([command.digest[0], command.digest[1]]));
        if self.log.len() < LOG_LIMIT {
            self.log.push(RecordCommand {
                number: usize::from(number),
                node: node.to_owned(),
                namespace: command.namespace.clone(),
                set: command.set.clone(),
                digest: command.digest.iter().map(|byte| format!("{byte:02x}")).collect(),
                partition: partition & (self.cluster.config.partitions - 1),
                kind: command.kind(),
            });
        }
        self.store.execute(command)
    }
}
