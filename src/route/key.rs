//! The key of a record within its set.

/// A key as the user gives it. It borrows the user's data and copies nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Key<'a> {
    /// An integer; narrower types are widened, so that `1u8` and `1i64` are the
    /// same key.
    Integer(i64),
    /// Text.
    Str(&'a str),
    /// Raw bytes; not the same key as text of those bytes.
    Bytes(&'a [u8]),
    /// A floating point number, compared by its bits: `0.0` and `-0.0` are two
    /// keys.
    Double(f64),
}

macro_rules! from {
    ($($from:ty => $variant:ident),* $(,)?) => {$(
        impl<'a> From<$from> for Key<'a> {
            fn from(value: $from) -> Key<'a> {
                Key::$variant(value.into())
            }
        }
    )*};
}

from! {
    i8 => Integer, i16 => Integer, i32 => Integer, i64 => Integer,
    u8 => Integer, u16 => Integer, u32 => Integer,
    f32 => Double, f64 => Double,
    &'a str => Str,
    &'a [u8] => Bytes,
}

impl<'a> From<&'a String> for Key<'a> {
    fn from(value: &'a String) -> Key<'a> {
        Key::Str(value)
    }
}

impl<'a> From<&'a Vec<u8>> for Key<'a> {
    fn from(value: &'a Vec<u8>) -> Key<'a> {
        Key::Bytes(value)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Key<'a> {
    fn from(value: &'a [u8; N]) -> Key<'a> {
        Key::Bytes(value)
    }
}
