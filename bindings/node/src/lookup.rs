//! Routes of single keys.

use napi::bindgen_prelude::BigInt;
use napi_derive::napi;
use tendmap::map::Slot;
use tendmap::route::{Digest, Partition, Route, Target};
use tendmap_bindings::next_attempt;

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

/// A route with its partition and replica in one number, because an object for each
/// would cost more than the route. `lib/client.js` takes it apart; the publication
/// follows by [`located_sequence`].
fn pack(route: &Route<'_, bool>) -> f64 {
    let (partition, replica) = (route.partition() as f64, route.replica() as f64);
    (partition * REPLICAS + replica) * SLOTS + f64::from(slot_of(route)) + SLOTS / 2.0
}

/// Replicas have eight bits, slots twelve and a sign.
const REPLICAS: f64 = 256.0;
const SLOTS: f64 = 8192.0;

const _: () = assert!(Slot::LIMIT <= 4096);

#[inline(always)]
fn locate<T: Target>(id: u32, scope: u32, target: impl FnOnce(&str) -> T) -> Result<f64> {
    local::with(id, |local| {
        let Local { router, scopes, sequence, .. } = local;
        let Some(scope) = scopes.get(scope as usize) else { return Err(no_scope()) };
        let attempt = router.attempt(scope.policy);
        let found = router.route_attempt(scope.namespace, target(&scope.set), &attempt);
        let route = found.map_err(raise)?;
        *sequence = route.sequence();
        Ok(pack(&route))
    })
}

/// The publication of the last route that was located.
#[napi(catch_unwind)]
pub fn located_sequence(id: u32) -> Result<f64> {
    local::with(id, |local| Ok(local.sequence as f64))
}

/// Locates an integer that a double holds exactly.
#[napi(catch_unwind)]
pub fn locate_number(id: u32, scope: u32, key: f64) -> Result<f64> {
    locate(id, scope, |set| Digest::of(set, key as i64))
}

/// Locates a text.
#[napi(catch_unwind)]
pub fn locate_text(id: u32, scope: u32, key: String) -> Result<f64> {
    locate(id, scope, |set| Digest::of(set, &key))
}

/// Locates an integer.
#[napi(catch_unwind)]
pub fn locate_big(id: u32, scope: u32, key: BigInt) -> Result<f64> {
    let key = integer(&key)?;
    locate(id, scope, |set| Digest::of(set, key))
}

/// Locates bytes.
#[napi(catch_unwind)]
pub fn locate_bytes(id: u32, scope: u32, key: &[u8]) -> Result<f64> {
    locate(id, scope, |set| Digest::of(set, key))
}

/// Locates a double.
#[napi(catch_unwind)]
pub fn locate_double(id: u32, scope: u32, key: f64) -> Result<f64> {
    locate(id, scope, |set| Digest::of(set, key))
}

/// The next attempt after a node has failed a command.
#[napi(catch_unwind)]
pub fn retry(id: u32, scope: u32, partition: u32, replica: u16, slot: u16) -> Result<f64> {
    local::with(id, |local| {
        let Local { router, scopes, sequence, .. } = local;
        let Some(scope) = scopes.get(scope as usize) else { return Err(no_scope()) };
        let attempt = next_attempt(scope.policy, replica, slot);
        let partition = Partition(partition as usize);
        let found = router.route_attempt(scope.namespace, partition, &attempt);
        let route = found.map_err(raise)?;
        *sequence = route.sequence();
        Ok(pack(&route))
    })
}
