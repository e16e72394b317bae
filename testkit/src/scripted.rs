//! A server that sends the replies of a test, in plaintext or over TLS, and records
//! the requests.
#![allow(dead_code, reason = "each test uses a part")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The fields of an admin message by their ids.
pub type Fields = BTreeMap<u8, Vec<u8>>;

/// The reply to a request of the admin protocol; `None` = never a reply.
pub type Answer = fn(&Fields) -> Option<Vec<u8>>;

/// A connection, in plaintext or over TLS.
pub trait Stream: Read + Write {}
impl<S: Read + Write> Stream for S {}

/// Wraps a connection in another stream.
pub type Wrap = Arc<dyn Fn(TcpStream) -> Box<dyn Stream> + Send + Sync>;

/// The replies and the recorded requests.
pub struct Script {
    /// The replies to info commands.
    pub replies: BTreeMap<String, String>,
    /// The reply to logins and to tokens.
    pub login: Answer,
    pub authenticate: Answer,
    pub logins: Vec<Fields>,
    pub tokens: Vec<Fields>,
    /// The received info commands.
    pub asked: Vec<String>,
    pub connections: usize,
    /// The delay before each byte of a reply of the admin protocol.
    pub drip: std::time::Duration,
}

/// The server; its threads end with the process.
#[derive(Clone)]
pub struct Scripted {
    pub address: SocketAddr,
    pub script: Arc<Mutex<Script>>,
}

/// A reply of the admin protocol.
pub fn answer(code: u8, fields: &[(u8, &[u8])]) -> Option<Vec<u8>> {
    let mut body = vec![0; 16];
    (body[1], body[3]) = (code, fields.len() as u8);
    for (id, data) in fields {
        body.extend((data.len() as u32 + 1).to_be_bytes());
        body.push(*id);
        body.extend(*data);
    }
    let mut message = (body.len() as u64).to_be_bytes().to_vec();
    (message[0], message[1]) = (2, 2);
    message.extend(body);
    Some(message)
}

/// A session of an hour.
pub fn session(_: &Fields) -> Option<Vec<u8>> {
    answer(0, &[(5, b"a-token"), (6, &3600u32.to_be_bytes())])
}

/// Accepts a token.
pub fn good(_: &Fields) -> Option<Vec<u8>> {
    answer(0, &[])
}

/// Refuses a token.
pub fn refused(_: &Fields) -> Option<Vec<u8>> {
    answer(80, &[])
}

impl Scripted {
    /// A plaintext node that is alone and holds all of `test`.
    pub fn start(id: &str) -> Scripted {
        Scripted::start_with(id, Arc::new(|stream| Box::new(stream)))
    }

    /// The same node over wrapped streams.
    pub fn start_with(id: &str, wrap: Wrap) -> Scripted {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        use base64::Engine as _;
        let all = base64::engine::general_purpose::STANDARD.encode([0xff; 512]);
        let replies = [
            ("node", id),
            ("build", "8.1.2.0"),
            ("cluster-name", "lab"),
            ("partition-generation", "1"),
            ("peers-generation", "1"),
            ("rebalance-generation", "1"),
            ("peers-clear-std", "1,3000,[]"),
            ("peers-tls-std", "1,3000,[]"),
            ("service-clear-std", &address.to_string()),
            ("service-tls-std", &address.to_string()),
            ("rack-ids", "ERROR:25:enterprise only"),
            ("replicas", &format!("test:0,1,{all}")),
        ];
        let replies = replies.map(|(command, value)| (command.into(), value.into())).into();
        let (logins, tokens, asked) = Default::default();
        let script = Script {
            replies,
            login: session,
            authenticate: good,
            logins,
            tokens,
            asked,
            connections: 0,
            drip: std::time::Duration::ZERO,
        };
        let server = Scripted { address, script: Arc::new(Mutex::new(script)) };
        let own = server.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (own, wrap) = (own.clone(), wrap.clone());
                own.script.lock().unwrap().connections += 1;
                std::thread::spawn(move || own.serve(wrap(stream)));
            }
        });
        server
    }

    pub fn set(&self, command: &str, value: impl ToString) {
        self.script.lock().unwrap().replies.insert(command.into(), value.to_string());
    }

    /// Sets the peers that are listed over TLS and in plaintext.
    pub fn list(&self, tls: &str, clear: &str) {
        let mut script = self.script.lock().unwrap();
        let next = script.replies["peers-generation"].parse::<u32>().unwrap() + 1;
        script.replies.insert("peers-generation".into(), next.to_string());
        script.replies.insert("peers-tls-std".into(), format!("{next},3000,[{tls}]"));
        script.replies.insert("peers-clear-std".into(), format!("{next},3000,[{clear}]"));
    }

    pub fn answers(&self, login: Answer, authenticate: Answer) {
        let mut script = self.script.lock().unwrap();
        (script.login, script.authenticate) = (login, authenticate);
    }

    pub fn logins(&self) -> usize {
        self.script.lock().unwrap().logins.len()
    }

    pub fn tokens(&self) -> usize {
        self.script.lock().unwrap().tokens.len()
    }

    pub fn connections(&self) -> usize {
        self.script.lock().unwrap().connections
    }

    fn serve(&self, mut stream: Box<dyn Stream>) {
        let mut header = [0; 8];
        while stream.read_exact(&mut header).is_ok() {
            let kind = header[1];
            header[..2].fill(0);
            let length = u64::from_be_bytes(header) as usize;
            let mut body = vec![0; length.min(1 << 20)];
            if stream.read_exact(&mut body).is_err() {
                return;
            }
            let reply = match kind {
                2 => self.admin(&body),
                _ => Some(self.info(&body)),
            };
            let Some(reply) = reply else {
                // No reply. The read ends when the other side closes.
                let _ = stream.read(&mut [0; 1]);
                return;
            };
            let drip = self.script.lock().unwrap().drip;
            if kind == 2 && !drip.is_zero() {
                for byte in reply {
                    std::thread::sleep(drip);
                    if stream.write_all(&[byte]).and_then(|()| stream.flush()).is_err() {
                        return;
                    }
                }
            } else if stream.write_all(&reply).and_then(|()| stream.flush()).is_err() {
                return;
            }
        }
    }

    fn admin(&self, body: &[u8]) -> Option<Vec<u8>> {
        let (mut fields, mut rest) = (Fields::new(), &body[16..]);
        while let Some((length, after)) = rest.split_first_chunk::<4>() {
            let (field, after) = after.split_at(u32::from_be_bytes(*length) as usize);
            fields.insert(field[0], field[1..].to_vec());
            rest = after;
        }
        let mut script = self.script.lock().unwrap();
        let answer = if body[2] == 20 { script.login } else { script.authenticate };
        let reply = answer(&fields);
        if body[2] == 20 {
            script.logins.push(fields)
        } else {
            script.tokens.push(fields)
        }
        reply
    }

    fn info(&self, body: &[u8]) -> Vec<u8> {
        let mut script = self.script.lock().unwrap();
        let mut text = String::new();
        for command in String::from_utf8_lossy(body).lines() {
            let value = script.replies.get(command);
            let value = value.map_or("ERROR:4:unrecognized command", String::as_str);
            text += &format!("{command}\t{value}\n");
            script.asked.push(command.to_owned());
        }
        let mut message = (text.len() as u64).to_be_bytes().to_vec();
        (message[0], message[1]) = (2, 1);
        message.extend(text.into_bytes());
        message
    }
}
