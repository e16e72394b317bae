//! Many keys at once.

use magnus::typed_data::Obj;
use magnus::value::Fixnum;
use magnus::{Error, RArray, RString, Ruby, Value};
use tendmap::map::{Node, Slot};
use tendmap::route::{Batch, InSet, Key};
use tendmap_bindings::{NO_NODE, indexes};

use crate::handle::Handle;
use crate::keys::{name, owned, policy_of, set};
use crate::lookup::{make, with_router};

/// The keys of a batch; those of one type need no decision for each.
enum Column {
    Integers(Vec<i64>),
    Mixed(Vec<crate::keys::Owned>),
}

fn column(ruby: &Ruby, keys: RArray) -> Result<Column, Error> {
    let mut integers = Vec::with_capacity(keys.len());
    // Converting a text may run code that changes the array: its length is read again.
    while let Some(place) = Some(integers.len()).filter(|&place| place < keys.len()) {
        let key: Value = keys.entry(place as isize)?;
        match Fixnum::from_value(key) {
            Some(number) => integers.push(number.to_i64()),
            None => break,
        }
    }
    if integers.len() == keys.len() {
        return Ok(Column::Integers(integers));
    }
    let mut mixed = Vec::with_capacity(keys.len());
    while mixed.len() < keys.len() {
        mixed.push(owned(ruby, keys.entry(mixed.len() as isize)?)?);
    }
    Ok(Column::Mixed(mixed))
}

/// The indexes of the keys' nodes, 16 bits each, and the objects of these nodes by index.
pub fn route_batch(
    ruby: &Ruby,
    this: Obj<Handle>,
    namespace: Value,
    of_set: Value,
    keys: RArray,
    policy: Value,
) -> Result<(RString, RArray, u64), Error> {
    let policy = policy_of(ruby, policy)?;
    let namespace = name(ruby, "namespace", namespace)?;
    let of_set = set(ruby, of_set)?;
    let keys = column(ruby, keys)?;
    let mut batch = Batch::new();
    let mut found: Vec<u16> = Vec::new();
    let nodes = with_router(ruby, this, |router| {
        match &keys {
            Column::Integers(keys) => {
                router.route_batch(
                    namespace.as_str(),
                    &InSet::new(&of_set, keys),
                    policy,
                    &mut batch,
                )?;
            }
            Column::Mixed(keys) => {
                let keys: Vec<Key<'_>> = keys.iter().map(crate::keys::Owned::key).collect();
                router.route_batch(
                    namespace.as_str(),
                    &InSet::new(&of_set, &keys),
                    policy,
                    &mut batch,
                )?;
            }
        }
        found.resize(batch.len(), NO_NODE);
        indexes(&batch, &mut found);
        let slots = router.states().map(|(slot, _)| slot);
        let node = |slot| Some((slot, router.incarnation(slot)?, *router.node(slot)?));
        Ok(slots.filter_map(node).collect::<Vec<(Slot, u32, Node)>>())
    })?;
    let objects = ruby.ary_new();
    for (slot, incarnation, node) in nodes {
        objects.store(slot.index() as isize, make(ruby, this, slot, incarnation, node)?)?;
    }
    let bytes: Vec<u8> = found.iter().flat_map(|index| index.to_ne_bytes()).collect();
    Ok((ruby.str_from_slice(&bytes), objects, batch.sequence()))
}
