//! Routes of single keys.

use napi::bindgen_prelude::BigInt;
use napi_derive::napi;
use tendmap::map::Slot;
use tendmap::route::{Attempt, Digest, NamespaceHandle, Partition, Policy, Route, Target};

use crate::errors::{Result, argument, raise};
use crate::keys::{digest, integer};
use crate::local;
use crate::session::Local;

/// The slot of a node for which JavaScript has an object; `-1 - slot` if it has none.
#[inline(always)]
fn slot_of(route: &Route<'_, bool>) -> i32 {
    let slot = route.slot().index() as i32;
    if *route.state() { slot } else { -1 - slot }
}

#[inline(always)]
fn find<T: Target>(id: u32, scope: u32, target: impl FnOnce(&str) -> T) -> Result<i32>
where
{
    local::with(id, |local| {
        let Local { router, scopes, .. } = local;
        let Some(scope) = scopes.get(scope as usize) else { return Err(no_scope()) };
        let found = router.route(scope.namespace, target(&scope.set), scope.policy);
        Ok(slot_of(&found.map_err(raise)?))
    })
}

#[cold]
fn no_scope() -> napi::Error<crate::errors::Code> {
    argument("the namespace, the set and the policy are not known")
}

/// Routes an integer that a double holds exactly.
#[napi(catch_unwind)]
pub fn route_number(id: u32, scope: u32, key: f64) -> Result<i32> {
    find(id, scope, |set| Digest::of(set, key as i64))
}

/// Routes a text.
#[napi(catch_unwind)]
pub fn route_text(id: u32, scope: u32, key: String) -> Result<i32> {
    find(id, scope, |set| Digest::of(set, &key))
}

/// Routes an integer.
#[napi(catch_unwind)]
pub fn route_big(id: u32, scope: u32, key: BigInt) -> Result<i32> {
    let key = integer(&key)?;
    find(id, scope, |set| Digest::of(set, key))
}

/// Routes bytes.
#[napi(catch_unwind)]
pub fn route_bytes(id: u32, scope: u32, key: &[u8]) -> Result<i32> {
    find(id, scope, |set| Digest::of(set, key))
}

/// Routes a double.
#[napi(catch_unwind)]
pub fn route_double(id: u32, scope: u32, key: f64) -> Result<i32> {
    find(id, scope, |set| Digest::of(set, key))
}

/// Routes a digest that was computed before.
#[napi(catch_unwind)]
pub fn route_digest(id: u32, scope: u32, key: &[u8]) -> Result<i32> {
    let digest = digest(key)?;
    find(id, scope, |_| digest)
}

/// A route with all that `retry` needs.
#[napi(object, object_from_js = false)]
pub struct Found {
    /// As `route_number` returns it.
    pub slot: i32,
    /// The partition.
    pub partition: u32,
    /// The replica's number.
    pub replica: u32,
    /// The publication.
    pub sequence: f64,
}

fn located(
    local: &mut Local,
    namespace: NamespaceHandle,
    target: impl Target,
    attempt: &Attempt,
) -> Result<Found> {
    let found = local.router.route_attempt(namespace, target, attempt);
    let route = found.map_err(raise)?;
    Ok(Found {
        slot: slot_of(&route),
        partition: route.partition() as u32,
        replica: route.replica() as u32,
        sequence: route.sequence() as f64,
    })
}

/// Routes a digest, with what `retry` needs.
#[napi(catch_unwind)]
pub fn locate(id: u32, scope: u32, key: &[u8]) -> Result<Found> {
    let digest = digest(key)?;
    local::with(id, |local| {
        let scope = local.scopes.get(scope as usize).ok_or_else(no_scope)?;
        let (namespace, policy) = (scope.namespace, scope.policy);
        let attempt = local.router.attempt(policy);
        located(local, namespace, digest, &attempt)
    })
}

/// The next attempt after a node has failed a command.
#[napi(catch_unwind)]
pub fn retry(id: u32, scope: u32, partition: u32, replica: u32, slot: u32) -> Result<Found> {
    local::with(id, |local| {
        let scope = local.scopes.get(scope as usize).ok_or_else(no_scope)?;
        let (namespace, policy): (_, Policy) = (scope.namespace, scope.policy);
        let mut attempt = Attempt::new(policy, replica.wrapping_add(1));
        if let Some(slot) = Slot::new(slot as usize) {
            attempt.fail(replica as usize, slot);
        }
        located(local, namespace, Partition(partition as usize), &attempt)
    })
}
