//! Routes for many keys.

use core::ffi::{c_char, c_int};

use tendmap::route::{Digest, InSet, Keys};
use tendmap_bindings::{Failure, indexes};

use crate::error::guard;
use crate::handle::Shell;
use crate::route::{policy, utf8};
use crate::router::{Router, lend};
use crate::text::{Out, array, array_out, bad, optional};

/// The index that means "no node".
pub const TENDMAP_NO_NODE: u16 = 0xFFFF;

const _: () = assert!(TENDMAP_NO_NODE == tendmap_bindings::NO_NODE);

/// Refuses an invalid batch before memory for it is requested.
fn check(count: usize) -> Result<(), Failure> {
    match u32::try_from(count) {
        Ok(_) => Ok(()),
        Err(_) => Err(bad(format!("{count} keys; wanted fewer than 2^32 at once"))),
    }
}

#[cold]
fn no_memory(count: usize) -> Failure {
    bad(format!("no memory for {count} keys at once; route fewer"))
}

/// # Safety
/// As the functions below.
unsafe fn many(
    router: *mut Shell<Router>,
    namespace: u64,
    keys: &(impl Keys + ?Sized),
    number: u32,
    nodes: *mut u16,
    sequence: *mut u64,
) -> Result<(), Failure> {
    let policy = policy(number)?;
    let count = keys.len();
    // SAFETY: null, or a place, as the functions below require.
    let sequence = unsafe { (!sequence.is_null()).then(|| Out::at("a sequence", sequence)) };
    let sequence = sequence.transpose()?;
    // SAFETY: a handle and an array, as the functions below require.
    let (lent, nodes) = unsafe { (lend(router)?, array_out("nodes", nodes, count)?) };
    let namespace = lent.namespace(namespace)?;
    lent.batch.try_reserve(count).map_err(|_| no_memory(count))?;
    lent.known.route_batch(namespace, keys, policy, lent.batch)?;
    indexes(lent.batch, nodes);
    if let Some(sequence) = sequence {
        sequence.put(lent.batch.sequence());
    }
    Ok(())
}

/// Routes `count` integer keys of `set` (NULL = of no set), all in one
/// publication: writes to nodes[i] the index of the node of keys[i], or
/// TENDMAP_NO_NODE if no node of its partition may be used. `sequence` (may be
/// NULL) gets the publication. Several digests are computed at once. The call
/// allocates only for more keys than in any earlier batch of this router.
///
/// TENDMAP_ERROR_ARGUMENT if there is not enough memory for the keys, or there
/// are 2^32 or more. On error the content of `nodes` is undefined.
///
/// Threads: the router's own. Fork: a child may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_route_batch_integers(
    router: *mut Shell<Router>,
    name_space: u64,
    set: *const c_char,
    keys: *const i64,
    count: usize,
    policy: u32,
    nodes: *mut u16,
    sequence: *mut u64,
) -> c_int {
    guard(|| {
        check(count)?;
        // SAFETY: the arguments are as the documentation requires.
        unsafe {
            let keys = InSet::new(optional("a set", set)?, array("keys", keys, count)?);
            many(router, name_space, &keys, policy, nodes, sequence)
        }
    })
}

/// As tendmap_route_batch_integers(), for text keys of UTF-8. `lengths` holds
/// the length of each in bytes; NULL if each ends with a zero byte.
///
/// Threads: the router's own. Fork: a child may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_route_batch_strings(
    router: *mut Shell<Router>,
    name_space: u64,
    set: *const c_char,
    keys: *const *const c_char,
    lengths: *const usize,
    count: usize,
    policy: u32,
    nodes: *mut u16,
    sequence: *mut u64,
) -> c_int {
    guard(|| {
        check(count)?;
        // SAFETY: the arguments are as the documentation requires.
        unsafe {
            let set = optional("a set", set)?;
            let keys = array("keys", keys, count)?;
            let lengths = match lengths.is_null() {
                true => None,
                false => Some(array("lengths", lengths, count)?),
            };
            let key = |(index, &key): (usize, &*const c_char)| match lengths {
                Some(lengths) => utf8(array("a key", key.cast(), lengths[index])?),
                None => crate::text::text("a key", key),
            };
            let mut texts: Vec<&str> = Vec::new();
            texts.try_reserve_exact(count).map_err(|_| no_memory(count))?;
            for found in keys.iter().enumerate().map(key) {
                texts.push(found?);
            }
            many(router, name_space, &InSet::new(set, &texts), policy, nodes, sequence)
        }
    })
}

/// As tendmap_route_batch_integers(), for digests: `count` times 20 bytes, one
/// after the other.
///
/// Threads: the router's own. Fork: a child may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_route_batch_digests(
    router: *mut Shell<Router>,
    name_space: u64,
    digests: *const [u8; 20],
    count: usize,
    policy: u32,
    nodes: *mut u16,
    sequence: *mut u64,
) -> c_int {
    guard(|| {
        check(count)?;
        // SAFETY: the arguments are as the documentation requires; a digest is its
        // 20 bytes, whatever they are.
        unsafe {
            let digests = array("digests", digests.cast::<Digest>(), count)?;
            many(router, name_space, digests, policy, nodes, sequence)
        }
    })
}
