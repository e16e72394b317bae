//! The route of one key.

use core::ffi::{c_char, c_int, c_void};

use tendmap::route::{Digest, Key, Partition, Policy as Known, Record, RouteError, Target};
use tendmap_bindings::{Failure, next_attempt, not_utf8};

use crate::error::guard;
use crate::handle::Shell;
use crate::router::{Router, lend};
use crate::text::{Out, array, bad, optional};

/// How a command chooses among the replicas of its partition.
#[repr(u32)]
pub enum Policy {
    /// Only the master.
    Master = 0,
    /// Replicas in their order, from the master on; a retry goes to the next.
    Sequence = 1,
    /// As SEQUENCE, starting one replica further with each command.
    Any = 2,
    /// As SEQUENCE, starting at a random replica.
    Random = 3,
    /// A node in the first of the preferred racks that has one, then in the
    /// second, and so on, then any; see tendmap_client_set_preferred_racks(). A
    /// retry goes to the node that has failed only if there is no other.
    PreferRack = 4,
}

/// Reads a policy; the caller may pass any number.
#[inline]
pub fn policy(number: u32) -> Result<Known, Failure> {
    const MASTER: u32 = Policy::Master as u32;
    const SEQUENCE: u32 = Policy::Sequence as u32;
    const ANY: u32 = Policy::Any as u32;
    const RANDOM: u32 = Policy::Random as u32;
    const PREFER_RACK: u32 = Policy::PreferRack as u32;
    match number {
        MASTER => Ok(Known::Master),
        SEQUENCE => Ok(Known::Sequence),
        ANY => Ok(Known::Any),
        RANDOM => Ok(Known::Random),
        PREFER_RACK => Ok(Known::PreferRack),
        _ => Err(bad(format!("policy {number}; wanted a tendmap_policy, 0 to 4"))),
    }
}

/// The route of a key.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Route {
    /// The publication that it was read from.
    pub sequence: u64,
    /// The node's state, see tendmap_router_set_state(); NULL = none. It is valid
    /// until the router's next call.
    pub state: *mut c_void,
    /// The partition.
    pub partition: u32,
    /// Together with `node` it identifies the node. Another number means another
    /// node, or the same node after its return.
    pub incarnation: u32,
    /// The node's index, for tendmap_router_node().
    pub node: u16,
    /// The replica's number; 0 = the master.
    pub replica: u16,
}

/// # Safety
/// As the functions below.
#[inline(always)]
unsafe fn route(
    router: *mut Shell<Router>,
    namespace: u64,
    target: impl Target,
    number: u32,
    out: *mut Route,
) -> Result<(), Failure> {
    let policy = policy(number)?;
    // SAFETY: a handle and a place, as the functions below require.
    let (lent, out) = unsafe { (lend(router)?, Out::at("a route", out)?) };
    let namespace = lent.namespace(namespace)?;
    out.put(c_route(lent.known.route(namespace, target, policy))?);
    Ok(())
}

#[inline(always)]
fn c_route(
    found: Result<tendmap::route::Route<'_, crate::router::State>, RouteError>,
) -> Result<Route, Failure> {
    let found = found?;
    Ok(Route {
        sequence: found.sequence(),
        state: found.state().pointer,
        partition: found.partition() as u32,
        incarnation: found.incarnation(),
        node: found.slot().index() as u16,
        replica: found.replica() as u16,
    })
}

/// Routes an integer key of `set` (NULL = of no set) in a namespace of
/// tendmap_router_namespace(), and writes the route to `out`. `policy` is a
/// tendmap_policy.
///
/// TENDMAP_ERROR_NO_NODE if no node of the partition may be used: try again
/// after the next tend. `out` is untouched on error.
///
/// Threads: the router's own. Fork: a child may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_route_integer(
    router: *mut Shell<Router>,
    name_space: u64,
    set: *const c_char,
    key: i64,
    policy: u32,
    out: *mut Route,
) -> c_int {
    guard(|| {
        // SAFETY: the arguments are as the documentation requires.
        unsafe {
            let set = optional("a set", set)?;
            route(router, name_space, Record { set, key: Key::Integer(key) }, policy, out)
        }
    })
}

/// As tendmap_route_integer(), for a text key of `length` bytes of UTF-8; it
/// may contain any character and needs no zero byte at its end.
///
/// Threads: the router's own. Fork: a child may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_route_string(
    router: *mut Shell<Router>,
    name_space: u64,
    set: *const c_char,
    key: *const c_char,
    length: usize,
    policy: u32,
    out: *mut Route,
) -> c_int {
    guard(|| {
        // SAFETY: the arguments are as the documentation requires.
        unsafe {
            let set = optional("a set", set)?;
            let key = utf8(array("a key", key.cast(), length)?)?;
            route(router, name_space, Record { set, key: Key::Str(key) }, policy, out)
        }
    })
}

/// As tendmap_route_integer(), for a key of `length` raw bytes. (Not the same
/// key as a text of those bytes.)
///
/// Threads: the router's own. Fork: a child may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_route_bytes(
    router: *mut Shell<Router>,
    name_space: u64,
    set: *const c_char,
    key: *const c_void,
    length: usize,
    policy: u32,
    out: *mut Route,
) -> c_int {
    guard(|| {
        // SAFETY: the arguments are as the documentation requires.
        unsafe {
            let set = optional("a set", set)?;
            let key = array("a key", key.cast(), length)?;
            route(router, name_space, Record { set, key: Key::Bytes(key) }, policy, out)
        }
    })
}

/// As tendmap_route_integer(), for a floating point key, by its bits: 0.0 and
/// -0.0 are two keys.
///
/// Threads: the router's own. Fork: a child may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_route_double(
    router: *mut Shell<Router>,
    name_space: u64,
    set: *const c_char,
    key: f64,
    policy: u32,
    out: *mut Route,
) -> c_int {
    guard(|| {
        // SAFETY: the arguments are as the documentation requires.
        unsafe {
            let set = optional("a set", set)?;
            route(router, name_space, Record { set, key: Key::Double(key) }, policy, out)
        }
    })
}

/// As tendmap_route_integer(), for a digest of 20 bytes, computed here or
/// elsewhere.
///
/// Threads: the router's own. Fork: a child may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_route_digest(
    router: *mut Shell<Router>,
    name_space: u64,
    digest: *const u8,
    policy: u32,
    out: *mut Route,
) -> c_int {
    guard(|| {
        // SAFETY: the arguments are as the documentation requires.
        unsafe {
            let bytes = array("a digest", digest, Digest::LEN)?;
            let digest = Digest::from_bytes(bytes.try_into().expect("the length was checked"));
            route(router, name_space, digest, policy, out)
        }
    })
}

/// As tendmap_route_integer(), for a partition by its number.
///
/// Threads: the router's own. Fork: a child may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_route_partition(
    router: *mut Shell<Router>,
    name_space: u64,
    partition: u32,
    policy: u32,
    out: *mut Route,
) -> c_int {
    // SAFETY: the arguments are as the documentation requires.
    guard(|| unsafe { route(router, name_space, Partition(partition as usize), policy, out) })
}

/// The next attempt after the node of `route` has failed a command, from the
/// replica after it. `route` is replaced, and unchanged on error; with
/// TENDMAP_POLICY_MASTER it is the master again.
///
/// Threads: the router's own. Fork: a child may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_route_retry(
    router: *mut Shell<Router>,
    name_space: u64,
    policy: u32,
    route: *mut Route,
) -> c_int {
    guard(|| {
        let policy = self::policy(policy)?;
        // SAFETY: a handle and a place, as the documentation requires.
        let (lent, out) = unsafe { (lend(router)?, Out::at("a route", route)?) };
        // SAFETY: a route that was written before, as the documentation requires.
        let failed = unsafe { *route };
        let namespace = lent.namespace(name_space)?;
        let attempt = next_attempt(policy, failed.replica, failed.node);
        let target = Partition(failed.partition as usize);
        out.put(c_route(lent.known.route_attempt(namespace, target, &attempt))?);
        Ok(())
    })
}

/// The digest of an integer key of `set` (NULL = of no set): writes 20 bytes.
///
/// Threads: any. Fork: any process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_digest_integer(
    set: *const c_char,
    key: i64,
    digest: *mut [u8; 20],
) -> c_int {
    guard(|| {
        // SAFETY: the arguments are as the documentation requires.
        let (set, digest) = unsafe { (optional("a set", set)?, Out::at("a digest", digest)?) };
        digest.put(*Digest::of(set, key).as_bytes());
        Ok(())
    })
}

/// As tendmap_digest_integer(), for a text key of `length` bytes of UTF-8.
///
/// Threads: any. Fork: any process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_digest_string(
    set: *const c_char,
    key: *const c_char,
    length: usize,
    digest: *mut [u8; 20],
) -> c_int {
    guard(|| {
        // SAFETY: the arguments are as the documentation requires.
        let (set, key, digest) = unsafe {
            let key = utf8(array("a key", key.cast(), length)?)?;
            (optional("a set", set)?, key, Out::at("a digest", digest)?)
        };
        digest.put(*Digest::of(set, key).as_bytes());
        Ok(())
    })
}

/// Reads text.
#[inline]
pub fn utf8(bytes: &[u8]) -> Result<&str, Failure> {
    core::str::from_utf8(bytes).map_err(|error| {
        not_utf8("key", format_args!("{error}; a key of raw bytes has its own function"))
    })
}
