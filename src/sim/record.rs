//! Commands on single records: enough for an ordinary client to write, read,
//! check and delete records.
//!
//! Bins are kept as the received bytes, in one store for the whole cluster: any
//! node answers for any record.

use std::collections::{BTreeMap, HashMap};

use super::status::RecordKind;

/// Length of the fixed part of a message, in bytes.
pub(super) const FIXED: usize = 22;

const OK: u8 = 0;
const NOT_FOUND: u8 = 2;
const PARAMETER: u8 = 4;

const READ: u8 = 1;
const READ_ALL: u8 = 2;
const READ_NO_BINS: u8 = 32;
const WRITE: u8 = 1;
const DELETE: u8 = 2;

/// The field that holds a record's digest.
const DIGEST: u8 = 4;

/// A command on a record, reduced to the parts that are used here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Command {
    pub namespace: String,
    pub set: String,
    pub digest: [u8; 20],
    read: u8,
    write: u8,
    operations: Vec<Operation>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Operation {
    code: u8,
    kind: u8,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Command {
    /// The command in the body of a record message; `None` if it is not a
    /// command on one record.
    pub fn parse(body: &[u8]) -> Option<Command> {
        let (fixed, mut rest) = body.split_at_checked(FIXED)?;
        let count = |at: usize| u16::from_be_bytes([fixed[at], fixed[at + 1]]);
        let mut digest = None;
        let mut command = Command::new(fixed[1], fixed[2]);
        command.take(&mut rest, count(18), count(20), |kind, data| {
            if kind == DIGEST {
                digest = data.try_into().ok();
            }
        })?;
        command.digest = digest?;
        Some(command)
    }

    /// A command with those attributes, on no record yet.
    pub fn new(read: u8, write: u8) -> Command {
        Command {
            namespace: String::new(),
            set: String::new(),
            digest: [0; 20],
            read,
            write,
            operations: Vec::new(),
        }
    }

    /// Takes that many fields and operations, and hands each field that is neither the
    /// namespace nor the set on.
    pub fn take<'a>(
        &mut self,
        rest: &mut &'a [u8],
        fields: u16,
        operations: u16,
        mut other: impl FnMut(u8, &'a [u8]),
    ) -> Option<()> {
        for _ in 0..fields {
            let (&kind, data) = sized(rest)?.split_first()?;
            match kind {
                0 => self.namespace = String::from_utf8_lossy(data).into_owned(),
                1 => self.set = String::from_utf8_lossy(data).into_owned(),
                _ => other(kind, data),
            }
        }
        for _ in 0..operations {
            let (&[code, kind, _, length], data) = sized(rest)?.split_first_chunk()?;
            let (name, value) = data.split_at_checked(usize::from(length))?;
            self.operations.push(Operation {
                code,
                kind,
                name: name.to_vec(),
                value: value.to_vec(),
            });
        }
        Some(())
    }

    /// What it does.
    pub fn kind(&self) -> RecordKind {
        if self.write & DELETE != 0 {
            RecordKind::Delete
        } else if self.write & WRITE != 0 {
            RecordKind::Write
        } else if self.read & READ_NO_BINS != 0 {
            RecordKind::Exists
        } else {
            RecordKind::Read
        }
    }

    fn reads(&self, name: &[u8]) -> bool {
        let wanted = |operation: &Operation| operation.code == 1 && operation.name == name;
        self.read & READ_ALL != 0 || self.operations.iter().any(wanted)
    }
}

/// Takes a length of four bytes and the bytes after it.
fn sized<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (part, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = after;
    Some(part)
}

#[derive(Debug, Default)]
struct StoredRecord {
    generation: u32,
    /// For each bin name, the type and the bytes of the value.
    bins: BTreeMap<Vec<u8>, (u8, Vec<u8>)>,
}

/// The records of the cluster.
#[derive(Debug, Default)]
pub(super) struct RecordStore {
    records: HashMap<(String, [u8; 20]), StoredRecord>,
}

impl RecordStore {
    /// Executes a command and returns the body of the reply.
    pub fn execute(&mut self, command: &Command) -> Vec<u8> {
        let key = (command.namespace.clone(), command.digest);
        match command.kind() {
            RecordKind::Delete => match self.records.remove(&key) {
                Some(_) => reply(OK, 0, &[]),
                None => reply(NOT_FOUND, 0, &[]),
            },
            RecordKind::Write => {
                let record = self.records.entry(key).or_default();
                record.generation += 1;
                for operation in command.operations.iter().filter(|operation| operation.code == 2) {
                    let value = (operation.kind, operation.value.clone());
                    match operation.kind {
                        0 => record.bins.remove(&operation.name),
                        _ => record.bins.insert(operation.name.clone(), value),
                    };
                }
                let bins =
                    if command.read & READ != 0 { wanted(record, command) } else { Vec::new() };
                reply(OK, record.generation, &bins)
            }
            RecordKind::Exists | RecordKind::Read => match self.records.get(&key) {
                None => reply(NOT_FOUND, 0, &[]),
                Some(record) if command.kind() == RecordKind::Exists => {
                    reply(OK, record.generation, &[])
                }
                Some(record) => reply(OK, record.generation, &wanted(record, command)),
            },
        }
    }
}

fn wanted(record: &StoredRecord, command: &Command) -> Vec<Vec<u8>> {
    let bins = record.bins.iter().filter(|(name, _)| command.reads(name));
    bins.map(|(name, (kind, value))| {
        let length = (4 + name.len() + value.len()) as u32;
        let head = [1, *kind, 0, name.len() as u8];
        [&length.to_be_bytes()[..], &head, name, value].concat()
    })
    .collect()
}

fn reply(result: u8, generation: u32, bins: &[Vec<u8>]) -> Vec<u8> {
    let mut body = vec![0; FIXED];
    body[0] = FIXED as u8;
    body[5] = result;
    body[6..10].copy_from_slice(&generation.to_be_bytes());
    body[20..22].copy_from_slice(&(bins.len() as u16).to_be_bytes());
    body.extend(bins.iter().flatten());
    body
}

/// The reply to a message that is not a command on a single record.
pub(super) fn refusal() -> Vec<u8> {
    reply(PARAMETER, 0, &[])
}

/// The reply to a client without permission.
pub(super) fn forbidden(code: u8) -> Vec<u8> {
    reply(code, 0, &[])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(read: u8, write: u8, operations: &[(u8, u8, &str, &[u8])]) -> Vec<u8> {
        let mut body = vec![0; FIXED];
        body[1] = read;
        body[2] = write;
        body[19] = 2;
        body[21] = operations.len() as u8;
        for (kind, data) in [(0, &b"test"[..]), (4, &[7; 20])] {
            body.extend((data.len() as u32 + 1).to_be_bytes());
            body.push(kind);
            body.extend(data);
        }
        for (code, kind, name, value) in operations {
            body.extend((4 + name.len() as u32 + value.len() as u32).to_be_bytes());
            body.extend([*code, *kind, 0, name.len() as u8]);
            body.extend(name.as_bytes());
            body.extend(*value);
        }
        body
    }

    #[test]
    fn what_was_put_comes_back_until_it_is_removed() {
        let mut store = RecordStore::default();
        let mut run = |body: &[u8]| store.execute(&Command::parse(body).unwrap());
        let get = message(READ | READ_ALL, 0, &[]);
        assert_eq!(run(&get)[5], NOT_FOUND);
        let put = run(&message(0, WRITE, &[(2, 3, "a", b"xyz"), (2, 1, "b", &[0; 8])]));
        assert_eq!((put[5], put[9], put.len()), (OK, 1, FIXED));
        let got = run(&get);
        assert_eq!((got[5], got[21]), (OK, 2));
        assert_eq!(got[FIXED..][..12], *b"\0\0\0\x08\x01\x03\0\x01axyz");
        let one = run(&message(READ, 0, &[(1, 0, "b", b"")]));
        assert_eq!((one[21], one.len()), (1, FIXED + 4 + 4 + 1 + 8));
        assert_eq!(run(&message(READ | READ_NO_BINS, 0, &[])).len(), FIXED);
        assert_eq!(run(&message(0, WRITE | DELETE, &[]))[5], OK);
        assert_eq!(run(&get)[5], NOT_FOUND);
    }

    #[test]
    fn a_message_cut_short_is_no_command() {
        let whole = message(0, WRITE, &[(2, 3, "a", b"xyz")]);
        assert!(Command::parse(&whole).is_some());
        for length in 0..whole.len() {
            assert_eq!(Command::parse(&whole[..length]), None, "{length} of {}", whole.len());
        }
    }
}
