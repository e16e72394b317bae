//! Texts and keys as Ruby objects.

use magnus::encoding::EncodingCapable;
use magnus::value::Fixnum;
use magnus::{Error, Float, Integer, RClass, RModule, RString, Ruby, Symbol, Value, prelude::*};
use tendmap::route::{Digest, Key, Policy};
use tendmap_bindings::{key_out_of_range, not_utf8, policy, wrong_key, wrong_type, zero_byte};

use crate::failure::{class_of, invalid, raise};

/// A key that was read from a Ruby object.
pub enum Owned {
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
    Double(f64),
}

impl Owned {
    #[inline]
    pub fn key(&self) -> Key<'_> {
        match self {
            Owned::Integer(number) => Key::Integer(*number),
            Owned::Text(text) => Key::Str(text),
            Owned::Bytes(bytes) => Key::Bytes(bytes),
            Owned::Double(number) => Key::Double(*number),
        }
    }
}

/// The digest of a key in a set.
#[inline]
pub fn digest(ruby: &Ruby, set: &str, key: Value) -> Result<Digest, Error> {
    if let Some(number) = Fixnum::from_value(key) {
        return Ok(Digest::of(set, number.to_i64()));
    }
    Ok(Digest::of(set, owned(ruby, key)?.key()))
}

/// Reads a key: an Integer of 64 bits, a String of text, a Float or a `Tendmap::Bytes`.
pub fn owned(ruby: &Ruby, key: Value) -> Result<Owned, Error> {
    if let Some(number) = Fixnum::from_value(key) {
        return Ok(Owned::Integer(number.to_i64()));
    }
    if let Some(text) = RString::from_value(key) {
        return Ok(Owned::Text(utf8(ruby, "key", text)?));
    }
    if let Some(number) = Integer::from_value(key) {
        let wide = |_| raise(ruby, key_out_of_range(&key.to_string()));
        return Ok(Owned::Integer(number.to_i64().map_err(wide)?));
    }
    if let Some(number) = Float::from_value(key) {
        return Ok(Owned::Double(number.to_f64()));
    }
    let bytes: RClass =
        ruby.class_object().const_get::<_, RModule>("Tendmap")?.const_get("Bytes")?;
    if key.is_kind_of(bytes) {
        let text: RString = key.funcall("to_s", ())?;
        return Ok(Owned::Bytes(text.to_bytes().to_vec()));
    }
    let wanted = "Integer, String, Float or Tendmap::Bytes";
    Err(raise(ruby, wrong_key(&class_of(key), wanted)))
}

/// A text as UTF-8, whatever its encoding.
pub fn utf8(ruby: &Ruby, what: &str, text: RString) -> Result<String, Error> {
    let encoding = text.enc_get();
    if encoding == ruby.utf8_encindex() || encoding == ruby.usascii_encindex() {
        return text.to_string().map_err(|_| no_text(ruby, what));
    }
    if encoding == ruby.ascii8bit_encindex() {
        return binary(ruby, what, text);
    }
    match text.funcall::<_, _, RString>("encode", ("UTF-8",)) {
        Ok(found) => found.to_string().map_err(|_| no_text(ruby, what)),
        Err(error) if error.is_kind_of(ruby.exception_encoding_error()) => Err(no_text(ruby, what)),
        // Of another thread, of Timeout, or a jump: not for this call to judge.
        Err(error) => Err(error),
    }
}

/// A String without an encoding, as all literals in the files of some servers are. A name is
/// always text. A key may be text or bytes, and these are two keys: it is refused.
#[cold]
fn binary(ruby: &Ruby, what: &str, text: RString) -> Result<String, Error> {
    if what != "key" {
        return String::from_utf8(text.to_bytes().to_vec()).map_err(|_| no_text(ruby, what));
    }
    let hint = "a text needs force_encoding(\"UTF-8\"), bytes need Tendmap::Bytes.new";
    Err(invalid(ruby, format!("key is a String with the encoding BINARY; {hint}")))
}

#[cold]
fn no_text(ruby: &Ruby, what: &str) -> Error {
    raise(ruby, not_utf8(what, "it is not valid text in its encoding"))
}

/// A name: a String without zero bytes.
pub fn name(ruby: &Ruby, what: &str, value: Value) -> Result<String, Error> {
    let Some(text) = RString::from_value(value) else {
        return Err(raise(ruby, wrong_type(what, &class_of(value), "String")));
    };
    let text = utf8(ruby, what, text)?;
    match text.contains('\0') {
        true => Err(raise(ruby, zero_byte(what))),
        false => Ok(text),
    }
}

/// A set: a String, or nil for none.
pub fn set(ruby: &Ruby, value: Value) -> Result<String, Error> {
    if value.is_nil() { Ok(String::new()) } else { name(ruby, "set", value) }
}

/// A policy: a Symbol or a String.
pub fn policy_of(ruby: &Ruby, value: Value) -> Result<Policy, Error> {
    if value.is_nil() {
        return Ok(Policy::Sequence);
    }
    let found = match Symbol::from_value(value) {
        Some(symbol) => symbol.name()?.into_owned(),
        None => match RString::from_value(value) {
            Some(text) => utf8(ruby, "policy", text)?,
            None => return Err(raise(ruby, wrong_type("policy", &class_of(value), "a Symbol"))),
        },
    };
    policy(&found).map_err(|failure| raise(ruby, failure))
}

/// The 20 bytes of a digest.
pub fn digest_bytes(ruby: &Ruby, of_set: Value, key: Value) -> Result<RString, Error> {
    let digest = digest(ruby, &set(ruby, of_set)?, key)?;
    Ok(ruby.str_from_slice(digest.as_bytes()))
}
