//! Names and keys as PHP values.

use ext_php_rs::types::Zval;
use tendmap::route::{Digest, Key};
use tendmap_bindings::{not_utf8, zero_byte};

use crate::failure::{Outcome, bad};

/// The kinds of `Tendmap\Key`.
const DIGEST: i64 = 0;
const STRING: i64 = 3;

/// The bytes of a string.
pub fn bytes(value: &Zval) -> Outcome<&[u8]> {
    match value.zend_str() {
        Some(text) => Ok(text.as_bytes()),
        None => Err(bad("a value that is not a string")),
    }
}

/// A name. The C library would read it only up to a zero byte, so that is refused here,
/// too.
#[inline]
pub fn name<'a>(what: &str, value: &'a Zval) -> Outcome<&'a str> {
    let bytes = bytes(value)?;
    if bytes.contains(&0) {
        return Err(zero_byte(what).into());
    }
    text(what, bytes)
}

/// A text of UTF-8.
pub fn text<'a>(what: &str, bytes: &'a [u8]) -> Outcome<&'a str> {
    Ok(core::str::from_utf8(bytes).map_err(|error| not_utf8(what, error))?)
}

/// A text key.
fn text_key(bytes: &[u8]) -> Outcome<&str> {
    let text = core::str::from_utf8(bytes);
    Ok(text.map_err(|error| {
        not_utf8("key", format_args!("{error}; for raw bytes there is Key::bytes()"))
    })?)
}

/// The digest of a key of that kind in a set.
#[inline]
pub fn digest(set: &str, kind: i64, key: &Zval) -> Outcome<Digest> {
    if let Some(number) = key.long() {
        return Ok(Digest::of(set, number));
    }
    if let Some(number) = key.double() {
        return Ok(Digest::of(set, number));
    }
    let bytes = bytes(key)?;
    match kind {
        STRING => Ok(Digest::of(set, text_key(bytes)?)),
        DIGEST => match bytes.try_into() {
            Ok(bytes) => Ok(Digest::from_bytes(bytes)),
            Err(_) => Err(bad(format!("digest of {} bytes; wanted {}", bytes.len(), Digest::LEN))),
        },
        _ => Ok(Digest::of(set, Key::Bytes(bytes))),
    }
}

/// The digest of a key in a batch: an int, a string, or a kind and a value.
pub fn digest_of(set: &str, key: &Zval) -> Outcome<Digest> {
    let Some(pair) = key.array() else { return digest(set, STRING, key) };
    let kind = pair.get_index(0).and_then(Zval::long);
    let (Some(kind), Some(value)) = (kind, pair.get_index(1)) else {
        return Err(bad("a key that is not a kind and a value"));
    };
    digest(set, kind, value)
}
