//! Many keys, in the forms in which callers have them.

use super::block::{self, HashInput, Prefix};
use super::lanes::Lanes;
use super::{Digest, many};
use crate::route::key::Key;
use crate::route::target::Record;

/// Many records, each identified by its digest: a slice of [`Record`]s, the
/// keys of one set ([`InSet`]), or a slice of precomputed [`Digest`]s. No other
/// type can implement it.
///
/// ```
/// use tendmap::Record;
/// use tendmap::route::{Digest, InSet, Keys};
///
/// let mixed = [Record::new("users", 42), Record::new("orders", "2026-1")];
/// assert_eq!(mixed[..].len(), 2);
/// assert_eq!(Keys::len(&InSet::new("users", &["ann", "bob", "eve"])), 3);
/// assert_eq!(Keys::len(&[Digest::of("users", 42)][..]), 1);
/// ```
#[allow(clippy::len_without_is_empty, reason = "only the number is asked for")]
pub trait Keys: sealed::Digests {
    /// The number of records.
    fn len(&self) -> usize;
}

pub use sealed::Digests;

/// The method of [`Keys`] that is hidden from users.
mod sealed {
    use super::{Digest, Lanes};

    /// Digests, computed in the lanes of the machine.
    pub trait Digests {
        /// Writes the digests in order. [`Digest::many`] calls it with a slice of
        /// the right length.
        fn digest(&self, lanes: Lanes, digests: &mut [Digest]);
    }
}

/// Keys of one type in one set. Slices of numbers are fastest.
///
/// ```
/// use tendmap::route::InSet;
///
/// let users = InSet::new("users", &["ann", "bob"]);
/// let orders = InSet::new("orders", &[17_i64, 4711]);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct InSet<'a, K> {
    set: &'a str,
    keys: &'a [K],
}

impl<'a, K> InSet<'a, K> {
    /// These keys in that set; the empty one = none.
    pub const fn new(set: &'a str, keys: &'a [K]) -> InSet<'a, K> {
        InSet { set, keys }
    }
}

/// A type that can be a key when many keys are given at once.
pub trait AsKey {
    /// The key.
    fn as_key(&self) -> Key<'_>;
}

macro_rules! as_key {
    ($($type:ty),* $(,)?) => {$(
        impl AsKey for $type {
            #[inline(always)]
            fn as_key(&self) -> Key<'_> {
                Key::from(*self)
            }
        }
    )*};
}

as_key!(i8, i16, i32, i64, u8, u16, u32, f32, f64, &str, &[u8]);

impl AsKey for String {
    #[inline(always)]
    fn as_key(&self) -> Key<'_> {
        Key::Str(self)
    }
}

impl AsKey for Vec<u8> {
    #[inline(always)]
    fn as_key(&self) -> Key<'_> {
        Key::Bytes(self)
    }
}

impl<const N: usize> AsKey for [u8; N] {
    #[inline(always)]
    fn as_key(&self) -> Key<'_> {
        Key::Bytes(self)
    }
}

impl AsKey for Key<'_> {
    #[inline(always)]
    fn as_key(&self) -> Key<'_> {
        *self
    }
}

impl<K: AsKey> Keys for InSet<'_, K> {
    fn len(&self) -> usize {
        self.keys.len()
    }
}

impl<K: AsKey> Digests for InSet<'_, K> {
    fn digest(&self, lanes: Lanes, digests: &mut [Digest]) {
        let keys = || self.keys.iter().map(AsKey::as_key);
        let Some(first) = keys().next() else { return };
        // Keys of one type share a longer prefix. The compiler knows the answer
        // unless the type is `Key`.
        let alike = keys().all(|key| block::kind(key) == block::kind(first));
        let zero = match first {
            Key::Integer(_) => Some(Key::Integer(0)),
            Key::Double(_) => Some(Key::Double(0.0)),
            Key::Str(_) | Key::Bytes(_) => None,
        };
        let begin = zero.map(|zero| HashInput::new(self.set, zero));
        match begin.filter(|begin| alike && begin.blocks() == 1) {
            Some(begin) => many::numbers(lanes, &begin, keys().map(bits), digests),
            None => {
                let prefix = Prefix::new(self.set, block::kind(first)).filter(|_| alike);
                let messages = keys().map(|key| HashInput::new(self.set, key));
                many::messages(lanes, prefix.as_ref(), messages, digests);
            }
        }
    }
}

#[inline(always)]
fn bits(key: Key<'_>) -> u64 {
    match key {
        Key::Integer(value) => value as u64,
        Key::Double(value) => value.to_bits(),
        Key::Str(_) | Key::Bytes(_) => unreachable!("the first one is a number"),
    }
}

impl<K: Keys + ?Sized> Keys for &K {
    fn len(&self) -> usize {
        K::len(self)
    }
}

impl<K: Digests + ?Sized> Digests for &K {
    fn digest(&self, lanes: Lanes, digests: &mut [Digest]) {
        K::digest(self, lanes, digests);
    }
}

impl Keys for [Record<'_>] {
    fn len(&self) -> usize {
        <[_]>::len(self)
    }
}

impl Digests for [Record<'_>] {
    fn digest(&self, lanes: Lanes, digests: &mut [Digest]) {
        let messages = self.iter().map(|record| HashInput::new(record.set, record.key));
        many::messages(lanes, None, messages, digests);
    }
}

impl Keys for [Digest] {
    fn len(&self) -> usize {
        <[_]>::len(self)
    }
}

impl Digests for [Digest] {
    fn digest(&self, _: Lanes, digests: &mut [Digest]) {
        digests.copy_from_slice(self);
    }
}
