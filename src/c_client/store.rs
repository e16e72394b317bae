//! Stores into a segment, and the memory that takes them.

use super::words::{put, u32_at};

/// A store. A plan is a list of them, to be made in that order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Store {
    /// Where: bytes from the start of the segment, aligned to the size of the value.
    pub offset: usize,
    /// What.
    pub value: Value,
}

/// What is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// One byte.
    U8(u8),
    /// One word.
    U32(u32),
    /// One long word.
    U64(u64),
    /// A slot or a table that no follower looks at yet. Its words may be stored in any
    /// order; their number and their offset are multiples of 4 bytes.
    Body(Box<[u8]>),
    /// These bits of a u32 become 0, the others stay as they are, in one step: clients
    /// count in the same word.
    Clear(u32),
}

/// Memory that is shared with clients.
///
/// Each method but [`fill`](Self::fill) is one access of that size. It is a Release, so
/// that a follower that sees it sees all earlier ones; it pairs with the follower's load of
/// the same field.
pub trait Memory {
    /// Stores a byte (Release).
    fn store_u8(&self, offset: usize, value: u8);
    /// Stores a word (Release).
    fn store_u32(&self, offset: usize, value: u32);
    /// Stores a long word (Release).
    fn store_u64(&self, offset: usize, value: u64);
    /// Stores words in any order (Relaxed): what comes later publishes them.
    fn fill(&self, offset: usize, bytes: &[u8]);
    /// Makes these bits of a word 0 with one read-modify-write (Release).
    fn clear(&self, offset: usize, bits: u32);
}

impl Store {
    pub(super) const fn u8(offset: usize, value: u8) -> Store {
        Store { offset, value: Value::U8(value) }
    }

    pub(super) const fn u32(offset: usize, value: u32) -> Store {
        Store { offset, value: Value::U32(value) }
    }

    pub(super) fn body(offset: usize, bytes: &[u8]) -> Store {
        Store { offset, value: Value::Body(bytes.into()) }
    }

    /// Makes the store.
    pub fn apply(&self, memory: &impl Memory) {
        match &self.value {
            Value::U8(value) => memory.store_u8(self.offset, *value),
            Value::U32(value) => memory.store_u32(self.offset, *value),
            Value::U64(value) => memory.store_u64(self.offset, *value),
            Value::Body(bytes) => memory.fill(self.offset, bytes),
            Value::Clear(bits) => memory.clear(self.offset, *bits),
        }
    }

    /// How many bytes it reaches.
    #[must_use]
    pub fn bytes(&self) -> usize {
        match &self.value {
            Value::U8(_) => 1,
            Value::U32(_) | Value::Clear(_) => 4,
            Value::U64(_) => 8,
            Value::Body(bytes) => bytes.len(),
        }
    }

    /// Makes the store in a copy of the segment.
    pub fn put(&self, image: &mut [u8]) {
        match &self.value {
            Value::U8(value) => put(image, self.offset, &[*value]),
            Value::U32(value) => put(image, self.offset, &value.to_ne_bytes()),
            Value::U64(value) => put(image, self.offset, &value.to_ne_bytes()),
            Value::Body(bytes) => put(image, self.offset, bytes),
            Value::Clear(bits) => {
                let rest = u32_at(image, self.offset) & !bits;
                put(image, self.offset, &rest.to_ne_bytes());
            }
        }
    }
}
