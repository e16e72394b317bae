//! The thread of a simulated cluster: one poll loop over all sockets of all
//! nodes. All state lives in it; commands come in as closures.

use std::collections::HashMap;
use std::io;
use std::net::Ipv4Addr;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;

use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token};

use super::cluster::Cluster;
use super::config::{SimConfig, SimError};
use super::connection::{Connection, Message, listen};
use super::info::{alternate_ip, answer};
use super::record::{Command, Store, refusal};
use super::status::{NodeState, NodeStatus, RecordCommand, SimStatus};
use crate::tend::{Header, Kind};

/// The token of the waker; sockets come after it.
pub(super) const WAKE: Token = Token(0);

/// The admin protocol's answer where security is off.
const SECURITY_NOT_ENABLED: u8 = 52;

/// The log of record commands ends here.
const LOG_LIMIT: usize = 1 << 20;

/// Something that the thread shall do.
pub(super) type Job = Box<dyn FnOnce(&mut Engine) + Send>;

pub(super) struct Engine {
    pub cluster: Cluster,
    /// Record commands received.
    pub log: Vec<RecordCommand>,
    poll: Poll,
    listeners: HashMap<Token, (u16, TcpListener)>,
    connections: HashMap<Token, Connection>,
    next_token: usize,
    store: Store,
    rng: fastrand::Rng,
}

impl Engine {
    /// A cluster with all its nodes listening.
    pub fn new(config: SimConfig) -> Result<Engine, SimError> {
        config.check()?;
        let poll = Poll::new().map_err(|source| SimError::System { what: "poll", source })?;
        let (nodes, base_port) = (config.nodes, config.base_port);
        let mut engine = Engine {
            cluster: Cluster::new(config, &[], Instant::now()),
            log: Vec::new(),
            poll,
            listeners: HashMap::new(),
            connections: HashMap::new(),
            next_token: WAKE.0 + 1,
            store: Store::default(),
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

    /// Runs until the other end of the channel is gone.
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

    /// Binds the listeners of a node; returns its port too. Port 0 = any that
    /// is free, below those that the system gives to outgoing connections: the
    /// port of a stopped node stays free.
    pub fn bind(&mut self, number: u16, port: u16) -> Result<(u16, Vec<TcpListener>), SimError> {
        let mut ips = vec![Ipv4Addr::LOCALHOST];
        if self.cluster.config.alternate_addresses {
            ips.push(alternate_ip(number));
        }
        let mut tries = 0;
        loop {
            tries += 1;
            let wanted = if port == 0 { self.rng.u16(10_240..32_000) } else { port };
            let listeners: Result<Vec<_>, _> = ips.iter().map(|&ip| listen(ip, wanted)).collect();
            match listeners {
                Ok(listeners) => return Ok((wanted, listeners)),
                Err((_, error))
                    if port == 0 && tries < 1000 && error.kind() == io::ErrorKind::AddrInUse => {}
                Err((address, source)) => return Err(SimError::Listen { address, source }),
            }
        }
    }

    /// Serves at these listeners of a node.
    pub fn open(&mut self, number: u16, listeners: Vec<TcpListener>) -> Result<(), SimError> {
        for mut listener in listeners {
            let token = self.token();
            self.register(&mut listener, token, Interest::READABLE)?;
            self.listeners.insert(token, (number, listener));
        }
        Ok(())
    }

    /// [`bind`](Self::bind) and [`open`](Self::open); returns the port.
    pub fn listen(&mut self, number: u16, port: u16) -> Result<u16, SimError> {
        let (port, listeners) = self.bind(number, port)?;
        self.open(number, listeners)?;
        Ok(port)
    }

    /// Closes all sockets of a node.
    pub fn close(&mut self, number: u16) {
        self.listeners.retain(|_, (node, _)| *node != number);
        self.connections.retain(|_, connection| connection.node != number);
    }

    /// Serves what came in while the node was frozen.
    pub fn catch_up(&mut self, number: u16) {
        let listeners = self.listeners.iter().filter(|(_, (node, _))| *node == number);
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
            NodeStatus {
                number: usize::from(node.number),
                node: node.id.clone(),
                address: format!("127.0.0.1:{}", node.port),
                state: node.state(),
                connections: open.get(&node.number).copied().unwrap_or(0),
                connections_accepted: node.accepted,
                info_requests: node.info_requests,
                record_commands: node.record_commands,
                partition_generation: process.map_or(-1, |process| process.partition_generation),
                peers_generation: process.map_or(0, |process| process.peers_generation),
                rebalance_generation: process.map_or(0, |process| process.rebalance_generation),
            }
        });
        SimStatus {
            cluster_name: self.cluster.config.cluster_name.clone(),
            migrations: self.cluster.migrations(),
            settled: self.cluster.is_settled(),
            nodes: nodes.collect(),
        }
    }

    /// The number of a node in one of these states.
    pub fn node_in(
        &self,
        number: usize,
        states: &[NodeState],
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
        registered.map_err(|source| SimError::System { what: "watch a socket", source })
    }

    fn is_frozen(&self, number: u16) -> bool {
        self.cluster.nodes.get(&number).is_some_and(|node| node.is_frozen())
    }

    fn ready(&mut self, token: Token) {
        if let Some(&(number, _)) = self.listeners.get(&token) {
            if !self.is_frozen(number) {
                self.accept(token, number);
            }
        } else if let Some(mut connection) = self.connections.remove(&token) {
            if self.is_frozen(connection.node) || self.serve(&mut connection) {
                self.connections.insert(token, connection);
            }
        }
    }

    fn accept(&mut self, listener: Token, number: u16) {
        while let Some(Ok((mut stream, _))) =
            self.listeners.get(&listener).map(|(_, listener)| listener.accept())
        {
            let token = self.token();
            let interest = Interest::READABLE | Interest::WRITABLE;
            let nodelay = stream.set_nodelay(true).is_ok();
            if nodelay && self.register(&mut stream, token, interest).is_ok() {
                if let Some(node) = self.cluster.nodes.get_mut(&number) {
                    node.accepted += 1;
                }
                self.connections.insert(token, Connection::new(number, stream));
            }
        }
    }

    /// Answers what has come. `false` = the connection is done with.
    fn serve(&mut self, connection: &mut Connection) -> bool {
        let open = connection.receive();
        for message in connection.messages() {
            let reply = message.and_then(|message| self.answer(connection.node, &message));
            let Some(reply) = reply else {
                connection.send();
                return false;
            };
            connection.reply(&reply);
        }
        connection.send() && open
    }

    /// The reply to a message; `None` = none, and the connection is closed.
    fn answer(&mut self, number: u16, message: &Message) -> Option<Vec<u8>> {
        const INFO: u8 = Kind::Info as u8;
        const ADMIN: u8 = Kind::Admin as u8;
        const RECORD: u8 = Kind::Record as u8;
        let (kind, body) = match message.header.kind {
            INFO => {
                self.cluster.nodes.get_mut(&number)?.info_requests += 1;
                let node = self.cluster.nodes.get(&number)?;
                if let Some(raw) = &node.raw_reply {
                    return Some(raw.clone());
                }
                (Kind::Info, answer(&self.cluster, node, &message.body))
            }
            ADMIN => {
                let mut body = vec![0; 16];
                body[1] = SECURITY_NOT_ENABLED;
                (Kind::Admin, body)
            }
            RECORD => (Kind::Record, self.record(number, &message.body)?),
            _ => return None,
        };
        let mut reply = Header::new(kind, body.len()).encode().to_vec();
        reply.extend(body);
        Some(reply)
    }

    fn record(&mut self, number: u16, body: &[u8]) -> Option<Vec<u8>> {
        let partitions = self.cluster.config.partitions;
        let node = self.cluster.nodes.get_mut(&number)?;
        node.record_commands += 1;
        let Some(command) = Command::parse(body) else { return Some(refusal()) };
        let partition = usize::from(u16::from_le_bytes([command.digest[0], command.digest[1]]));
        if self.log.len() < LOG_LIMIT {
            self.log.push(RecordCommand {
                number: usize::from(number),
                node: node.id.clone(),
                namespace: command.namespace.clone(),
                set: command.set.clone(),
                digest: command.digest.iter().map(|byte| format!("{byte:02x}")).collect(),
                partition: partition & (partitions - 1),
                kind: command.kind(),
            });
        }
        Some(self.store.execute(&command))
    }
}
