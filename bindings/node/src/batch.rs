//! Many keys at once.

use napi::bindgen_prelude::Uint16Array;
use napi_derive::napi;
use tendmap::map::Slot;
use tendmap::route::{Digest, InSet, Key, Keys};
use tendmap_bindings::NO_NODE;

use crate::errors::{Result, argument, raise};
use crate::local;
use crate::session::Local;

/// The routes of many keys.
#[napi(object, object_from_js = false)]
pub struct Routed {
    /// The index of the node of each key.
    pub indexes: Uint16Array,
    /// Each slot that occurs, as `route_number` returns it.
    pub slots: Vec<i32>,
}

fn run<K: ?Sized>(
    id: u32,
    scope: u32,
    keys: &K,
    route: impl for<'a> FnOnce(&mut Local, u32, &'a K) -> Result<()>,
) -> Result<Routed> {
    local::with(id, |local| {
        route(local, scope, keys)?;
        let mut indexes = vec![NO_NODE; local.batch.len()];
        tendmap_bindings::indexes(&local.batch, &mut indexes);
        let mut seen = vec![false; Slot::LIMIT];
        for &index in &indexes {
            if let Some(seen) = seen.get_mut(usize::from(index)) {
                *seen = true;
            }
        }
        let slots = seen.iter().enumerate().filter(|(_, seen)| **seen);
        let slots = slots.filter_map(|(index, _)| Slot::new(index)).map(|slot| {
            let known = local.router.state(slot).is_some_and(|known| *known);
            let index = slot.index() as i32;
            if known { index } else { -1 - index }
        });
        let slots = slots.collect();
        Ok(Routed { indexes: indexes.into(), slots })
    })
}

/// Routes keys of one set.
fn in_set<K>(local: &mut Local, scope: u32, keys: &[K]) -> Result<()>
where
    for<'a> InSet<'a, K>: Keys,
{
    let Local { router, scopes, batch, .. } = local;
    let Some(scope) = scopes.get(scope as usize) else {
        return Err(argument("the namespace, the set and the policy are not known"));
    };
    let keys = InSet::new(&scope.set, keys);
    router.route_batch(scope.namespace, &keys, scope.policy, batch).map_err(raise)
}

/// Routes integers of 64 bits.
#[napi(catch_unwind)]
pub fn batch_i64(id: u32, scope: u32, keys: &[i64]) -> Result<Routed> {
    run(id, scope, keys, in_set)
}

/// Routes integers of 32 bits.
#[napi(catch_unwind)]
pub fn batch_i32(id: u32, scope: u32, keys: &[i32]) -> Result<Routed> {
    run(id, scope, keys, in_set)
}

/// Routes unsigned integers of 32 bits.
#[napi(catch_unwind)]
pub fn batch_u32(id: u32, scope: u32, keys: &[u32]) -> Result<Routed> {
    run(id, scope, keys, in_set)
}

/// Routes integers that doubles hold exactly.
#[napi(catch_unwind)]
pub fn batch_number(id: u32, scope: u32, keys: &[f64]) -> Result<Routed> {
    let keys: Vec<i64> = keys.iter().map(|&key| key as i64).collect();
    run(id, scope, &keys[..], in_set)
}

/// Routes doubles.
#[napi(catch_unwind)]
pub fn batch_double(id: u32, scope: u32, keys: &[f64]) -> Result<Routed> {
    run(id, scope, keys, in_set)
}

/// Routes texts: their bytes one after the other, and where each ends.
#[napi(catch_unwind)]
pub fn batch_text(id: u32, scope: u32, bytes: &[u8], ends: &[u32]) -> Result<Routed> {
    let texts = parts(bytes, ends)?.into_iter().map(text).collect::<Result<Vec<&str>>>()?;
    run(id, scope, &texts[..], in_set)
}

/// Routes keys of any kinds: `kinds` has a character for each.
#[napi(catch_unwind)]
pub fn batch_mixed(
    id: u32,
    scope: u32,
    bytes: &[u8],
    ends: &[u32],
    kinds: &[u8],
) -> Result<Routed> {
    let one = |(part, kind): (_, &u8)| key(part, *kind);
    let keys = parts(bytes, ends)?.into_iter().zip(kinds).map(one);
    let keys = keys.collect::<Result<Vec<Key<'_>>>>()?;
    run(id, scope, &keys[..], in_set)
}

/// Routes digests, one after the other.
#[napi(catch_unwind)]
pub fn batch_digest(id: u32, scope: u32, bytes: &[u8]) -> Result<Routed> {
    let (digests, rest) = bytes.as_chunks::<{ Digest::LEN }>();
    if !rest.is_empty() {
        let (found, wanted) = (bytes.len(), Digest::LEN);
        return Err(argument(format!("digests of {found} bytes; wanted {wanted} for each")));
    }
    let digests: Vec<Digest> = digests.iter().map(|digest| Digest::from_bytes(*digest)).collect();
    run(id, scope, &digests[..], |local, scope, keys| {
        let Local { router, scopes, batch, .. } = local;
        let Some(scope) = scopes.get(scope as usize) else {
            return Err(argument("the namespace, the set and the policy are not known"));
        };
        router.route_batch(scope.namespace, keys, scope.policy, batch).map_err(raise)
    })
}

fn key(part: &[u8], kind: u8) -> Result<Key<'_>> {
    let eight = || part.try_into().map_err(|_| packed_wrongly());
    Ok(match kind {
        b'i' => Key::Integer(i64::from_le_bytes(eight()?)),
        b'd' => Key::Double(f64::from_le_bytes(eight()?)),
        b's' => Key::Str(text(part)?),
        _ => Key::Bytes(part),
    })
}

fn text(part: &[u8]) -> Result<&str> {
    std::str::from_utf8(part).map_err(|_| packed_wrongly())
}

fn parts<'a>(bytes: &'a [u8], ends: &[u32]) -> Result<Vec<&'a [u8]>> {
    let mut start = 0;
    let part = |&end: &u32| {
        let part = bytes.get(start..end as usize).ok_or_else(packed_wrongly)?;
        start = end as usize;
        Ok(part)
    };
    ends.iter().map(part).collect()
}

#[cold]
fn packed_wrongly() -> napi::Error<crate::errors::Code> {
    argument("the keys were changed while they were read")
}
