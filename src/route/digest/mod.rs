//! The digest of a key, which determines its partition.

use core::fmt;
use core::str::FromStr;

use self::block::HashInput;
use super::key::Key;

mod block;
mod compress;
mod keys;
mod lanes;
mod many;

pub use keys::{AsKey, Digests, InSet, Keys};
pub use lanes::Lanes;

/// The RIPEMD-160 digest by which servers identify a record.
///
/// It covers the set's name and the typed key, but not the namespace.
///
/// ```
/// use tendmap::Digest;
///
/// let digest = Digest::of("users", 42);
/// assert_eq!(digest.to_string().parse(), Ok(digest)); // 40 hexadecimal digits
/// assert_ne!(digest, Digest::of("users", "42")); // text is another key
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(transparent)]
pub struct Digest([u8; Digest::LEN]);

impl Digest {
    /// The length of a digest in bytes.
    pub const LEN: usize = 20;

    /// Twenty zero bytes, for initialising memory.
    pub const ZERO: Digest = Digest([0; Digest::LEN]);

    /// The digest of `key` in `set`. Use the empty set name for records without a set. Does not
    /// allocate.
    ///
    /// ```
    /// use tendmap::route::Digest;
    ///
    /// let digest = Digest::of("set", "haha");
    /// assert_eq!(digest.to_string(), "36eb02a807dbade8cd784e7800d76308b4e89212");
    /// assert_eq!(digest.partition(4096), 2870);
    /// ```
    #[inline(always)]
    pub fn of<'a>(set: &str, key: impl Into<Key<'a>>) -> Digest {
        let message = HashInput::new(set, key.into());
        let mut words = [0; 16];
        let blocks = message.blocks();
        if blocks == 1 {
            message.put_one(|at, word| words[at % 16] = word);
            return Digest::of_state(one_more::<true>(compress::INITIAL, &words));
        }
        let mut state = compress::INITIAL;
        for number in 0..blocks {
            message.put(number, |at, word| words[at] = word);
            state = one_more::<true>(state, &words);
        }
        Digest::of_state(state)
    }

    /// The digests of many keys, in their order, several at once. The result equals
    /// [`Digest::of`] for each key. Does not allocate.
    ///
    /// ```
    /// use tendmap::route::{Digest, InSet};
    ///
    /// let ids: Vec<i64> = (0..1000).collect();
    /// let mut digests = vec![Digest::ZERO; ids.len()];
    /// Digest::many(&InSet::new("users", &ids), &mut digests);
    /// assert_eq!(digests[7], Digest::of("users", 7));
    /// ```
    ///
    /// # Panics
    /// If the lengths of `digests` and `keys` differ.
    pub fn many(keys: &(impl Keys + ?Sized), digests: &mut [Digest]) {
        Digest::many_in(Lanes::best(), keys, digests);
    }

    internal! {
        /// Like [`many`](Self::many), in those lanes.
        ///
        /// # Panics
        /// If the lengths of `digests` and `keys` differ.
        fn many_in(lanes: Lanes, keys: &(impl Keys + ?Sized), digests: &mut [Digest]) {
            let (keys_len, len) = (keys.len(), digests.len());
            assert_eq!(len, keys_len, "{len} places for the digests of {keys_len} keys");
            keys.digest(lanes, digests);
        }
    }

    #[inline(always)]
    fn of_state(state: compress::State) -> Digest {
        let mut bytes = [0; Digest::LEN];
        for (bytes, word) in bytes.as_chunks_mut().0.iter_mut().zip(state) {
            *bytes = word.to_le_bytes();
        }
        Digest(bytes)
    }

    /// The digest of these bytes, computed elsewhere.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Digest::LEN]) -> Digest {
        Digest(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Digest::LEN] {
        &self.0
    }

    /// Parses 40 hexadecimal digits, in upper or lower case.
    ///
    /// # Errors
    /// [`DigestError`] for any other text.
    pub fn from_hex(text: &str) -> Result<Digest, DigestError> {
        if text.len() != 2 * Digest::LEN {
            return Err(DigestError::Length { found: text.len() });
        }
        let mut bytes = [0; Digest::LEN];
        for (at, digit) in text.bytes().enumerate() {
            let Some(value) = char::from(digit).to_digit(16) else {
                return Err(DigestError::Digit { at });
            };
            bytes[at / 2] = bytes[at / 2] << 4 | value as u8;
        }
        Ok(Digest(bytes))
    }

    /// The digest as 40 hexadecimal digits in lower case, like
    /// [`to_string`](ToString::to_string).
    #[must_use]
    pub fn to_hex(self) -> String {
        self.to_string()
    }

    /// The record's partition among `partitions`, which is a power of two up to
    /// 65,536 (4096 in Aerospike).
    #[inline]
    #[must_use]
    pub const fn partition(self, partitions: usize) -> usize {
        debug_assert!(partitions.is_power_of_two() && partitions <= 1 << 16);
        u16::from_le_bytes([self.0[0], self.0[1]]) as usize & (partitions - 1)
    }
}

/// Generic, so that the crate that routes compiles it; see [`Lanes::compress`].
#[inline(never)]
fn one_more<const ALONE: bool>(state: compress::State, words: &compress::Words) -> compress::State {
    compress::lines::<ALONE>(state, words)
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({self})")
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Digest, DigestError> {
        Digest::from_hex(text)
    }
}

/// Why a text is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// The text is too long or too short.
    #[error("digest of {found} characters; wanted 40 hexadecimal digits")]
    Length {
        /// The length of the text in bytes.
        found: usize,
    },
    /// A character is not a hexadecimal digit.
    #[error("digest with an invalid character at byte {at}; wanted 40 hexadecimal digits")]
    Digit {
        /// The position of the character, in bytes from 0.
        at: usize,
    },
}
