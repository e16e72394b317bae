//! The failures of arguments, with one text in every language.
//!
//! `found` and `wanted` are in the words of the language, such as the names of its types.
//! `tests/invalid.json` has the calls and the texts that every package is tested with.

use std::fmt::Display;

use crate::kind::{Failure, Kind};

/// An argument of a type that the call does not take.
#[cold]
pub fn wrong_type(what: &str, found: &str, wanted: &str) -> Failure {
    Failure::new(Kind::Argument, format!("{what} of type {found}; wanted {wanted}"))
}

/// A list with an item of a type that it does not take.
#[cold]
pub fn wrong_item(what: &str, found: &str, wanted: &str) -> Failure {
    Failure::new(Kind::Argument, format!("{what} has an item of type {found}; wanted {wanted}"))
}

/// A name with a zero byte, which would end it in C. (A setting with one is refused by
/// [`Config::set`](tendmap::Config::set).)
#[cold]
pub fn zero_byte(what: &str) -> Failure {
    Failure::new(Kind::Argument, format!("{what} has a zero byte; only keys may have one"))
}

/// A text that UTF-8 can't encode. `why` does not repeat it: it may be a password.
#[cold]
pub fn not_utf8(what: &str, why: impl Display) -> Failure {
    Failure::new(Kind::Argument, format!("{what} is not UTF-8: {why}"))
}

/// An item of a list that a comma would split into two.
#[cold]
pub fn comma(what: &str, found: &str) -> Failure {
    Failure::new(Kind::Config, format!("{what} has {found:?}; wanted one without a comma"))
}

/// A host of `ip_map` that a comma or an equals sign would split into two.
#[cold]
pub fn mapped_host(found: &str) -> Failure {
    let text = format!("ip_map has {found:?}; wanted names without comma and =");
    Failure::new(Kind::Config, text)
}

/// A key of a type that is none.
#[cold]
pub fn wrong_key(found: &str, wanted: &str) -> Failure {
    wrong_type("key", found, wanted)
}

/// An integer key that does not fit in 64 bits. `found` is the number.
#[cold]
pub fn key_out_of_range(found: &str) -> Failure {
    let text = format!("key {found}; wanted an integer of 64 bits, signed");
    Failure::new(Kind::Argument, text)
}

/// A call with a handle for changes that is closed.
#[cold]
pub fn changes_closed() -> Failure {
    Failure::new(Kind::Closed, "the handle for changes is closed")
}
