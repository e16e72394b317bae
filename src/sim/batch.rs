//! Batches: one message with commands on many records, answered one by one.

use super::record::{Command, FIXED};

/// The field that holds the commands of a batch.
const BATCH: u8 = 41;
/// Bits of the byte that precedes a command: it is as the one before, and what follows.
const REPEAT: u8 = 1;
const ATTRIBUTES: u8 = 2;
const GENERATION: u8 = 4;
const LIFETIME: u8 = 8;
const MORE_ATTRIBUTES: u8 = 16;
/// Where a reply has its third byte of attributes and the number of its command.
const INFO3: usize = 3;
const NUMBER: usize = 14;
/// The attribute of the reply that ends a batch.
const LAST: u8 = 1;

/// The commands of a batch, each with its number; `None` if the message is none.
pub(super) fn parse(body: &[u8]) -> Option<Vec<(u32, Command)>> {
    let (fixed, mut rest) = body.split_at_checked(FIXED)?;
    let fields = u16::from_be_bytes([fixed[18], fixed[19]]);
    let mut batch = None;
    Command::new(0, 0).take(&mut rest, fields, 0, |kind, data| {
        if kind == BATCH {
            batch = Some(data);
        }
    })?;
    let mut rest = batch?;
    let count = u32::from_be_bytes(take(&mut rest)?);
    let [_flags] = take(&mut rest)?;
    let mut commands: Vec<(u32, Command)> = Vec::new();
    for _ in 0..count {
        let number = u32::from_be_bytes(take(&mut rest)?);
        let digest = take(&mut rest)?;
        let [flags] = take(&mut rest)?;
        let mut command = match flags & REPEAT {
            0 => one(flags, &mut rest)?,
            _ => commands.last()?.1.clone(),
        };
        command.digest = digest;
        commands.push((number, command));
    }
    Some(commands)
}

/// A command that is written out.
fn one(flags: u8, rest: &mut &[u8]) -> Option<Command> {
    let [read] = take(rest)?;
    let mut write = 0;
    if flags & ATTRIBUTES != 0 {
        [write, _] = take(rest)?;
    }
    let skipped = [(MORE_ATTRIBUTES, 1), (GENERATION, 2), (LIFETIME, 4)];
    for (_, length) in skipped.iter().filter(|(bit, _)| flags & bit != 0) {
        *rest = rest.split_at_checked(*length)?.1;
    }
    let mut command = Command::new(read, write);
    let (fields, operations) = (u16::from_be_bytes(take(rest)?), u16::from_be_bytes(take(rest)?));
    command.take(rest, fields, operations, |_, _| {})?;
    Some(command)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (part, after) = rest.split_first_chunk::<N>()?;
    *rest = after;
    Some(*part)
}

/// The reply to a batch: those to its commands, with their numbers, and an end.
pub(super) fn reply(replies: impl Iterator<Item = (u32, Vec<u8>)>) -> Vec<u8> {
    let mut body = Vec::new();
    for (number, mut reply) in replies {
        reply[NUMBER..NUMBER + 4].copy_from_slice(&number.to_be_bytes());
        body.append(&mut reply);
    }
    let mut end = [0; FIXED];
    (end[0], end[INFO3]) = (FIXED as u8, LAST);
    body.extend(end);
    body
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::status::RecordKind;

    fn sized(kind: u8, data: &[u8]) -> Vec<u8> {
        [&(data.len() as u32 + 1).to_be_bytes()[..], &[kind], data].concat()
    }

    /// As a client writes it: a read that is written out, the same for another record,
    /// and a write.
    fn message() -> Vec<u8> {
        let names = [sized(0, b"test"), sized(1, b"demo")].concat();
        let mut batch = vec![0, 0, 0, 3, 0];
        batch.extend([&[0, 0, 0, 7][..], &[1; 20], &[ATTRIBUTES | LIFETIME, 3, 0, 0]].concat());
        batch.extend([&[0; 4][..], &[0, 2, 0, 0], &names].concat());
        batch.extend([&[0, 0, 0, 8][..], &[2; 20], &[REPEAT]].concat());
        let flags = ATTRIBUTES | GENERATION | LIFETIME;
        batch.extend([&[0, 0, 0, 9][..], &[3; 20], &[flags, 0, 1, 0]].concat());
        batch.extend([&[0; 6][..], &[0, 2, 0, 1], &names].concat());
        batch.extend([&[0, 0, 0, 13][..], &[2, 1, 0, 1], b"a", &[0; 8]].concat());
        let mut body = vec![0; FIXED];
        (body[0], body[1], body[19]) = (FIXED as u8, 8, 1);
        body.extend(sized(BATCH, &batch));
        body
    }

    #[test]
    fn each_command_has_its_number_its_record_and_what_it_does() {
        let commands = parse(&message()).unwrap();
        let found: Vec<_> = commands
            .iter()
            .map(|(number, command)| (*number, command.digest, command.kind(), &*command.set))
            .collect();
        let wanted = [
            (7, [1; 20], RecordKind::Read, "demo"),
            (8, [2; 20], RecordKind::Read, "demo"),
            (9, [3; 20], RecordKind::Write, "demo"),
        ];
        assert_eq!(found, wanted);
        assert!(commands.iter().all(|(_, command)| command.namespace == "test"));
    }

    #[test]
    fn a_message_cut_short_is_no_batch() {
        let whole = message();
        for length in 0..whole.len() {
            assert_eq!(parse(&whole[..length]), None, "{length} of {}", whole.len());
        }
    }

    #[test]
    fn the_reply_ends_with_the_last_message() {
        let replies = [(7, vec![0; FIXED]), (9, vec![0; FIXED + 5])];
        let body = reply(replies.into_iter());
        assert_eq!(body.len(), 3 * FIXED + 5);
        assert_eq!(body[NUMBER..NUMBER + 4], [0, 0, 0, 7]);
        assert_eq!(body[FIXED + NUMBER..][..4], [0, 0, 0, 9]);
        assert_eq!(body[2 * FIXED + 5 + INFO3], LAST);
    }
}
