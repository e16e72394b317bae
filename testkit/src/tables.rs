//! A cluster that answers from a table, for tests of the logic of a pass.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::time::Duration;

use tendmap::internals::tend::Tender;
use tendmap::internals::tend::transport::{Answer, Ask, AskError, Done, Interrupted, Transport};
use tendmap::map::{Capacity, ClusterMap, NamespaceName, NodeId, Slot};
use tendmap::tend::{AerospikeConfig, ClusterSource, TendError, TendEvent, TendReport, Turn};
use tendmap::wire::Host;

/// A server, with its reply to each command.
#[derive(Clone, Default)]
pub struct Server {
    pub down: bool,
    pub connection: u64,
    pub replies: BTreeMap<String, String>,
    /// Replies that differ from the second request of a pass on.
    pub later: BTreeMap<String, String>,
    /// Whether every request uses a new connection.
    pub reconnects: bool,
}

/// The servers by address, and all requests to them.
#[derive(Default)]
pub struct Fake {
    pub servers: BTreeMap<SocketAddr, Server>,
    pub names: BTreeMap<String, Vec<SocketAddr>>,
    pub asked: Vec<Ask>,
    /// The number of addresses with a connection that is kept after a pass.
    pub kept: usize,
}

impl Transport for Fake {
    fn ask(
        &mut self,
        asks: &[Ask],
        turn: &mut dyn Turn,
        done: &mut Done<'_>,
    ) -> Result<(), Interrupted> {
        if turn.beat().is_break() {
            return Err(Interrupted);
        }
        for (index, ask) in asks.iter().enumerate() {
            let again = self.asked.iter().any(|asked| asked.address == ask.address);
            self.asked.push(ask.clone());
            if let Some(server) = self.servers.get_mut(&ask.address) {
                server.connection += u64::from(server.reconnects);
            }
            let outcome = match self.servers.get(&ask.address) {
                Some(server) if !server.down => {
                    let mut body = String::new();
                    for command in &ask.commands {
                        let unknown = "ERROR:4:unrecognized command".to_string();
                        let later = server.later.get(command).filter(|_| again);
                        let value = later.or(server.replies.get(command)).unwrap_or(&unknown);
                        body += &format!("{command}\t{value}\n");
                    }
                    Ok(Answer { connection: server.connection, body: body.into_bytes() })
                }
                Some(_) => Err(AskError::TimedOut(Duration::from_secs(1))),
                None => Err(AskError::Connect("refused".into())),
            };
            if done(index, outcome).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn resolve(
        &mut self,
        hosts: &[Host],
        _: &mut dyn Turn,
    ) -> Result<Vec<Result<Vec<SocketAddr>, String>>, Interrupted> {
        let resolve = |host: &Host| match host.address() {
            Some(address) => Ok(vec![address]),
            None => self.names.get(host.name()).cloned().ok_or("no such name".to_string()),
        };
        Ok(hosts.iter().map(resolve).collect())
    }

    fn keep(&mut self, addresses: &BTreeSet<SocketAddr>) {
        self.kept = addresses.len();
    }

    fn close(&mut self) {}
}

/// Collects the events of a pass.
#[derive(Default)]
pub struct Log {
    pub events: Vec<TendEvent>,
    pub beats: usize,
    pub stop: bool,
}

impl Turn for Log {
    fn beat(&mut self) -> ControlFlow<()> {
        self.beats += 1;
        if self.stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn event(&mut self, event: TendEvent) {
        self.events.push(event);
    }
}

pub fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub fn node(text: &str) -> NodeId {
    NodeId::new(text).unwrap()
}

pub fn ns(text: &str) -> NamespaceName {
    NamespaceName::new(text).unwrap()
}

/// 8 partitions per namespace keep tests readable.
pub const SMALL: Capacity =
    Capacity { max_nodes: 4, max_namespaces: 2, max_replicas: 2, partitions: 8 };

/// One byte of a bitmap in base64.
pub fn column(byte: u8) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode([byte])
}

/// A server that holds these partitions of `test` (a byte for each replica).
pub fn server(id: &str, address: &str, columns: &[u8]) -> Server {
    let mut server = Server::default();
    let pairs = [
        ("node", id),
        ("build", "8.1.2.0"),
        ("cluster-name", "lab"),
        ("partition-generation", "1"),
        ("peers-generation", "1"),
        ("rebalance-generation", "1"),
        ("service-clear-std", address),
        ("peers-clear-std", "1,3000,[]"),
        ("rack-ids", "ERROR:25:enterprise only"),
    ];
    for (command, value) in pairs {
        server.replies.insert(command.into(), value.into());
    }
    server.claim(0, columns);
    server
}

impl Server {
    pub fn set(&mut self, command: &str, value: impl ToString) {
        self.replies.insert(command.into(), value.to_string());
    }

    pub fn claim(&mut self, regime: u32, columns: &[u8]) {
        let text: Vec<String> = columns.iter().map(|&byte| column(byte)).collect();
        self.set("replicas", format!("test:{regime},{},{}", columns.len(), text.join(",")));
    }

    /// Raises a generation.
    pub fn raise(&mut self, command: &str) {
        let value: i32 = self.replies[command].parse().unwrap();
        self.set(command, value + 1);
    }

    /// Sets the listed peers.
    pub fn list(&mut self, peers: &str) {
        self.raise("peers-generation");
        let generation = self.replies["peers-generation"].clone();
        self.set("peers-clear-std", format!("{generation},3000,[{peers}]"));
    }
}

/// Nodes A and B: A is master of the first half, B of the second, each the
/// replica of the other.
pub fn two() -> Fake {
    let mut fake = Fake::default();
    let mut a = server("A", "127.0.0.1:1", &[0xf0, 0x0f]);
    let mut b = server("B", "127.0.0.1:2", &[0x0f, 0xf0]);
    a.list("[B,,[127.0.0.1:2]]");
    b.list("[A,,[127.0.0.1:1]]");
    fake.servers.insert(at("127.0.0.1:1"), a);
    fake.servers.insert(at("127.0.0.1:2"), b);
    fake
}

/// A source for a cluster, seeded with its first address.
pub fn source(fake: Fake, capacity: Capacity) -> Tender<Fake> {
    let seed = *fake.servers.keys().next().unwrap();
    let config = AerospikeConfig::new(vec![seed.into()]);
    let mut source = Tender::with_transport(config, fake);
    source.start(ClusterMap::new(capacity));
    source
}

/// Runs one pass; returns its result and events.
pub fn tend(source: &mut Tender<Fake>) -> (Result<TendReport, TendError>, Vec<TendEvent>) {
    let mut log = Log::default();
    source.transport_mut().asked.clear();
    let report = source.tend(&mut log);
    (report, log.events)
}

/// Runs one pass that must succeed.
pub fn tend_well(source: &mut Tender<Fake>) -> (TendReport, Vec<TendEvent>) {
    let (report, events) = tend(source);
    (report.expect("a pass"), events)
}

/// The holders of one replica of `test` as text: `AAAABBBB`, `.` = none.
pub fn owners(map: &ClusterMap, replica: usize) -> String {
    let Some(namespace) = map.namespace(&ns("test")) else { return String::new() };
    let name = |slot: Slot| map.nodes.get(slot).map_or("?".into(), |node| node.id.to_string());
    (0..namespace.partitions.len())
        .map(|p| namespace.partitions.holder(p, replica).map_or(".".into(), name))
        .collect()
}

pub fn ids(map: &ClusterMap) -> String {
    let ids: BTreeSet<String> = map.nodes.iter().map(|(_, node)| node.id.to_string()).collect();
    ids.into_iter().collect::<Vec<_>>().join(" ")
}

/// The number of requests in the last pass.
pub fn requests(source: &mut Tender<Fake>) -> usize {
    source.transport_mut().asked.len()
}

pub fn edit(source: &mut Tender<Fake>, address: &str, change: impl FnOnce(&mut Server)) {
    change(source.transport_mut().servers.get_mut(&at(address)).unwrap());
}
