//! What can be routed: a partition, a digest, or a record given by set and key.

use super::digest::Digest;
use super::key::Key;

/// Something that belongs to one partition.
///
/// A program that has types of its own for records can route them directly:
///
/// ```
/// use tendmap::route::{Digest, Target};
///
/// struct User(i64);
///
/// impl Target for User {
///     fn partition(&self, partitions: usize) -> usize {
///         Digest::of("users", self.0).partition(partitions)
///     }
/// }
///
/// assert_eq!(User(42).partition(4096), Digest::of("users", 42).partition(4096));
/// ```
pub trait Target {
    /// The partition, of `partitions` (a power of two).
    fn partition(&self, partitions: usize) -> usize;
}

/// A partition by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::exhaustive_structs, reason = "a number with a name")]
pub struct Partition(pub usize);

impl Target for Partition {
    #[inline(always)]
    fn partition(&self, _: usize) -> usize {
        self.0
    }
}

impl Target for Digest {
    #[inline]
    fn partition(&self, partitions: usize) -> usize {
        Digest::partition(*self, partitions)
    }
}

/// A record, given by set and key.
///
/// ```
/// use tendmap::{Key, Record};
///
/// assert_eq!(Record::new("users", 42), Record { set: "users", key: Key::Integer(42) });
/// let without_set = Record::new("", "session-7");
/// # let _ = without_set;
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(clippy::exhaustive_structs, reason = "a set and a key, and nothing else")]
pub struct Record<'a> {
    /// The set's name; empty = no set.
    pub set: &'a str,
    /// The key.
    pub key: Key<'a>,
}

impl<'a> Record<'a> {
    /// The record of that key in that set.
    pub fn new(set: &'a str, key: impl Into<Key<'a>>) -> Record<'a> {
        Record { set, key: key.into() }
    }
}

impl Target for Record<'_> {
    #[inline(always)]
    fn partition(&self, partitions: usize) -> usize {
        Digest::of(self.set, self.key).partition(partitions)
    }
}
