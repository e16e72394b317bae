//! Routers: one for each thread.

use core::cell::Cell;
use core::ffi::{c_char, c_int, c_void};
use core::sync::atomic::{AtomicU32, Ordering};

use tendmap::map::Slot;
use tendmap::route::{Batch, NamespaceHandle, Router as Known};
use tendmap_bindings::{Failure, Kind};

use crate::client::Client;
use crate::error::{guard, guard_pointer};
use crate::handle::{Body, Shell};
use crate::node::Node;
use crate::text::{Out, bad, text};

/// Frees the state of a node. It is called when the node has left, has another
/// address or was replaced by another node with its name, when the router is
/// freed, and in a forked child for the states of the parent: there it may only
/// close(2) a connection. It runs during a call with the router, and must not use
/// that router; it must return, not longjmp() or throw.
pub type StateFree = Option<unsafe extern "C" fn(state: *mut c_void)>;

/// The state that a C program attaches to a node.
pub struct State {
    pub pointer: *mut c_void,
    free: StateFree,
}

impl Drop for State {
    fn drop(&mut self) {
        if let (false, Some(free)) = (self.pointer.is_null(), self.free) {
            // SAFETY: the pointer is what the caller attached for this
            // function, and no other code has it any more.
            unsafe { free(self.pointer) }
        }
    }
}

/// Routes keys to nodes, for one thread.
pub struct Router {
    known: Known<State>,
    batch: Batch,
    namespaces: Vec<NamespaceHandle>,
    /// The upper half of every namespace number of this router.
    id: u32,
    thread: libc::pthread_t,
    busy: Cell<bool>,
}

impl Body for Router {
    const TAG: u32 = u32::from_be_bytes(*b"tmRO");
    const NAME: &'static str = "tendmap_router";
}

/// A router in use by its own thread, not from within one of its own calls.
pub struct Lent<'a> {
    pub known: &'a mut Known<State>,
    pub batch: &'a mut Batch,
    namespaces: &'a mut Vec<NamespaceHandle>,
    id: u32,
    busy: &'a Cell<bool>,
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.busy.set(false);
    }
}

fn this_thread() -> libc::pthread_t {
    // SAFETY: it has no preconditions and can't fail.
    unsafe { libc::pthread_self() }
}

/// Checks the calling thread before anything is touched that belongs to one thread.
///
/// # Safety
/// `router` is null or a handle.
#[inline(always)]
pub unsafe fn lend<'a>(router: *mut Shell<Router>) -> Result<Lent<'a>, Failure> {
    // SAFETY: the caller's promise.
    let body = unsafe { Shell::body(router)? };
    // SAFETY: it is never written to.
    if unsafe { (*body).thread } != this_thread() {
        return Err(wrong_thread());
    }
    // SAFETY: only this thread accesses it.
    let busy = unsafe { &(*body).busy };
    if busy.replace(true) {
        return Err(bad("the router is in use: its own callback calls it"));
    }
    // SAFETY: the only thread that passes the first check, and not from within
    // a call that has passed the second.
    let (known, batch, namespaces) =
        unsafe { (&mut (*body).known, &mut (*body).batch, &mut (*body).namespaces) };
    // SAFETY: it is never written to.
    Ok(Lent { known, batch, namespaces, id: unsafe { (*body).id }, busy })
}

impl Lent<'_> {
    /// The namespace with this number.
    #[inline(always)]
    pub fn namespace(&self, number: u64) -> Result<NamespaceHandle, Failure> {
        match self.namespaces.get(number as u32 as usize) {
            Some(&namespace) if number >> 32 == u64::from(self.id) => Ok(namespace),
            _ => Err(foreign()),
        }
    }
}

#[cold]
fn wrong_thread() -> Failure {
    let text = "the router belongs to another thread; make one for this thread";
    Failure::new(Kind::WrongThread, text)
}

#[cold]
fn foreign() -> Failure {
    let text = "the namespace was resolved by another router; resolve it with this one";
    Failure::new(Kind::ForeignHandle, text)
}

/// A router for the calling thread. `free_state` may be NULL. NULL on error.
///
/// Threads: the router belongs to the thread that created it; on any other thread
/// calls return TENDMAP_ERROR_WRONG_THREAD. Fork: it stays valid in a child, for
/// the thread that called fork(), and sees later publications; the states of
/// nodes are freed there. It starts no thread in the child: call
/// tendmap_client_role() once for that.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_router_new(
    client: *const Shell<Client>,
    free_state: StateFree,
) -> *mut Shell<Router> {
    static ROUTERS: AtomicU32 = AtomicU32::new(1);
    guard_pointer(|| {
        // SAFETY: a handle, as the documentation requires.
        let reader = unsafe { Shell::with(client, |client| client.0.reader()) }?;
        let state = move |_: &_| State { pointer: core::ptr::null_mut(), free: free_state };
        Ok(Shell::open(Router {
            known: reader.router_with(state),
            batch: Batch::new(),
            namespaces: Vec::new(),
            id: ROUTERS.fetch_add(1, Ordering::Relaxed),
            thread: this_thread(),
            busy: Cell::new(false),
        }))
    })
}

/// Frees a router and the states of its nodes. NULL is allowed.
///
/// Threads: only the router's own, before that thread ends. Fork: a child frees
/// inherited routers itself.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_router_free(router: *mut Shell<Router>) -> c_int {
    guard(|| {
        if router.is_null() {
            return Ok(());
        }
        // SAFETY: a handle, as the documentation requires.
        drop(unsafe { lend(router)? });
        // SAFETY: as above.
        unsafe { Shell::close(router) }
    })
}

/// Resolves a namespace once, for many routes: writes to `out` the number that
/// identifies it in this router. The number stays valid if the namespace is removed
/// and added again.
///
/// Threads: the router's own. Fork: numbers stay valid in a child.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_router_namespace(
    router: *mut Shell<Router>,
    name: *const c_char,
    out: *mut u64,
) -> c_int {
    guard(|| {
        // SAFETY: a handle, a text and a place, as the documentation requires.
        let (lent, name, out) =
            unsafe { (lend(router)?, text("a namespace", name)?, Out::at("a namespace", out)?) };
        let namespace = lent.known.namespace(name)?;
        let known = lent.namespaces.iter().position(|&known| known == namespace);
        let index = known.unwrap_or(lent.namespaces.len());
        if known.is_none() {
            lent.namespaces.push(namespace);
        }
        out.put(u64::from(lent.id) << 32 | index as u64);
        Ok(())
    })
}

/// The node of an index that a route returned, with its name and address, as of
/// the router's last call.
///
/// Threads: the router's own. Fork: a child may call it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_router_node(
    router: *mut Shell<Router>,
    node: u16,
    out: *mut Node,
) -> c_int {
    guard(|| {
        // SAFETY: a handle and a place, as the documentation requires.
        let (lent, out) = unsafe { (lend(router)?, Out::at("a node", out)?) };
        let slot = Slot::new(node.into()).ok_or_else(|| no_node(node))?;
        let found = lent.known.node(slot).ok_or_else(|| no_node(node))?;
        let incarnation = lent.known.incarnation(slot).unwrap_or(0);
        out.put(Node::of(slot, incarnation, found));
        Ok(())
    })
}

/// Attaches `state` (for example, a connection pool) to the node of an index
/// that a route returned: routes to that node contain it from now on, while the
/// node and its address are unchanged. Earlier state is freed.
///
/// Threads: the router's own. Fork: the parent's states are freed in a child at
/// its first call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tendmap_router_set_state(
    router: *mut Shell<Router>,
    node: u16,
    state: *mut c_void,
) -> c_int {
    guard(|| {
        // SAFETY: a handle, as the documentation requires.
        let lent = unsafe { lend(router)? };
        let slot = Slot::new(node.into()).ok_or_else(|| no_node(node))?;
        let place = lent.known.state_mut(slot).ok_or_else(|| no_node(node))?;
        if place.pointer != state {
            let free = place.free;
            *place = State { pointer: state, free };
        }
        Ok(())
    })
}

#[cold]
fn no_node(node: u16) -> Failure {
    bad(format!("no node has index {node} at the moment; ask with the index of the last route"))
}
