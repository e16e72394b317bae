//! A number, a time and a text beside the frames.
//!
//! A note is no part of any publication: it changes while nothing else does,
//! and only `status` reads it. It may therefore be torn, or be about something
//! else; its checksum, which takes in what it is about, shows that.

use std::sync::atomic::{AtomicU64, Ordering};

use super::records::{pack, unpack};
use crate::layout::{BYTES_PER_WORD, hash_words};
use crate::protocol::{PAYLOAD_MASK, Word};

/// Words before the text: `number:32 | text_len:16`, the checksum, the time.
const PREFIX: usize = 3;

/// What one record holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub number: u32,
    /// CLOCK_BOOTTIME in ms; 0 = never.
    pub at_ms: u64,
    /// Printable.
    pub text: String,
}

/// A text as a record of so many words can hold it: what is not printable is
/// escaped, what is too long is cut.
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
    /// Its payloads in the record about `of`; words beyond them mean nothing.
    pub fn payloads(&self, of: &str) -> Vec<u64> {
        let text = self.text.as_bytes();
        let mut payloads = vec![0; PREFIX + text.len().div_ceil(BYTES_PER_WORD)];
        payloads[0] = u64::from(self.number) << 16 | text.len() as u64;
        payloads[2] = self.at_ms & PAYLOAD_MASK;
        pack(text, &mut payloads[PREFIX..]);
        payloads[1] = checksum(of, &payloads);
        payloads
    }

    /// What a record about `of` says; `None` if it is torn, damaged or about
    /// something else. `tag` says which words count.
    pub fn read(record: &[AtomicU64], of: &str, tag: impl Fn(u16) -> bool) -> Option<Note> {
        let load = |word: &AtomicU64| {
            // Relaxed: the checksum shows what belongs together.
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
        // A checksum keeps out accidents, not those who compute one.
        let printable = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let number = u32::try_from(first >> 16).ok().filter(|_| printable)?;
        Some(Note { number, at_ms: payloads[2], text })
    }
}

/// Over all but the word that it is put into, and what the record is about.
fn checksum(of: &str, payloads: &[u64]) -> u64 {
    let mut words = vec![0; of.len().div_ceil(6).max(4)];
    pack(of.as_bytes(), &mut words);
    words.push(payloads[0]);
    words.extend(&payloads[2..]);
    hash_words(&words) & PAYLOAD_MASK
}
