//! Servers with arbitrary replies. Passes always end, the map never exceeds its
//! capacity, and the number of requests is bounded.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::ControlFlow;

use tendmap::internals::tend::Tender;
use tendmap::internals::tend::transport::{Answer, Ask, AskError, Done, Interrupted, Transport};
use tendmap::map::{Capacity, ClusterMap};
use tendmap::tend::{AerospikeConfig, ClusterSource, TendEvent, Turn};
use tendmap::wire::Host;

const CAPACITY: Capacity =
    Capacity { max_nodes: 3, max_namespaces: 2, max_replicas: 2, partitions: 8 };
/// Values that a reply may have, besides those of the input.
const USUAL: [&str; 16] = [
    "A",
    "B",
    "C",
    "8.1.2.0",
    "lab",
    "",
    "1",
    "2",
    "-1",
    "1,3000,[[B,,[127.0.0.1:2]]]",
    "2,3000,[[A,,[127.0.0.1:1]],[C,,[127.0.0.1:3]]]",
    "127.0.0.1:1",
    "test:0,2,8A==,Dw==",
    "test:0,1,Dw==;bar:3,1,/w==",
    "test:1;bar:-2",
    "ERROR:4:unknown",
];

/// Servers that take their replies from the input, byte by byte, and start again at
/// its end.
struct Servers {
    input: Vec<u8>,
    at: usize,
    asked: usize,
}

impl Servers {
    fn byte(&mut self) -> u8 {
        let byte = self.input.get(self.at).copied().unwrap_or(0);
        self.at = if self.at + 1 < self.input.len() { self.at + 1 } else { 0 };
        byte
    }

    fn value(&mut self, command: &str) -> Vec<u8> {
        let usual = match command {
            "node" => 0,
            "build" => 3,
            "cluster-name" => 4,
            "peers-clear-std" => 9,
            "service-clear-std" => 11,
            "replicas" => 12,
            "rack-ids" => 14,
            _ => 6,
        };
        match self.byte() {
            choice @ 0..16 => USUAL[usize::from(choice)].into(),
            choice @ 16..96 => {
                let length = usize::from(choice);
                (0..length).map(|_| self.byte()).filter(|byte| !b"\n\t".contains(byte)).collect()
            }
            _ => USUAL[usual].into(),
        }
    }
}

struct Fake(Servers);

impl Transport for Fake {
    fn ask(
        &mut self,
        asks: &[Ask],
        turn: &mut dyn Turn,
        done: &mut Done<'_>,
    ) -> Result<(), Interrupted> {
        let _ = turn.beat();
        for (index, ask) in asks.iter().enumerate() {
            self.0.asked += 1;
            let outcome = match self.0.byte() {
                255 => Err(AskError::Connect("refused".into())),
                connection => {
                    let mut body = Vec::new();
                    for command in &ask.commands {
                        body.extend_from_slice(command.as_bytes());
                        body.push(b'\t');
                        body.extend(self.0.value(command));
                        body.push(b'\n');
                    }
                    Ok(Answer { connection: u64::from(connection & 1), body })
                }
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
        let resolve = |host: &Host| host.address().map(|at| vec![at]).ok_or("unknown".to_owned());
        Ok(hosts.iter().map(resolve).collect())
    }

    fn keep(&mut self, _: &BTreeSet<SocketAddr>) {}

    fn close(&mut self) {}
}

struct Count(usize);

impl Turn for Count {
    fn beat(&mut self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    fn event(&mut self, _: TendEvent) {
        self.0 += 1;
    }
}

pub fn run(bytes: &[u8]) {
    let seeds = vec!["127.0.0.1:1".parse().unwrap()];
    let fake = Fake(Servers { input: bytes.to_vec(), at: 0, asked: 0 });
    let mut source = Tender::with_transport(AerospikeConfig::new(seeds), fake);
    source.start(ClusterMap::new(CAPACITY));
    for _ in 0..6 {
        let mut turn = Count(0);
        source.transport_mut().0.asked = 0;
        let _ = source.tend(&mut turn);
        let map = source.map();
        assert!(map.nodes.slots() <= CAPACITY.max_nodes);
        assert!(map.namespaces().len() <= CAPACITY.max_namespaces);
        for namespace in map.namespaces() {
            for partition in 0..8 {
                for replica in 0..CAPACITY.max_replicas {
                    let owner = namespace.partitions.holder(partition, replica);
                    assert!(owner.is_none_or(|slot| map.nodes.get(slot).is_some()));
                }
            }
        }
        let asked = source.transport_mut().0.asked;
        assert!(asked <= 4000 && turn.0 <= 1000, "{asked} asks, {} events", turn.0);
    }
}
