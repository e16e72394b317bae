//! The failures of keys, with one text in every language, and the next attempt of a
//! command.

use tendmap::map::Slot;
use tendmap::route::{Attempt, Policy};

use crate::kind::{Failure, Kind};

/// A key of a type that is none. `found` names the type as the language does,
/// `wanted` the types that it takes.
#[cold]
pub fn wrong_key(found: &str, wanted: &str) -> Failure {
    Failure::new(Kind::Argument, format!("key of type {found}; wanted {wanted}"))
}

/// An integer key that does not fit in 64 bits. `found` is the number.
#[cold]
pub fn key_out_of_range(found: &str) -> Failure {
    let text = format!("key {found}; wanted an integer of 64 bits, signed");
    Failure::new(Kind::Argument, text)
}

/// The next attempt of a command after it has failed at that replica, on the node of
/// that index. (With `master` it is the master again; with `prefer_rack` the failed
/// node only if there is no other.)
pub fn next_attempt(policy: Policy, replica: u16, node: u16) -> Attempt {
    let mut attempt = Attempt::new(policy, u32::from(replica) + 1);
    if let Some(slot) = Slot::new(node.into()) {
        attempt.fail(replica.into(), slot);
    }
    attempt
}
