//! The digest of a key, which decides its partition.

use core::fmt;
use core::str::FromStr;

use ripemd::{Digest as _, Ripemd160};

use super::key::Key;

/// The RIPEMD-160 digest that the servers know a record by.
///
/// It covers the set's name and the typed key; the namespace is not in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; Digest::LEN]);

impl Digest {
    /// Its length in bytes.
    pub const LEN: usize = 20;

    /// The digest of `key` in `set`. Records outside any set have the empty
    /// one. Allocates nothing.
    ///
    /// ```
    /// use tendmap::route::Digest;
    ///
    /// let digest = Digest::of("set", "haha");
    /// assert_eq!(digest.to_string(), "36eb02a807dbade8cd784e7800d76308b4e89212");
    /// assert_eq!(digest.partition(4096), 2870);
    /// ```
    pub fn of<'a>(set: &str, key: impl Into<Key<'a>>) -> Digest {
        let hash = Ripemd160::new().chain_update(set);
        // The first byte is the type's number in the wire protocol; numbers are
        // big-endian there.
        let hash = match key.into() {
            Key::Integer(value) => hash.chain_update(number(1, value.to_be_bytes())),
            Key::Double(value) => hash.chain_update(number(2, value.to_be_bytes())),
            Key::Str(value) => hash.chain_update([3]).chain_update(value),
            Key::Bytes(value) => hash.chain_update([4]).chain_update(value),
        };
        Digest(hash.finalize().into())
    }

    /// The digest of these bytes, computed elsewhere.
    pub const fn from_bytes(bytes: [u8; Digest::LEN]) -> Digest {
        Digest(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; Digest::LEN] {
        &self.0
    }

    /// The digest that 40 hexadecimal digits stand for, of either case.
    ///
    /// # Errors
    /// [`DigestError`] for anything else.
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

    /// Its 40 hexadecimal digits, in lower case; as
    /// [`to_string`](ToString::to_string).
    pub fn to_hex(self) -> String {
        self.to_string()
    }

    /// The partition that the record lies in, of `partitions`: a power of two
    /// up to 65,536 (4096 in Aerospike).
    #[inline]
    pub const fn partition(self, partitions: usize) -> usize {
        debug_assert!(partitions.is_power_of_two() && partitions <= 1 << 16);
        u16::from_le_bytes([self.0[0], self.0[1]]) as usize & (partitions - 1)
    }
}

fn number(kind: u8, value: [u8; 8]) -> [u8; 9] {
    let mut bytes = [kind; 9];
    bytes[1..].copy_from_slice(&value);
    bytes
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

/// A text that is not a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DigestError {
    /// Too long or too short.
    #[error("digest of {found} characters; wanted 40 hexadecimal digits")]
    Length {
        /// Its length in bytes.
        found: usize,
    },
    /// A character that is no hexadecimal digit.
    #[error("digest with no hexadecimal digit at byte {at}; wanted 40 of them")]
    Digit {
        /// Where it stands, counted in bytes from 0.
        at: usize,
    },
}
