//! Looks up the object of a key's node.

use magnus::scan_args::{get_kwargs, scan_args};
use magnus::typed_data::Obj;
use magnus::{Error, RArray, RClass, RHash, RModule, Ruby, Value, prelude::*};
use tendmap::map::{Node, Slot};
use tendmap::route::{Attempt, Partition, Policy, Router};
use tendmap_bindings::{Failure, next_attempt};

use crate::failure::guard;
use crate::handle::{Handle, make_router, session};
use crate::keys::{digest, name, policy_of, set};

/// Runs `f` with the router. It calls nothing of Ruby's.
#[inline(always)]
pub fn with_router<R>(
    ruby: &Ruby,
    this: Obj<Handle>,
    f: impl FnOnce(&mut Router<bool>) -> Result<R, Failure>,
) -> Result<R, Error> {
    let ready = this.hot.borrow().as_ref().is_some_and(|hot| hot.is_own());
    if !ready {
        make_router(ruby, this)?;
    }
    guard(ruby, || match &mut *this.hot.borrow_mut() {
        Some(hot) => f(&mut hot.router),
        // Closed by another thread while this one connected.
        None => Err(this.closed()),
    })
}

/// A node that was found: its slot if it has an object, or what to make one of.
pub type Found = Result<Slot, (Slot, u32, Node)>;

/// The object of a node.
#[inline(always)]
pub fn object(ruby: &Ruby, this: Obj<Handle>, found: Found) -> Result<Value, Error> {
    match found {
        Ok(slot) => this.objects(ruby)?.entry(slot.index() as isize),
        Err((slot, incarnation, node)) => make(ruby, this, slot, incarnation, node),
    }
}

/// The object of the node that is in a slot now. All threads share it while the node and
/// its address are the same.
#[cold]
pub fn make(
    ruby: &Ruby,
    this: Obj<Handle>,
    slot: Slot,
    incarnation: u32,
    node: Node,
) -> Result<Value, Error> {
    let objects = this.objects(ruby)?;
    let index = slot.index();
    let known = || this.known.borrow().get(index).copied().flatten();
    let is_known = |incarnation, node: &Node| match known() {
        Some((known, mut before)) => {
            // A node that is upgraded stays the same.
            before.build = node.build;
            known == incarnation && before == *node
        }
        None => false,
    };
    let object = if is_known(incarnation, &node) {
        objects.entry(index as isize)?
    } else {
        let before = known();
        // Ruby's code: another thread may run, and be faster, or find the next node here.
        let class: RClass =
            ruby.class_object().const_get::<_, RModule>("Tendmap")?.const_get("Node")?;
        let made: Value = class.funcall(
            "_of",
            (
                index,
                incarnation,
                node.id.to_string(),
                node.address.ip().to_string(),
                node.address.port(),
                node.address.to_string(),
                node.tls_name.map(|name| name.to_string()),
            ),
        )?;
        if is_known(incarnation, &node) {
            objects.entry(index as isize)?
        } else {
            if known() == before {
                objects.store(index as isize, made)?;
                let mut known = this.known.borrow_mut();
                if known.len() <= index {
                    known.resize(index + 1, None);
                }
                known[index] = Some((incarnation, node));
            }
            made
        }
    };
    // Whatever that thread has done, the router says only of its own node that it is known.
    if let Some(hot) = &mut *this.hot.borrow_mut()
        && let (Some(incarnation), Some(&node)) =
            (hot.router.incarnation(slot), hot.router.node(slot))
        && let Some(seen) = hot.router.state_mut(slot)
    {
        *seen = is_known(incarnation, &node);
    }
    Ok(object)
}

/// `route(namespace, set, key, policy: :sequence)`.
pub fn route(ruby: &Ruby, this: Obj<Handle>, args: &[Value]) -> Result<Value, Error> {
    let (namespace, of_set, key, policy) = match *args {
        [namespace, of_set, key] => (namespace, of_set, key, Policy::Sequence),
        _ => {
            let args = scan_args::<(Value, Value, Value), (), (), (), RHash, ()>(args)?;
            let (namespace, of_set, key) = args.required;
            (namespace, of_set, key, keyword(ruby, args.keywords)?)
        }
    };
    let namespace = name(ruby, "namespace", namespace)?;
    let of_set = set(ruby, of_set)?;
    let digest = digest(ruby, &of_set, key)?;
    let found = with_router(ruby, this, |router| {
        let route = router.route(namespace.as_str(), digest, policy)?;
        Ok(match *route.state() {
            true => Ok(route.slot()),
            false => Err((route.slot(), route.incarnation(), *route.node())),
        })
    })?;
    object(ruby, this, found)
}

/// The policy among keyword arguments.
fn keyword(ruby: &Ruby, keywords: RHash) -> Result<Policy, Error> {
    let found = get_kwargs::<_, (), (Option<Value>,), ()>(keywords, &[], &["policy"])?;
    found.optional.0.map_or(Ok(Policy::Sequence), |policy| policy_of(ruby, policy))
}

/// A node, the partition, the replica and the sequence.
type Located = (Value, usize, usize, u64);

fn located(
    ruby: &Ruby,
    this: Obj<Handle>,
    namespace: &str,
    target: impl FnOnce(&mut Router<bool>) -> (Partition, Attempt),
) -> Result<Located, Error> {
    let (found, partition, replica, sequence) = with_router(ruby, this, |router| {
        router.namespace(namespace)?;
        let (partition, attempt) = target(router);
        let route = router.route_attempt(namespace, partition, &attempt)?;
        let found = Err((route.slot(), route.incarnation(), *route.node()));
        Ok((found, route.partition(), route.replica(), route.sequence()))
    })?;
    Ok((object(ruby, this, found)?, partition, replica, sequence))
}

pub fn locate(
    ruby: &Ruby,
    this: Obj<Handle>,
    namespace: Value,
    of_set: Value,
    key: Value,
    policy: Value,
) -> Result<Located, Error> {
    let policy = policy_of(ruby, policy)?;
    let namespace = name(ruby, "namespace", namespace)?;
    let digest = digest(ruby, &set(ruby, of_set)?, key)?;
    located(ruby, this, &namespace, |router| {
        (Partition(digest.partition(router.partitions())), router.attempt(policy))
    })
}

/// The next attempt after a node has failed.
pub fn retry(
    ruby: &Ruby,
    this: Obj<Handle>,
    namespace: Value,
    partition: usize,
    replica: u16,
    index: u16,
    policy: Value,
) -> Result<Located, Error> {
    let policy = policy_of(ruby, policy)?;
    let namespace = name(ruby, "namespace", namespace)?;
    let attempt = next_attempt(policy, replica, index);
    located(ruby, this, &namespace, |_| (Partition(partition), attempt))
}

/// The cluster's nodes, in the order of their indexes.
pub fn nodes(ruby: &Ruby, this: Obj<Handle>) -> Result<RArray, Error> {
    let session = session(ruby, this)?;
    let map = guard(ruby, || Ok(session.map()?.map))?;
    let found = ruby.ary_new();
    for (slot, node) in map.nodes.iter() {
        found.push(make(ruby, this, slot, map.nodes.incarnation(slot), *node)?)?;
    }
    Ok(found)
}
