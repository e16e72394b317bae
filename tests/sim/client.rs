//! A plain client of the info protocol.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tendmap::sim::Sim;

/// Longer than any step here takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until a condition holds.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn settle(sim: &Sim) {
    assert!(sim.settle(PATIENCE), "{:?}", sim.status());
}

pub fn frame(version: u8, kind: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u64).to_be_bytes().to_vec();
    bytes[0] = version;
    bytes[1] = kind;
    bytes.extend(body);
    bytes
}

pub struct Client {
    pub stream: TcpStream,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { stream }
    }

    pub fn of(sim: &Sim, number: usize) -> Client {
        Client::connect(address(sim, number))
    }

    /// The header and body of the next reply.
    pub fn receive(&mut self) -> io::Result<([u8; 2], Vec<u8>)> {
        let mut header = [0; 8];
        self.stream.read_exact(&mut header)?;
        let kind = [header[0], header[1]];
        header[..2].fill(0);
        let mut body = vec![0; u64::from_be_bytes(header) as usize];
        self.stream.read_exact(&mut body)?;
        Ok((kind, body))
    }

    /// The body of the reply to this body.
    pub fn body(&mut self, request: &str) -> String {
        self.stream.write_all(&frame(2, 1, request.as_bytes())).unwrap();
        let (kind, body) = self.receive().unwrap();
        assert_eq!(kind, [2, 1]);
        String::from_utf8(body).unwrap()
    }

    /// The value of one command.
    pub fn ask(&mut self, command: &str) -> String {
        let body = self.body(&format!("{command}\n"));
        let value =
            body.strip_prefix(&format!("{command}\t")).and_then(|rest| rest.strip_suffix('\n'));
        value.unwrap_or_else(|| panic!("the reply to {command} is {body:?}")).to_owned()
    }

    pub fn number(&mut self, command: &str) -> i32 {
        self.ask(command).parse().unwrap()
    }

    /// The ids of the nodes in its list of peers, in order.
    pub fn peers(&mut self) -> Vec<String> {
        let mut peers: Vec<String> = self.hosts().into_keys().collect();
        peers.sort();
        peers
    }

    /// The text in the brackets of each peer.
    pub fn hosts(&mut self) -> HashMap<String, String> {
        let reply = self.ask("peers-clear-std");
        let list = reply.splitn(3, ',').nth(2).unwrap();
        let list = list.strip_prefix('[').unwrap().strip_suffix(']').unwrap();
        let peers = list.split("],[").filter(|peer| !peer.is_empty());
        peers
            .map(|peer| {
                let peer = peer.trim_start_matches('[').trim_end_matches(']');
                let (id, rest) = peer.split_once(',').unwrap();
                (id.to_owned(), rest.split_once('[').unwrap().1.to_owned())
            })
            .collect()
    }

    /// The regime and the columns of each namespace.
    pub fn replicas(&mut self) -> HashMap<String, (u32, Vec<Vec<bool>>)> {
        let reply = self.ask("replicas");
        let namespaces = reply.split(';').map(|namespace| {
            let (name, rest) = namespace.split_once(':').unwrap();
            let fields: Vec<&str> = rest.split(',').collect();
            let columns: Vec<Vec<bool>> = fields[2..].iter().map(|text| bits(text)).collect();
            assert_eq!(fields[1], columns.len().to_string());
            (name.to_owned(), (fields[0].parse().unwrap(), columns))
        });
        namespaces.collect()
    }
}

fn bits(text: &str) -> Vec<bool> {
    assert_eq!(text.len(), 684);
    let bytes = STANDARD.decode(text).unwrap();
    (0..4096).map(|p| bytes[p >> 3] & (0x80 >> (p & 7)) != 0).collect()
}

pub fn address(sim: &Sim, number: usize) -> SocketAddr {
    let status = sim.status().unwrap();
    let node = status.nodes.iter().find(|node| node.number == number).unwrap();
    node.address.parse().unwrap()
}

pub fn id(sim: &Sim, number: usize) -> String {
    let status = sim.status().unwrap();
    status.nodes.iter().find(|node| node.number == number).unwrap().node.clone()
}

/// The node that claims each replica by the replies of these nodes, in the form that
/// `owners` returns. Several claims of one replica are an error.
pub fn claimed(sim: &Sim, numbers: &[usize], namespace: &str) -> Vec<Vec<String>> {
    let mut rows = vec![Vec::new(); 4096];
    for &number in numbers {
        let id = id(sim, number);
        let (_, columns) = Client::of(sim, number).replicas().remove(namespace).unwrap();
        for (replica, column) in columns.iter().enumerate() {
            for partition in (0..4096).filter(|&partition| column[partition]) {
                let row: &mut Vec<String> = &mut rows[partition];
                if row.len() <= replica {
                    row.resize(replica + 1, String::new());
                }
                assert_eq!(row[replica], "", "two claims of {partition}:{replica}");
                row[replica].clone_from(&id);
            }
        }
    }
    rows
}

pub fn owners(sim: &Sim, namespace: &str) -> Vec<Vec<String>> {
    let owners = sim.owners(namespace).unwrap();
    owners.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect()
}
