//! The info protocol: commands are sent as lines, and their values come back as
//! lines.
//!
//! A server may send anything: a length is checked before memory is allocated
//! for it, every key must echo its command, and a value is parsed completely
//! before it is used.

mod bad;
mod cursor;
mod peers;
mod racks;
mod replicas;
mod scalar;
mod service;

pub use bad::{BadEntries, BadEntry};
pub use cursor::GrammarError;
pub use peers::{Peer, Peers, parse_peers, parse_peers_within};
pub use racks::{NodeRacks, parse_racks};
pub use replicas::{Bitmap, Claim, Replicas, parse_replicas};
pub use scalar::{ReadBuild, parse_cluster_name, parse_generation, parse_node, read_build};
pub use service::parse_service;

use crate::text::Printable;
use crate::wire::{HEADER_LEN, MessageHeader, MessageKind, VERSION};

/// The longest accepted reply in bytes. A node's replies in a pass are far
/// shorter: 684 characters for each namespace and replica.
pub const MAX_REPLY: usize = 4 << 20;

/// The most characters of a server's error text that are shown.
const MAX_SHOWN: usize = 80;

/// Why a reply can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InfoError {
    /// The reply's header is not of the info protocol.
    #[error("a header of version {version} and type {kind}; wanted version 2 and type 1 (info)")]
    Header {
        /// The version that was found.
        version: u8,
        /// The type that was found.
        kind: u8,
    },
    /// The server sent TLS, but plaintext was expected.
    #[error("the server speaks TLS at this port; turn TLS on, or give its plaintext port")]
    Tls,
    /// The reply's header announces an excessive length.
    #[error("a reply of {found} bytes; wanted at most {MAX_REPLY}")]
    TooLong {
        /// The announced length.
        found: u64,
    },
    /// There are bytes after the reply, or before the request.
    #[error("{found} bytes that belong to no reply; wanted none")]
    Surplus {
        /// The number of bytes.
        found: usize,
    },
    /// The reply ends before the value of that command.
    #[error("no line for command {command:?}; wanted one")]
    Missing {
        /// The command.
        command: String,
    },
    /// Another line was found where the value of that command was expected.
    #[error("a line for {found:?}; wanted one for {command:?}")]
    Key {
        /// The command.
        command: String,
        /// The key that was found instead.
        found: String,
    },
    /// The server refused the command.
    #[error("the server refuses {command}: {}", Printable(.text))]
    Refused {
        /// The command.
        command: String,
        /// The server's text: `ERROR:<code>:<text>` or `FAIL:<text>`.
        text: String,
    },
    /// The value of a command is invalid.
    #[error(transparent)]
    Value(#[from] GrammarError),
}

/// Encodes a request of these commands, including the header.
pub fn encode<S: AsRef<str>>(commands: &[S]) -> Vec<u8> {
    let length = commands.iter().map(|command| command.as_ref().len() + 1).sum();
    let mut bytes = Vec::with_capacity(HEADER_LEN + length);
    bytes.extend(MessageHeader::new(MessageKind::Info, length).encode());
    for command in commands {
        bytes.extend(command.as_ref().as_bytes());
        bytes.push(b'\n');
    }
    bytes
}

/// Whether bytes are the start of a TLS record: an alert or a handshake of any
/// version, as sent by a server that does not accept plaintext.
pub(crate) fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x15 | 0x16, 0x03, ..])
}

/// The number of bytes that follow the header of a reply.
///
/// # Errors
/// [`InfoError::Header`] and [`InfoError::TooLong`].
pub fn body_length(header: [u8; 8]) -> Result<usize, InfoError> {
    let MessageHeader { version, kind, length } = MessageHeader::decode(header);
    if is_tls(&header) {
        return Err(InfoError::Tls);
    }
    if version != VERSION || kind != MessageKind::Info as u8 {
        return Err(InfoError::Header { version, kind });
    }
    match usize::try_from(length) {
        Ok(length) if length <= MAX_REPLY => Ok(length),
        _ => Err(InfoError::TooLong { found: length }),
    }
}

/// The values of a request's commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply<'a> {
    values: Vec<(&'a str, &'a [u8])>,
}

impl<'a> Reply<'a> {
    /// Parses the body of a reply to exactly these commands.
    ///
    /// # Errors
    /// [`InfoError::Missing`], [`InfoError::Key`] or [`InfoError::Surplus`].
    pub fn parse<S: AsRef<str>>(body: &'a [u8], commands: &'a [S]) -> Result<Self, InfoError> {
        let mut values = Vec::with_capacity(commands.len());
        let mut rest = body;
        for command in commands {
            let command = command.as_ref();
            let missing = || InfoError::Missing { command: command.into() };
            let end = rest.iter().position(|&byte| byte == b'\n').ok_or_else(missing)?;
            let (line, after) = (&rest[..end], &rest[end + 1..]);
            let tab = line.iter().position(|&byte| byte == b'\t');
            let key = &line[..tab.unwrap_or(end)];
            if key != command.as_bytes() {
                return Err(InfoError::Key { command: command.into(), found: shown(key) });
            }
            values.push((command, tab.map_or(&b""[..], |tab| &line[tab + 1..])));
            rest = after;
        }
        if !rest.is_empty() {
            return Err(InfoError::Surplus { found: rest.len() });
        }
        Ok(Reply { values })
    }

    /// The value of one of the commands.
    ///
    /// # Errors
    /// [`InfoError::Refused`] if the value is an error; [`InfoError::Missing`] for a command that
    /// was not in the request.
    pub fn value(&self, command: &str) -> Result<&'a [u8], InfoError> {
        let value = self.values.iter().find(|(key, _)| *key == command);
        let (_, value) = value.ok_or_else(|| InfoError::Missing { command: command.into() })?;
        let is = |word: &[u8]| {
            value.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest[0] == b':')
        };
        if is(b"ERROR") || is(b"FAIL") {
            return Err(InfoError::Refused { command: command.into(), text: shown(value) });
        }
        Ok(value)
    }
}

/// The start of a server's text, unescaped. Code that shows it must escape it.
fn shown(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * MAX_SHOWN)]);
    text.chars().take(MAX_SHOWN).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_every_command() {
        assert_eq!(encode(&["node", "build"]), b"\x02\x01\0\0\0\0\0\x0bnode\nbuild\n");
    }

    #[test]
    fn a_reply_has_the_value_of_each_command() {
        let commands = ["node", "rack-ids", "cluster-name"];
        let body = b"node\tD4\nrack-ids\tERROR:25:enterprise only\ncluster-name\n";
        let reply = Reply::parse(body, &commands).unwrap();
        assert_eq!(reply.value("node").unwrap(), b"D4");
        assert_eq!(reply.value("cluster-name").unwrap(), b"");
        let error = reply.value("rack-ids").unwrap_err().to_string();
        assert!(error.contains("ERROR:25:enterprise only"), "{error}");
        let commands = ["a", "b"];
        let reply = Reply::parse(b"a\tERRORLESS\nb\tFAIL\n", &commands).unwrap();
        assert_eq!(reply.value("a").unwrap(), b"ERRORLESS");
        assert!(reply.value("b").is_err());
        assert!(reply.value("c").is_err());
    }

    #[test]
    fn a_reply_to_other_commands_is_refused() {
        for body in
            [&b""[..], b"node\tD4", b"nodes\tD4\n", b"node\tD4\n\n", b"node\tD4\nnode\tD4\n", b"\n"]
        {
            assert!(Reply::parse(body, &["node"]).is_err(), "{:?}", shown(body));
        }
    }

    #[test]
    fn lengths_and_headers_are_bounded() {
        let header = |length| MessageHeader::new(MessageKind::Info, length).encode();
        assert_eq!(body_length(header(MAX_REPLY)), Ok(MAX_REPLY));
        assert_eq!(
            body_length(header(MAX_REPLY + 1)),
            Err(InfoError::TooLong { found: MAX_REPLY as u64 + 1 })
        );
        assert!(body_length([2, 1, 255, 255, 255, 255, 255, 255]).is_err());
        assert!(body_length([2, 3, 0, 0, 0, 0, 0, 1]).is_err());
        assert!(body_length([3, 1, 0, 0, 0, 0, 0, 1]).is_err());
    }
}
