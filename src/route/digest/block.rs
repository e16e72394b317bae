//! Converts a record to the blocks that are hashed for it.

use core::hint::select_unpredictable;

use super::compress::Words;
use crate::route::key::Key;

/// The size of a message block in bytes.
const BLOCK: usize = 64;
/// The longest message that fits in one block: a one bit and the length follow
/// it.
pub(super) const ONE_BLOCK: usize = BLOCK - 9;

/// The input of the hash for a record: the set's name, the type of the key, the
/// key.
#[derive(Clone, Copy)]
pub(super) struct HashInput<'a> {
    set: &'a [u8],
    kind: u8,
    value: Value<'a>,
}

#[derive(Clone, Copy)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The end of a message: a one bit.
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

impl<'a> HashInput<'a> {
    #[inline(always)]
    pub fn new(set: &'a str, key: Key<'a>) -> HashInput<'a> {
        let value = match key {
            Key::Integer(value) => Value::Number(value as u64),
            Key::Double(value) => Value::Number(value.to_bits()),
            Key::Str(value) => Value::Bytes(value.as_bytes()),
            Key::Bytes(value) => Value::Bytes(value),
        };
        HashInput { set: set.as_bytes(), kind: kind(key), value }
    }

    #[inline(always)]
    fn len(&self) -> usize {
        let value = match self.value {
            Value::Number(_) => 8,
            Value::Bytes(bytes) => bytes.len(),
        };
        self.set.len() + 1 + value
    }

    /// The offset of the key's value in bytes.
    pub fn value_at(&self) -> usize {
        self.set.len() + 1
    }

    /// The number of blocks.
    #[inline(always)]
    pub fn blocks(&self) -> usize {
        self.len() / BLOCK + if self.len() % BLOCK > ONE_BLOCK { 2 } else { 1 }
    }

    /// Stores the only block into words that are zero, each by its index.
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
                // Big-endian on the wire, but words are little-endian.
                packer.push(value.swap_bytes(), 8);
                packer.push(END.into(), 1);
            }
            Value::Bytes(bytes) => packer.bytes_and(bytes, END),
        }
        packer.flush();
        (packer.put)(LENGTH, self.len() as u32 * 8);
    }

    /// Stores one of the blocks; the last one includes the length.
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

/// The common start of the messages of all keys of one type in one set.
pub(super) struct Prefix {
    /// A block with only the prefix.
    pub words: Words,
    packed: Packer<()>,
}

impl Prefix {
    /// `None` if the prefix leaves no room for a key in a block.
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

    /// Stores the rest of a one-block message into words that already hold the
    /// prefix.
    #[inline(always)]
    pub fn put_rest(&self, message: &HashInput<'_>, put: impl FnMut(usize, u32)) {
        let Packer { at, bits, held, .. } = self.packed;
        message.put_value(Packer { at, bits, held, put });
    }
}

/// Packs bytes into words, two words at a time.
///
/// This happens in registers: a load of words right after single-byte stores to
/// them would stall.
#[derive(Clone, Copy)]
struct Packer<F> {
    /// The index of the first of the two words that are being filled.
    at: usize,
    /// Their bits so far.
    bits: u64,
    /// The number of those bits: a multiple of 8, below 64.
    held: u32,
    put: F,
}

impl<F: FnMut(usize, u32)> Packer<F> {
    /// Appends `count` bytes (1 to 8), the lowest first; the other bytes are
    /// zero.
    #[inline(always)]
    fn push(&mut self, bytes: u64, count: u32) {
        // Stored even if the words are not full: storing them again later is
        // cheaper than a branch.
        let bits = self.bits | bytes << self.held;
        self.put(bits);
        let held = self.held + 8 * count;
        let full = held >= 64;
        self.at += if full { 2 } else { 0 };
        // Two shifts, because the shift count may be 64.
        let carried = bytes >> 8 >> (56 - self.held);
        // Lengths are mixed, so a branch would be mispredicted.
        self.bits = select_unpredictable(full, carried, bits);
        self.held = held % 64;
    }

    /// Stores the bits that have not filled their words.
    #[inline(always)]
    fn flush(&mut self) {
        self.put(self.bits);
    }

    #[inline(always)]
    fn put(&mut self, bits: u64) {
        (self.put)(self.at, bits as u32);
        (self.put)(self.at + 1, (bits >> 32) as u32);
    }

    /// Appends bytes, and one more byte.
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

/// The last 0 to 7 bytes of `bytes`, which are `rest`, as a number.
#[inline(always)]
fn tail(bytes: &[u8], rest: &[u8]) -> u64 {
    // If there are few bytes, the first and the last ones overlap in the middle.
    let shift = |of: usize| 8 * (rest.len() - of) as u32;
    if let Some(last) = bytes.last_chunk() {
        // Two shifts, because there may be no bytes.
        u64::from_le_bytes(*last) >> 8 >> (56 - shift(0))
    } else if let (Some(first), Some(last)) = (rest.first_chunk(), rest.last_chunk()) {
        u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << shift(4)
    } else if let (Some(first), Some(last)) = (rest.first_chunk(), rest.last_chunk()) {
        u64::from(u16::from_le_bytes(*first)) | u64::from(u16::from_le_bytes(*last)) << shift(2)
    } else {
        rest.first().map_or(0, |byte| (*byte).into())
    }
}
