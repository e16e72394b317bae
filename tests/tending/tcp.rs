//! The transport, against servers on loopback.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use tendmap::internals::tend::transport::{Ask, AskError, TcpTransport, Transport};
use tendmap::map::ClusterMap;
use tendmap::tend::{AerospikeConfig, AerospikeSource, ClusterSource, TendEvent};
use tendmap_testkit::tables::{Log, SMALL, ids, node, owners, server};

/// The way a server treats a request.
#[derive(Clone, Copy, PartialEq)]
enum Mood {
    Answers,
    /// Reads and never answers.
    Hangs,
    /// Answers, then closes the connection.
    ClosesAfter,
    /// Announces a reply of 2^47 bytes.
    Boasts,
    /// Sends a little more than the reply.
    Rambles,
}

/// A real server on loopback that counts connections and requests.
struct Lab {
    address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    replies: Arc<Mutex<BTreeMap<String, String>>>,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
}

impl Lab {
    fn new(replies: BTreeMap<String, String>) -> Lab {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let lab = Lab {
            address: listener.local_addr().unwrap(),
            mood: Arc::new(Mutex::new(Mood::Answers)),
            replies: Arc::new(Mutex::new(replies)),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let (mood, replies) = (lab.mood.clone(), lab.replies.clone());
        let (connections, requests) = (lab.connections.clone(), lab.requests.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                connections.fetch_add(1, Ordering::SeqCst);
                let (mood, replies) = (mood.clone(), replies.clone());
                let requests = requests.clone();
                thread::spawn(move || serve(stream.unwrap(), &mood, &replies, &requests));
            }
        });
        lab
    }

    fn node(id: &str, columns: &[u8]) -> Lab {
        let lab = Lab::new(BTreeMap::new());
        *lab.replies.lock().unwrap() = server(id, &lab.address.to_string(), columns).replies;
        lab
    }

    fn set(&self, command: &str, value: &str) {
        self.replies.lock().unwrap().insert(command.into(), value.into());
    }

    fn mood(&self, mood: Mood) {
        *self.mood.lock().unwrap() = mood;
    }

    fn counts(&self) -> (usize, usize) {
        (self.connections.load(Ordering::SeqCst), self.requests.load(Ordering::SeqCst))
    }
}

fn serve(
    mut stream: TcpStream,
    mood: &Mutex<Mood>,
    replies: &Mutex<BTreeMap<String, String>>,
    requests: &AtomicUsize,
) -> Option<()> {
    loop {
        let mut header = [0; 8];
        stream.read_exact(&mut header).ok()?;
        header[..2].fill(0);
        let mut body = vec![0; u64::from_be_bytes(header) as usize];
        stream.read_exact(&mut body).ok()?;
        let text = String::from_utf8(body).unwrap();
        let greeting = text.starts_with("user-agent-set:value=");
        requests.fetch_add(usize::from(!greeting), Ordering::SeqCst);
        let mood = *mood.lock().unwrap();
        if greeting {
            stream.write_all(&message("user-agent-set:value=x\tERROR:4:unknown\n")).ok()?;
            continue;
        }
        let mut reply = String::new();
        for command in text.lines() {
            let replies = replies.lock().unwrap();
            let value = replies.get(command).map_or("ERROR:4:unrecognized command", |v| v);
            reply += &format!("{command}\t{value}\n");
        }
        match mood {
            Mood::Hangs => continue,
            Mood::Boasts => stream.write_all(&[2, 1, 0x80, 0, 0, 0, 0, 0]).ok()?,
            _ => {
                // In two pieces, so that replies arrive in parts.
                let message = message(&reply);
                let (head, tail) = message.split_at(message.len() / 2);
                stream.write_all(head).ok()?;
                stream.flush().ok()?;
                stream.write_all(tail).ok()?;
            }
        }
        if mood == Mood::Rambles {
            stream.write_all(b"more").ok()?;
        }
        if mood == Mood::ClosesAfter {
            return None;
        }
    }
}

fn message(text: &str) -> Vec<u8> {
    let mut bytes = (text.len() as u64).to_be_bytes().to_vec();
    bytes[..2].copy_from_slice(&[2, 1]);
    bytes.extend(text.as_bytes());
    bytes
}

/// Nodes that all list each other.
fn cluster(ids: &[&str]) -> Vec<Lab> {
    let labs: Vec<Lab> =
        ids.iter().enumerate().map(|(i, id)| Lab::node(id, &[0x80 >> i, 0x00])).collect();
    for (lab, own) in labs.iter().zip(ids) {
        let peers: Vec<String> = labs
            .iter()
            .zip(ids)
            .filter(|(_, id)| *id != own)
            .map(|(lab, id)| format!("[{id},,[{}]]", lab.address))
            .collect();
        lab.set("peers-clear-std", &format!("1,3000,[{}]", peers.join(",")));
    }
    labs
}

fn source(labs: &[Lab], timeout: Duration) -> AerospikeSource {
    let mut config = AerospikeConfig::new(vec![labs[0].address.into()]);
    config.connect_timeout = timeout;
    let mut source = AerospikeSource::new(config);
    source.start(ClusterMap::new(SMALL));
    source
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn h24_one_connection_a_node_and_one_request_a_node_in_an_idle_pass() {
    let labs = cluster(&["A", "B", "C"]);
    let mut source = source(&labs, LONG);
    let mut log = Log::default();
    source.tend(&mut log).unwrap();
    assert_eq!(owners(source.map(), 0), "ABC.....");
    let first: Vec<_> = labs.iter().map(Lab::counts).collect();
    for pass in 1..=5 {
        let report = source.tend(&mut log).unwrap();
        assert!(!report.changed);
        for (lab, first) in labs.iter().zip(&first) {
            assert_eq!(lab.counts(), (1, first.1 + pass));
        }
    }
    assert!(log.beats > 0);
}

#[test]
fn several_hung_nodes_cost_one_deadline_and_beats_go_on() {
    let labs = cluster(&["A", "B", "C", "D"]);
    let deadline = Duration::from_millis(800);
    let mut source = source(&labs, deadline);
    source.tend(&mut Log::default()).unwrap();
    labs[1..].iter().for_each(|lab| lab.mood(Mood::Hangs));
    labs[0].set("partition-generation", "2");
    labs[0].set("replicas", &format!("test:0,1,{}", tendmap_testkit::tables::column(0x88)));
    let mut log = Log::default();
    let report = source.tend(&mut log).unwrap();
    // At most one beat every 50 ms: 16 are due in one deadline, 48 in three.
    assert!((2..=32).contains(&log.beats), "{} beats", log.beats);
    assert_eq!((report.nodes_ok, report.nodes_failed), (1, 3));
    assert_eq!(owners(source.map(), 0), "ABCDA...", "the remaining node was tended nevertheless");
    let failed = |e: &&TendEvent| matches!(e, TendEvent::NodeFailed { .. });
    assert_eq!(log.events.iter().filter(failed).count(), 3);
    // When they answer again, late replies are not taken for new ones.
    labs[1..].iter().for_each(|lab| lab.mood(Mood::Answers));
    let report = source.tend(&mut Log::default()).unwrap();
    assert_eq!(report.nodes_ok, 4);
    assert_eq!(labs[1].counts().0, 2, "it was asked on a new connection");
}

#[test]
fn a_break_ends_a_wait_at_once() {
    let labs = cluster(&["A", "B"]);
    let mut source = source(&labs, LONG);
    source.tend(&mut Log::default()).unwrap();
    labs[1].mood(Mood::Hangs);
    let mut log = Log { stop: true, ..Log::default() };
    assert!(source.tend(&mut log).is_err());
    assert_eq!(log.beats, 1, "the wait did not end at once");
    labs[1].mood(Mood::Answers);
    assert_eq!(source.tend(&mut Log::default()).unwrap().nodes_ok, 2);
}

#[test]
fn a_server_that_closes_idle_connections_is_no_failure() {
    let labs = cluster(&["A", "B"]);
    let mut source = source(&labs, LONG);
    source.tend(&mut Log::default()).unwrap();
    labs[1].mood(Mood::ClosesAfter);
    source.tend(&mut Log::default()).unwrap();
    labs[1].mood(Mood::Answers);
    let mut log = Log::default();
    let report = source.tend(&mut log).unwrap();
    assert_eq!((report.nodes_ok, log.events.len()), (2, 0), "{:?}", log.events);
    assert_eq!(labs[1].counts().0, 2);
}

#[test]
fn h36_absurd_lengths_and_surplus_bytes_are_bad_replies() {
    for mood in [Mood::Boasts, Mood::Rambles] {
        let labs = cluster(&["A", "B"]);
        let mut source = source(&labs, Duration::from_secs(2));
        source.tend(&mut Log::default()).unwrap();
        let good = source.map().clone();
        labs[1].mood(mood);
        // The surplus may arrive a moment later; then the next pass finds it.
        let mut log = Log::default();
        for _ in 0..20 {
            source.tend(&mut log).unwrap();
        }
        let bad = |e: &TendEvent| matches!(e, TendEvent::BadReply { id, .. } if *id == node("B"));
        assert!(log.events.iter().any(bad), "{:?}", log.events);
        assert_eq!(*source.map(), good);
    }
}

#[test]
fn connections_of_nodes_that_left_are_closed() {
    let labs = cluster(&["A", "B"]);
    let mut transport = TcpTransport::new(LONG, LONG, None);
    let commands = vec!["node".to_string()];
    let asks: Vec<Ask> =
        labs.iter().map(|lab| Ask { address: lab.address, commands: commands.clone() }).collect();
    let ask = |transport: &mut TcpTransport| {
        let mut numbers = BTreeMap::new();
        let mut done =
            |index: usize,
             outcome: Result<tendmap::internals::tend::transport::Answer, AskError>| {
                numbers.insert(index, outcome.unwrap().connection);
                ControlFlow::Continue(())
            };
        transport.ask(&asks, &mut Log::default(), &mut done).unwrap();
        numbers
    };
    let first = ask(&mut transport);
    assert_eq!(ask(&mut transport), first);
    transport.keep(&[labs[0].address].into());
    let second = ask(&mut transport);
    assert_eq!(second[&0], first[&0]);
    assert!(second[&1] > first[&1].max(first[&0]), "the number was used before");
    transport.close();
    assert!(ask(&mut transport)[&0] > second[&1]);
}

#[test]
fn names_are_resolved_and_unknown_ones_are_named_in_the_error() {
    let labs = cluster(&["A"]);
    let mut config = AerospikeConfig::new(vec![
        "name.invalid:3000".parse().unwrap(),
        format!("localhost:{}", labs[0].address.port()).parse().unwrap(),
    ]);
    config.connect_timeout = Duration::from_secs(5);
    let mut source = AerospikeSource::new(config);
    source.start(ClusterMap::new(SMALL));
    source.tend(&mut Log::default()).unwrap();
    assert_eq!(ids(source.map()), "A");
    let mut source =
        AerospikeSource::new(AerospikeConfig::new(vec!["name.invalid:3000".parse().unwrap()]));
    source.start(ClusterMap::new(SMALL));
    let error = source.tend(&mut Log::default()).unwrap_err().to_string();
    assert!(error.contains("name.invalid:3000: "), "{error}");
}
