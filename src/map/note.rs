//! A number, a time and a text beside the frames.
//!
//! A note is part of no publication: it changes independently of the map, and
//! only `status` reads it. It may therefore be torn, or be about another
//! subject; its checksum, which includes the subject, detects both.

use std::sync::atomic::{AtomicU64, Ordering};

use super::records::{pack, unpack};
use crate::layout::{BYTES_PER_WORD, hash_words};
use crate::protocol::{PAYLOAD_MASK, Word};

/// The number of words before the text: `number:32 | text_len:16`, the
/// checksum, the time.
const PREFIX: usize = 3;

/// The content of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub number: u32,
    /// CLOCK_BOOTTIME in ms; 0 = never.
    pub at_ms: u64,
    /// The text, printable.
    pub text: String,
}

/// A text as a record of that many words can hold it: unprintable characters
/// are escaped, and a text that is too long is truncated.
pub fn printable(text: &str, words: usize) -> String {
    let mut out = String::new();
    for character in text.chars() {
        let end = out.len();
        match character {
            ' '..='~' => out.push(character),
            other => out.extend(other.escape_default()),
        }
        if out.len() > (words - PREFIX) * BYTES_PER_WORD {
            out.truncate(end);
            break;
        }
    }
    out
}

impl Note {
    /// The payloads of the record about `of`; words beyond them are unused.
    pub fn payloads(&self, of: &str) -> Vec<u64> {
        let text = self.text.as_bytes();
        let mut payloads = vec![0; PREFIX + text.len().div_ceil(BYTES_PER_WORD)];
        payloads[0] = u64::from(self.number) << 16 | text.len() as u64;
        payloads[2] = self.at_ms & PAYLOAD_MASK;
        pack(text, &mut payloads[PREFIX..]);
        payloads[1] = checksum(of, &payloads);
        payloads
    }

    /// Reads a record about `of`; `None` if it is torn, damaged or about
    /// another subject. `tag` decides which words are valid.
    pub fn read(record: &[AtomicU64], of: &str, tag: impl Fn(u16) -> bool) -> Option<Note> {
        let load = |word: &AtomicU64| {
            // Relaxed: the checksum shows which words belong together.
            let word = Word::from_bits(word.load(Ordering::Relaxed));
            (word.tag() != 0 && tag(word.tag())).then(|| word.payload())
        };
        let first = load(record.first()?)?;
        let len = (first & 0xffff) as usize;
        let record = record.get(..PREFIX + len.div_ceil(6))?;
        let payloads = record.iter().map(load).collect::<Option<Vec<u64>>>()?;
        if payloads[0] != first || payloads[1] != checksum(of, &payloads) {
            return None;
        }
        let mut bytes = vec![0; len];
        unpack(&payloads[PREFIX..], len, &mut bytes)?;
        let text = String::from_utf8(bytes).ok()?;
        // A checksum detects accidents, not an attacker that computes it.
        let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let number = u32::try_from(first >> 16).ok().filter(|_| printable)?;
        Some(Note { number, at_ms: payloads[2], text })
    }
}

/// Over all words except its own, and the subject of the record.
fn checksum(of: &str, payloads: &[u64]) -> u64 {
    let mut words = vec![0; of.len().div_ceil(6).max(4)];
    pack(of.as_bytes(), &mut words);
    words.push(payloads[0]);
    words.extend(&payloads[2..]);
    hash_words(&words) & PAYLOAD_MASK
}
