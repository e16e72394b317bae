//! Digests of keys.

use napi::bindgen_prelude::{BigInt, Buffer};
use napi_derive::napi;
use tendmap::route::{Digest, Key};

use crate::errors::{Result, argument};

/// A BigInt that is a key.
pub fn integer(key: &BigInt) -> Result<i64> {
    match key.get_i64() {
        (value, true) => Ok(value),
        _ => Err(argument("key of more than 64 bits; wanted an integer of 64 bits, signed")),
    }
}

/// The 20 bytes of a digest.
pub fn digest(bytes: &[u8]) -> Result<Digest> {
    match bytes.try_into() {
        Ok(bytes) => Ok(Digest::from_bytes(bytes)),
        Err(_) => {
            let (found, wanted) = (bytes.len(), Digest::LEN);
            Err(argument(format!("digest of {found} bytes; wanted {wanted}")))
        }
    }
}

fn made<'a>(set: &str, key: impl Into<Key<'a>>) -> Buffer {
    Digest::of(set, key).as_bytes().to_vec().into()
}

/// The digest of an integer.
#[napi(catch_unwind)]
pub fn digest_big(set: String, key: BigInt) -> Result<Buffer> {
    Ok(made(&set, integer(&key)?))
}

/// The digest of a text.
#[napi(catch_unwind)]
pub fn digest_text(set: String, key: String) -> Buffer {
    made(&set, &key)
}

/// The digest of bytes.
#[napi(catch_unwind)]
pub fn digest_bytes(set: String, key: &[u8]) -> Buffer {
    made(&set, key)
}

/// The digest of a double.
#[napi(catch_unwind)]
pub fn digest_double(set: String, key: f64) -> Buffer {
    made(&set, key)
}
