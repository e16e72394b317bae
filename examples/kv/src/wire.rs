//! The wire format of commands on single records: message type 3 of the Aerospike
//! protocol, as far as put, get and delete of scalar bins need it.
//!
//! A message is 8 bytes `version:8 | type:8 | length:48`, then 22 bytes of fixed
//! fields, then that number of fields (namespace, set, digest) and operations (one
//! per bin), each after its length. All numbers are big-endian.

use std::collections::BTreeMap;
use std::time::Duration;

use tendmap::route::Digest;

/// Length of the header of a message, in bytes.
pub const HEADER: usize = 8;
/// Length of the fixed fields, in bytes.
const FIXED: usize = 22;
/// The limit for the length of replies, in bytes: a record has at most 8 MiB.
const MAX_REPLY: u64 = 16 << 20;
/// The longest name of a bin, in bytes.
const MAX_NAME: usize = 15;

const VERSION: u8 = 2;
const RECORD: u8 = 3;

// Attributes of a command.
const READ: u8 = 1;
const READ_ALL_BINS: u8 = 2;
/// The server compares all copies of the record while partitions migrate.
const READ_LEVEL_ALL: u8 = 1 << 6;
const WRITE: u8 = 1;
const DELETE: u8 = 2;

// Kinds of fields.
const NAMESPACE: u8 = 0;
const SET: u8 = 1;
const DIGEST: u8 = 4;

// The operations on a bin.
const READ_BIN: u8 = 1;
const WRITE_BIN: u8 = 2;

/// The value of a bin.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Integer(i64),
    Double(f64),
    Str(String),
    Bytes(Vec<u8>),
    Bool(bool),
}

/// The bins of a record by name.
pub type Bins = BTreeMap<String, Value>;

impl Value {
    /// Its type in the message and its bytes.
    fn encode(&self) -> (u8, Vec<u8>) {
        match self {
            Value::Integer(value) => (1, value.to_be_bytes().into()),
            Value::Double(value) => (2, value.to_bits().to_be_bytes().into()),
            Value::Str(text) => (3, text.as_bytes().into()),
            Value::Bytes(bytes) => (4, bytes.clone()),
            Value::Bool(value) => (17, vec![u8::from(*value)]),
        }
    }

    fn decode(kind: u8, bytes: &[u8]) -> Result<Value, Malformed> {
        let eight = || bytes.try_into().map_err(|_| Malformed("a number that is not 8 bytes long"));
        Ok(match kind {
            1 => Value::Integer(i64::from_be_bytes(eight()?)),
            2 => Value::Double(f64::from_bits(u64::from_be_bytes(eight()?))),
            3 => match String::from_utf8(bytes.into()) {
                Ok(text) => Value::Str(text),
                Err(_) => return Err(Malformed("text that is not UTF-8")),
            },
            4 => Value::Bytes(bytes.into()),
            17 => Value::Bool(bytes != [0]),
            _ => return Err(Malformed("a bin that is not a scalar")),
        })
    }
}

/// An operation on a record.
#[derive(Clone, Copy, Debug)]
pub enum Command<'a> {
    /// Writes these bins; other bins do not change.
    Put(&'a Bins),
    /// Reads all bins.
    Get,
    /// Removes the record.
    Delete,
}

impl Command<'_> {
    /// Whether it changes the record.
    pub fn writes(&self) -> bool {
        !matches!(self, Command::Get)
    }
}

/// The name of a bin is empty or too long.
#[derive(Debug, thiserror::Error)]
#[error("bin {0:?}: a name has 1 to {MAX_NAME} bytes")]
pub struct BadName(pub String);

/// Writes a command into `message`, with its header. `timeout` tells the server how
/// long the client waits.
pub fn encode(
    message: &mut Vec<u8>,
    namespace: &str,
    set: &str,
    digest: &Digest,
    command: Command<'_>,
    timeout: Duration,
) -> Result<(), BadName> {
    message.clear();
    message.resize(HEADER + FIXED, 0);
    let mut fields = 2_u16;
    field(message, NAMESPACE, namespace.as_bytes());
    if !set.is_empty() {
        fields += 1;
        field(message, SET, set.as_bytes());
    }
    field(message, DIGEST, digest.as_bytes());
    let (read, write) = match command {
        Command::Put(_) => (0, WRITE),
        Command::Get => (READ | READ_ALL_BINS | READ_LEVEL_ALL, 0),
        Command::Delete => (0, WRITE | DELETE),
    };
    let mut operations = 0_u16;
    if let Command::Put(bins) = command {
        for (name, value) in bins {
            if name.is_empty() || name.len() > MAX_NAME {
                return Err(BadName(name.clone()));
            }
            let (kind, value) = value.encode();
            let length = (4 + name.len() + value.len()) as u32;
            message.extend(length.to_be_bytes());
            message.extend([WRITE_BIN, kind, 0, name.len() as u8]);
            message.extend(name.as_bytes());
            message.extend(value);
            operations += 1;
        }
    }
    let length = (message.len() - HEADER) as u64;
    message[..HEADER].copy_from_slice(&length.to_be_bytes());
    (message[0], message[1]) = (VERSION, RECORD);
    let fixed = &mut message[HEADER..][..FIXED];
    (fixed[0], fixed[1], fixed[2]) = (FIXED as u8, read, write);
    let timeout = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
    fixed[14..18].copy_from_slice(&timeout.to_be_bytes());
    fixed[18..20].copy_from_slice(&fields.to_be_bytes());
    fixed[20..22].copy_from_slice(&operations.to_be_bytes());
    Ok(())
}

fn field(message: &mut Vec<u8>, kind: u8, data: &[u8]) {
    message.extend((data.len() as u32 + 1).to_be_bytes());
    message.push(kind);
    message.extend(data);
}

/// The received bytes are not a reply to a command on a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the reply has {0}")]
pub struct Malformed(pub &'static str);

/// The number of bytes that follow a header.
pub fn body_length(header: [u8; HEADER]) -> Result<usize, Malformed> {
    if header[..2] != [VERSION, RECORD] {
        return Err(Malformed("another version or type than a record's"));
    }
    let length = u64::from_be_bytes(header) & ((1 << 48) - 1);
    if !(FIXED as u64..=MAX_REPLY).contains(&length) {
        return Err(Malformed("an invalid length"));
    }
    Ok(length as usize)
}

/// A server's reply.
#[derive(Debug, PartialEq)]
pub struct Reply {
    /// 0 = done; [`meaning`] explains the other values.
    pub result: u8,
    /// The number of times that the record was written.
    pub generation: u32,
    /// The bins that were asked for.
    pub bins: Bins,
}

/// Reads the body of a reply.
pub fn decode(body: &[u8]) -> Result<Reply, Malformed> {
    let short = Malformed("a truncated body");
    let (fixed, mut rest) = body.split_at_checked(FIXED).ok_or(short)?;
    let count = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
    let generation = u32::from_be_bytes(fixed[6..10].try_into().expect("four bytes"));
    for _ in 0..count(18) {
        sized(&mut rest).ok_or(short)?;
    }
    let mut bins = Bins::new();
    for _ in 0..count(20) {
        let operation = sized(&mut rest).ok_or(short)?;
        let (&[code, kind, _, name], data) = operation.split_first_chunk().ok_or(short)?;
        if code != READ_BIN {
            return Err(Malformed("an operation that is not a bin"));
        }
        let (name, value) = data.split_at_checked(usize::from(name)).ok_or(short)?;
        let name = String::from_utf8_lossy(name).into_owned();
        bins.insert(name, Value::decode(kind, value)?);
    }
    if !rest.is_empty() {
        return Err(Malformed("trailing bytes"));
    }
    Ok(Reply { result: fixed[5], generation, bins })
}

fn sized<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (part, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = after;
    Some(part)
}

/// The record exists, or existed.
pub const OK: u8 = 0;
/// The record does not exist.
pub const NOT_FOUND: u8 = 2;
/// The connection has no login.
pub const NOT_LOGGED_IN: u8 = 80;
/// The server timed out.
pub const TIMEOUT: u8 = 9;

/// The node does not hold the partition now.
pub const UNAVAILABLE: u8 = 11;

/// The meaning of a result, and whether another node, or the same one later, may give
/// another result.
pub fn meaning(result: u8) -> (&'static str, bool) {
    match result {
        1 => ("the server failed", false),
        NOT_FOUND => ("no such record", false),
        3 => ("another generation", false),
        4 => ("the server does not take the command", false),
        8 => ("the server has no room left", true),
        TIMEOUT => ("the server took too long", true),
        UNAVAILABLE => ("the partition is not available", true),
        13 => ("the record is too big", false),
        14 => ("too many commands on this record", true),
        18 => ("the server's device is overloaded", true),
        20 => ("no such namespace", false),
        22 => ("forbidden at this time", false),
        NOT_LOGGED_IN => ("not logged in", false),
        81 => ("the user has no right to it", false),
        _ => ("another error", false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A reply of one bin.
    fn reply(kind: u8, value: &[u8]) -> Vec<u8> {
        let mut body = vec![0; FIXED];
        (body[0], body[9], body[21]) = (FIXED as u8, 7, 1);
        body.extend((5 + value.len() as u32).to_be_bytes());
        body.extend([READ_BIN, kind, 0, 1, b'b']);
        body.extend(value);
        body
    }

    #[test]
    fn every_scalar_comes_back_as_it_was_written() {
        for value in [
            Value::Integer(i64::MIN),
            Value::Double(-0.5),
            Value::Str("grün".into()),
            Value::Bytes(vec![0, 255]),
            Value::Bool(true),
            Value::Bool(false),
        ] {
            let (kind, bytes) = value.encode();
            let decoded = decode(&reply(kind, &bytes)).unwrap();
            assert_eq!((decoded.result, decoded.generation), (OK, 7));
            assert_eq!(decoded.bins["b"], value);
        }
    }

    #[test]
    fn a_reply_cut_short_or_too_long_is_refused() {
        let whole = reply(1, &[0; 8]);
        for length in 0..whole.len() {
            assert!(decode(&whole[..length]).is_err(), "{length} of {}", whole.len());
        }
        assert!(decode(&[&whole[..], &[0]].concat()).is_err());
        for (kind, value) in [(1, &[0; 7][..]), (3, &[0xff]), (20, &[])] {
            assert!(decode(&reply(kind, value)).is_err(), "type {kind}");
        }
    }

    #[test]
    fn a_header_of_something_else_is_refused() {
        let header = |version, kind, length: u64| {
            let mut header = length.to_be_bytes();
            (header[0], header[1]) = (version, kind);
            body_length(header)
        };
        assert_eq!(header(2, 3, 22), Ok(22));
        for (version, kind, length) in [(1, 3, 22), (2, 1, 22), (2, 3, 21), (2, 3, MAX_REPLY + 1)] {
            assert!(header(version, kind, length).is_err(), "{version} {kind} {length}");
        }
    }

    #[test]
    fn a_bin_needs_a_name_of_the_right_length() {
        let digest = Digest::of("", 1);
        for (name, good) in
            [("b".repeat(15), true), ("b".repeat(16), false), (String::new(), false)]
        {
            let bins = Bins::from([(name, Value::Integer(1))]);
            let written =
                encode(&mut Vec::new(), "test", "", &digest, Command::Put(&bins), Duration::ZERO);
            assert_eq!(written.is_ok(), good);
        }
    }
}
