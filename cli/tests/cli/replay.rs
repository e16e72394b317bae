//! Servers that answer with the recorded replies of a real cluster, over real
//! sockets.
//!
//! Only the ports differ from the recorded ones: they are replaced in every reply.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// A recorded node: its letter, its port, and the last numbers of its addresses in
/// 127.0.0.0/8.
struct Recorded(char, u16, [u8; 2]);

/// The second address of a to c is the alternate one; d advertises both as its own.
const RECORDED: [Recorded; 4] = [
    Recorded('a', 3100, [1, 11]),
    Recorded('b', 3200, [1, 12]),
    Recorded('c', 3300, [1, 13]),
    Recorded('d', 3000, [1, 14]),
];

/// The replies of a node, by command; `None` = it closes every connection.
pub type Replies = Option<BTreeMap<String, String>>;

/// The nodes.
pub struct Replay {
    nodes: BTreeMap<char, Node>,
}

struct Node {
    port: u16,
    replies: Arc<Mutex<Replies>>,
}

impl Replay {
    /// Starts nodes with the replies in a folder of `testkit/data`. Commands that
    /// were not recorded there are answered as by node a in `steady`, because
    /// these replies are the same for all nodes.
    pub fn of(folder: &str, nodes: &str) -> Replay {
        let replay = Replay::down(nodes);
        for letter in nodes.chars() {
            let mut replies = files("steady", 'a');
            replies.extend(files(folder, letter));
            replay.answer(letter, Some(replies));
        }
        replay
    }

    /// Starts nodes that close every connection until they get replies.
    pub fn down(nodes: &str) -> Replay {
        let node = |letter: char| {
            let recorded = RECORDED.iter().find(|recorded| recorded.0 == letter).unwrap();
            let (port, listeners) = listen(recorded.2);
            let replies = Arc::new(Mutex::new(None));
            for listener in listeners {
                let replies = replies.clone();
                std::thread::spawn(move || accept(&listener, &replies));
            }
            (letter, Node { port, replies })
        };
        Replay { nodes: nodes.chars().map(node).collect() }
    }

    /// The address of a node.
    pub fn host(&self, letter: char) -> String {
        format!("127.0.0.1:{}", self.nodes[&letter].port)
    }

    /// A text of the recorded cluster with the current ports.
    pub fn text(&self, recorded: &str) -> String {
        let (mut text, mut rest) = (String::new(), recorded);
        // Number by number, so that a new port is never mistaken for an old one.
        while let Some(at) = rest.find([':', ',']) {
            let (before, from) = rest.split_at(at + 1);
            let digits = from.find(|c: char| !c.is_ascii_digit()).unwrap_or(from.len());
            let (number, after) = from.split_at(digits);
            // After a comma it is the default port of a list of peers.
            let is_port = before.ends_with(':') || after.starts_with(",[");
            let port = RECORDED.iter().find(|node| is_port && node.1.to_string() == number);
            let port = port.and_then(|node| self.nodes.get(&node.0));
            text += before;
            text += &port.map_or(number.to_owned(), |node| node.port.to_string());
            rest = after;
        }
        text + rest
    }

    /// Sets the replies of a node, as recorded.
    pub fn answer(&self, letter: char, replies: Replies) {
        let there = |(command, value): (String, String)| (command, self.text(&value));
        let replies = replies.map(|replies| replies.into_iter().map(there).collect());
        *self.nodes[&letter].replies.lock().unwrap() = replies;
    }

    /// Changes the reply of a node to one command.
    pub fn change(&self, letter: char, command: &str, change: impl FnOnce(&str) -> String) {
        let mut replies = self.nodes[&letter].replies.lock().unwrap();
        let value = replies.as_mut().unwrap().get_mut(command).unwrap();
        *value = change(value);
    }
}

/// The recorded replies of a node, by command.
pub fn files(folder: &str, letter: char) -> BTreeMap<String, String> {
    let mut replies = BTreeMap::new();
    for entry in std::fs::read_dir(tendmap_testkit::data(folder)).unwrap() {
        let path = entry.unwrap().path();
        if !path.to_str().unwrap().ends_with(&format!(".{letter}.txt")) {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let (command, value) = text.trim_end_matches('\n').split_once('\t').unwrap();
        replies.insert(command.to_owned(), value.to_owned());
    }
    assert!(!replies.is_empty(), "{folder} {letter}");
    replies
}

/// Listeners at these addresses, all at one port.
fn listen(hosts: [u8; 2]) -> (u16, [TcpListener; 2]) {
    let [first, second] = hosts.map(|host| Ipv4Addr::new(127, 0, 0, host));
    for _ in 0..100 {
        let one = TcpListener::bind((first, 0)).unwrap();
        let port = one.local_addr().unwrap().port();
        if let Ok(other) = TcpListener::bind((second, port)) {
            return (port, [one, other]);
        }
    }
    panic!("no port is free at both addresses");
}

fn accept(listener: &TcpListener, replies: &Arc<Mutex<Replies>>) {
    for socket in listener.incoming() {
        let (replies, Ok(socket)) = (replies.clone(), socket) else { return };
        std::thread::spawn(move || serve(socket, &replies));
    }
}

/// Answers until either side closes.
fn serve(mut socket: TcpStream, replies: &Mutex<Replies>) -> io::Result<()> {
    loop {
        let mut header = [0; 8];
        socket.read_exact(&mut header)?;
        let length = u64::from_be_bytes(header);
        if length >> 48 != 0x0201 {
            return Ok(());
        }
        let mut request = vec![0; (length & 0xffff_ffff) as usize];
        socket.read_exact(&mut request)?;
        let request = String::from_utf8(request).unwrap();
        let mut body = String::new();
        {
            let replies = replies.lock().unwrap();
            let Some(replies) = &*replies else { break };
            for command in request.lines() {
                let unknown = "ERROR:4:unrecognized command".to_owned();
                let value = replies.get(command).unwrap_or(&unknown);
                body += &format!("{command}\t{value}\n");
            }
        }
        socket.write_all(&(0x0201 << 48 | body.len() as u64).to_be_bytes())?;
        socket.write_all(body.as_bytes())?;
    }
    // Closing with unread data would reset the connection at a random moment.
    socket.shutdown(Shutdown::Write)?;
    socket.read_to_end(&mut Vec::new())?;
    Ok(())
}
