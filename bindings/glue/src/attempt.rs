//! The next attempt of a command.

use tendmap::map::Slot;
use tendmap::route::{Attempt, Policy};

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
