//! From a record to the blocks that are hashed for it.

use core::hint::select_unpredictable;

use super::compress::Words;
use crate::route::key::Key;

/// A message block in bytes.
const BLOCK: usize = 64;
/// The longest message that has one block: a one bit and the length follow it.
pub(super) const ONE_BLOCK: usize = BLOCK - 9;

/// What is hashed for a record: its set's name, the type of its key, the key.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    set: &'a [u8],
    kind: u8,
    value: Value<'a>,
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// What follows a message: a one bit.
const END: u8 = 0x80;
/// The first of the two words that hold a message's length in bits.
const LENGTH: usize = 14;

/// The number of a key's type in the wire protocol.
#[inline(always)]
pub(super) fn kind(key: Key<'_>) -> u8 {
    match key {
        Key::Integer(_) => 1,
        Key::Double(_) => 2,
        Key::Str(_) => 3,
        Key::Bytes(_) => 4,
    }
}

impl<'a> Message<'a> {
    #[inline(always)]
    pub fn new(set: &'a str, key: Key<'a>) -> Message<'a> {
        let value = match key {
            Key::Integer(value) => Value::Number(value as u64),
            Key::Double(value) => Value::Number(value.to_bits()),
            Key::Str(value) => Value::Bytes(value.as_bytes()),
            Key::Bytes(value) => Value::Bytes(value),
        };
        Message { set: set.as_bytes(), kind: kind(key), value }
    }

    #[inline(always)]
    fn len(&self) -> usize {
        let value = match self.value {
            Value::Number(_) => 8,
            Value::Bytes(bytes) => bytes.len(),
        };
        self.set.len() + 1 + value
    }

    /// Where its value begins, in bytes.
    pub fn value_at(&self) -> usize {
        self.set.len() + 1
    }

    /// How many blocks it has.
    #[inline(always)]
    pub fn blocks(&self) -> usize {
        self.len() / BLOCK + if self.len() % BLOCK > ONE_BLOCK { 2 } else { 1 }
    }

    /// Puts its only block into words that are zero, each by its index.
    #[inline(always)]
    pub fn put_one(&self, put: impl FnMut(usize, u32)) {
        let mut packer = Packer { at: 0, bits: 0, held: 0, put };
        packer.bytes_and(self.set, self.kind);
        self.put_value(packer);
    }

    #[inline(always)]
    fn put_value(&self, mut packer: Packer<impl FnMut(usize, u32)>) {
        debug_assert!(self.len() <= ONE_BLOCK);
        match self.value {
            Value::Number(value) => {
                // Big-endian on the wire, and words are little-endian.
                packer.push(value.swap_bytes(), 8);
                packer.push(END.into(), 1);
            }
            Value::Bytes(bytes) => packer.bytes_and(bytes, END),
        }
        packer.flush();
        (packer.put)(LENGTH, self.len() as u32 * 8);
    }

    /// Puts one of its blocks; the last one has the length.
    #[inline(never)]
    pub fn put(&self, number: usize, mut put: impl FnMut(usize, u32)) {
        let mut block = [0; BLOCK];
        let start = number * BLOCK;
        let mut at = 0;
        let mut add = |part: &[u8]| {
            let range = at..at + part.len();
            let from = start.clamp(range.start, range.end);
            let to = (start + BLOCK).clamp(range.start, range.end);
            if from < to {
                block[from - start..to - start].copy_from_slice(&part[from - at..to - at]);
            }
            at = range.end;
        };
        add(self.set);
        add(&[self.kind]);
        match self.value {
            Value::Number(value) => add(&value.to_be_bytes()),
            Value::Bytes(bytes) => add(bytes),
        }
        add(&[END]);
        if number + 1 == self.blocks() {
            block[LENGTH * 4..].copy_from_slice(&(self.len() as u64 * 8).to_le_bytes());
        }
        for (at, bytes) in block.as_chunks().0.iter().enumerate() {
            put(at, u32::from_le_bytes(*bytes));
        }
    }
}

/// What all keys of one type in one set begin with.
pub(super) struct Prefix {
    /// A block with nothing else.
    pub words: Words,
    packed: Packer<()>,
}

impl Prefix {
    /// `None` if it leaves no room for a key in a block.
    pub fn new(set: &str, kind: u8) -> Option<Prefix> {
        if set.len() + 1 >= ONE_BLOCK {
            return None;
        }
        let mut words = [0; 16];
        let put = |at: usize, word| words[at] = word;
        let mut packer = Packer { at: 0, bits: 0, held: 0, put };
        packer.bytes_and(set.as_bytes(), kind);
        packer.flush();
        let packed = Packer { at: packer.at, bits: packer.bits, held: packer.held, put: () };
        Some(Prefix { words, packed })
    }

    /// Puts the rest of the only block of a message that begins with it into
    /// words that hold it.
    #[inline(always)]
    pub fn put_rest(&self, message: &Message<'_>, put: impl FnMut(usize, u32)) {
        let Packer { at, bits, held, .. } = self.packed;
        message.put_value(Packer { at, bits, held, put });
    }
}

/// Joins bytes to words, two at a time.
///
/// They are joined in registers: bytes that were just stored one by one could
/// not be loaded as words without a wait.
#[derive(Clone, Copy)]
struct Packer<F> {
    /// The first of the two words that are being filled,
    at: usize,
    /// their bits so far,
    bits: u64,
    /// and how many there are: a multiple of 8, below 64.
    held: u32,
    put: F,
}

impl<F: FnMut(usize, u32)> Packer<F> {
    /// Appends `count` bytes (1 to 8), the lowest first; the others are zero.
    #[inline(always)]
    fn push(&mut self, bytes: u64, count: u32) {
        // Put even if it is not full: it is cheaper to do again than to ask.
        let bits = self.bits | bytes << self.held;
        self.put(bits);
        let held = self.held + 8 * count;
        let full = held >= 64;
        self.at += if full { 2 } else { 0 };
        // By two shifts, for all 64 bits may be taken.
        let carried = bytes >> 8 >> (56 - self.held);
        // Lengths are mixed: a branch would be foretold wrongly.
        self.bits = select_unpredictable(full, carried, bits);
        self.held = held % 64;
    }

    /// Puts what has not filled its words.
    #[inline(always)]
    fn flush(&mut self) {
        self.put(self.bits);
    }

    #[inline(always)]
    fn put(&mut self, bits: u64) {
        (self.put)(self.at, bits as u32);
        (self.put)(self.at + 1, (bits >> 32) as u32);
    }

    /// Appends bytes and one more.
    #[inline(always)]
    fn bytes_and(&mut self, bytes: &[u8], end: u8) {
        let (pieces, rest) = bytes.as_chunks();
        for piece in pieces {
            self.push(u64::from_le_bytes(*piece), 8);
        }
        let end = u64::from(end) << (8 * rest.len());
        self.push(tail(bytes, rest) | end, rest.len() as u32 + 1);
    }
}

/// The last bytes of `bytes`, the 0 to 7 of `rest`, as one number.
#[inline(always)]
fn tail(bytes: &[u8], rest: &[u8]) -> u64 {
    // Where there are too few, the first and the last overlap in the middle.
    let shift = |of: usize| 8 * (rest.len() - of) as u32;
    if let Some(last) = bytes.last_chunk() {
        // By two shifts, for there may be none.
        u64::from_le_bytes(*last) >> 8 >> (56 - shift(0))
    } else if let (Some(first), Some(last)) = (rest.first_chunk(), rest.last_chunk()) {
        u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << shift(4)
    } else if let (Some(first), Some(last)) = (rest.first_chunk(), rest.last_chunk()) {
        u64::from(u16::from_le_bytes(*first)) | u64::from(u16::from_le_bytes(*last)) << shift(2)
    } else {
        rest.first().map_or(0, |byte| (*byte).into())
    }
}
