//! Names of limited length, stored inline.

use core::fmt;

/// An invalid name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The name is empty.
    #[error("empty {what}; wanted 1 to {max} characters")]
    Empty {
        /// The kind of name.
        what: &'static str,
        /// The maximum length of such a name in bytes.
        max: usize,
    },
    /// The name is too long.
    #[error("{what} of {found} bytes; wanted at most {max}")]
    TooLong {
        /// The kind of name.
        what: &'static str,
        /// The length of the name in bytes.
        found: usize,
        /// The maximum length of such a name in bytes.
        max: usize,
    },
    /// The name has an invalid character.
    #[error(
        "{what} {text:?} has a character that is not allowed there; wanted printable ASCII{but}"
    )]
    BadCharacter {
        /// The kind of name.
        what: &'static str,
        /// The name, with invalid UTF-8 replaced.
        text: String,
        /// The characters that are also invalid, in words.
        but: &'static str,
    },
}

/// Separators of the info protocol, which are invalid in most names.
const SEPARATORS: (&[u8], &str) = (b",;:[]=/ ", " without spaces and none of , ; : [ ] = /");
const NONE: (&[u8], &str) = (b"", "");

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $max:literal, $what:literal, without $not:expr) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name {
            bytes: [u8; $max],
            len: u8,
        }

        impl $name {
            /// The maximum length of such a name in bytes.
            pub const MAX: usize = $max;

            /// Makes a name of this text.
            ///
            /// # Errors
            /// [`NameError`] if the text is empty or too long, or has a character that the info
            /// protocol uses as a separator.
            pub fn new(text: &str) -> Result<Self, NameError> {
                Self::from_bytes(text.as_bytes())
            }

            /// Like [`new`](Self::new), from bytes.
            ///
            /// # Errors
            /// As [`new`](Self::new).
            pub fn from_bytes(text: &[u8]) -> Result<Self, NameError> {
                let what = $what;
                if text.is_empty() {
                    return Err(NameError::Empty { what, max: $max });
                }
                if text.len() > $max {
                    return Err(NameError::TooLong { what, found: text.len(), max: $max });
                }
                let allowed = |byte: &u8| matches!(byte, b' '..=b'~') && !$not.0.contains(byte);
                if !text.iter().all(allowed) {
                    let text = String::from_utf8_lossy(text).into_owned();
                    return Err(NameError::BadCharacter { what, text, but: $not.1 });
                }
                let mut bytes = [0; $max];
                bytes[..text.len()].copy_from_slice(text);
                Ok(Self { bytes, len: text.len() as u8 })
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                // Every byte was checked to be ASCII.
                core::str::from_utf8(self.as_bytes()).unwrap_or_default()
            }

            /// The bytes of the name, all of them printable ASCII.
            pub fn as_bytes(&self) -> &[u8] {
                &self.bytes[..usize::from(self.len)]
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(self.as_str(), f)
            }
        }

        impl core::str::FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }
    };
}

name! {
    /// A node's id, 1 to 19 characters (`BB9000000003100`, `D4`).
    NodeId, 19, "node id", without SEPARATORS
}
name! {
    /// A namespace's name, 1 to 31 characters.
    NamespaceName, 31, "namespace name", without SEPARATORS
}
name! {
    /// A cluster's name (`cluster-name`), 1 to 64 characters. A cluster without
    /// one is `None` where this type is optional.
    ClusterName, 64, "cluster name", without NONE
}
name! {
    /// The name in a node's TLS certificate, 1 to 253 characters.
    TlsName, 253, "TLS name", without SEPARATORS
}
