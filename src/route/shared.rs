//! One router for all threads of a program, and one state for each node.
//!
//! A [`Router`](super::Router) changes its own view when the map has changed. Here
//! the view is never changed once threads can see it: a thread that finds it
//! stale makes a copy, brings that up to date, and exchanges it for the one that
//! it has copied. Of several threads that do so at once one wins; the others
//! start again from the winner's. So a lookup takes no lock, and waits for
//! nobody. A copy costs some microseconds, once for each publication.
//!
//! The states are not part of the copy: a view holds references to them, and a
//! node that is unchanged keeps its own. The user's code that makes one runs at
//! its first use, in the node that all threads share, and never in a copy that
//! may be thrown away.

use core::cell::RefCell;
use core::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use arc_swap::{ArcSwap, Guard};

use super::error::RouteError;
use super::names::{Names, NamespaceArgument, NamespaceRef};
use super::namespace_cache::NamespaceHandle;
use super::nodes::KnownNode;
use super::pinned::Pinned;
use super::policy::{Attempt, Policy};
use super::preferred::{PreferredRacks, RouterRacks};
use super::rotation::ReplicaRotation;
use super::router::router_number;
use super::target::Target;
use super::view::{LookupResult, View};
use crate::map::{NamespaceName, Node, NodeId, Slot, SnapshotError};
use crate::protocol::{Check, RETRIES, Stamp};
use crate::random::rng;
use crate::segment::Current;

/// A reference to the view that all threads see, or to a copy of it.
type ViewGuard<S> = Guard<Arc<SharedView<S>>>;
type Make<S> = Arc<dyn Fn(&Node) -> S + Send + Sync>;

/// Routes keys to nodes, for all threads of a program, and keeps one state for
/// each node that all of them share: for example, a pool of connections.
///
/// Clones are the same router. A [`Router`](super::Router) for each thread looks up
/// in a fraction of the time, and has batches; this one is for programs whose
/// threads share what they keep for a node. A lookup takes no lock.
///
/// The state of a node is made by the first thread that uses it, once. It is
/// dropped when the node has left, has another address or has come back under
/// another incarnation, the router has noticed that (by a route or by
/// [`refresh`](Self::refresh)), and no thread has a route or a reference to it
/// any more. A node that stays keeps its state.
///
/// In a forked child all states are made again, as they are used; those of the
/// parent are dropped there, so for a connection, drop must do no more than close
/// it.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use std::sync::Mutex;
/// use tendmap::sim::{Sim, SimConfig};
/// use tendmap::{Client, Config, Policy, Record};
///
/// let sim = Sim::start(SimConfig::fast(3))?;
/// let client = Client::connect(Config::new(vec![sim.seeds()[0].into()]))?;
/// let router = client.shared_router(|node| Mutex::new(vec![format!("to {}", node.address)]));
/// std::thread::scope(|scope| {
///     for user in 0..8 {
///         let router = router.clone();
///         scope.spawn(move || {
///             let route = router.route("test", Record::new("users", user), Policy::Master)?;
///             let pool: &Mutex<Vec<String>> = route.state();
///             println!("{user}: {:?}", pool.lock().unwrap().last());
///             Ok::<_, tendmap::RouteError>(())
///         });
///     }
/// });
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct SharedRouter<S = ()> {
    shared: Arc<Shared<S>>,
}

struct Shared<S> {
    live: ArcSwap<SharedView<S>>,
    current: Arc<Current>,
}

/// What is true of one publication, for all threads. Never changed once it is
/// in [`Shared::live`].
struct SharedView<S> {
    view: View<Arc<SharedNode<S>>>,
    names: Names,
    racks: RouterRacks,
    make: Make<S>,
}

/// A node's state, once it is used.
struct SharedNode<S> {
    state: OnceLock<Arc<S>>,
}

/// A view that is up to date.
struct Fresh<S> {
    next: SharedView<S>,
    stamp: Stamp,
}

impl<S: 'static> SharedView<S> {
    /// A copy with the same states.
    fn copy(&self) -> SharedView<S> {
        SharedView {
            view: self.view.copy(),
            names: self.names.clone(),
            racks: self.racks.clone(),
            make: self.make.clone(),
        }
    }

    /// Brings it to the live publication.
    fn settle(&mut self, current: &Current) -> Result<Stamp, RouteError> {
        if self.racks.catch_up() {
            self.view.forget();
        }
        for _ in 0..RETRIES {
            let settled = match self.view.check() {
                Check::Hit(stamp) => Some(stamp),
                Check::Stale(stamp) => {
                    let empty = |_: &Node| Arc::new(SharedNode { state: OnceLock::new() });
                    let racks = self.racks.as_slice();
                    self.view.refresh(stamp, current, racks, &mut (Box::new(empty) as _))?
                }
            };
            if let Some(stamp) = settled {
                return Ok(stamp);
            }
        }
        Err(SnapshotError::ReadRaced.into())
    }

    /// The handle of a namespace; adds a name that was not asked for before.
    fn resolve(
        &mut self,
        namespace: impl NamespaceRef,
        current: &Current,
    ) -> Result<NamespaceHandle, RouteError> {
        let name = match (self.names.find(namespace), namespace.wanted()) {
            (Some(handle), _) | (None, NamespaceArgument::Handle(handle)) => return Ok(handle),
            (None, NamespaceArgument::Name(name)) => name,
        };
        let parsed = NamespaceName::new(name).ok();
        let there = parsed.filter(|parsed| self.view.namespaces().contains(parsed));
        let Some(parsed) = there else { return Err(self.view.unknown(name)) };
        let handle = self.view.add(parsed);
        self.names.insert(&parsed, handle);
        self.settle(current)?;
        Ok(handle)
    }

    /// Whether all states and all names are those of the other.
    fn shares_all_with(&self, other: &SharedView<S>) -> bool {
        let (mine, theirs) = (self.view.nodes(), other.view.nodes());
        let same = |((slot, node), (other_slot, other)): ((Slot, &Arc<_>), (Slot, &Arc<_>))| {
            slot == other_slot && Arc::ptr_eq(node, other)
        };
        self.names.len() == other.names.len()
            && mine.states().count() == theirs.states().count()
            && mine.states().zip(theirs.states()).all(same)
    }
}

impl<S: Send + Sync + 'static> SharedRouter<S> {
    pub(crate) fn new(
        current: Arc<Current>,
        racks: Arc<PreferredRacks>,
        make: impl Fn(&Node) -> S + Send + Sync + 'static,
    ) -> SharedRouter<S> {
        let mut followed = RouterRacks::none();
        followed.follow(racks);
        let view = SharedView {
            view: View::new(current.get(), router_number()),
            names: Names::new(),
            racks: followed,
            make: Arc::new(make),
        };
        let live = ArcSwap::from_pointee(view);
        SharedRouter { shared: Arc::new(Shared { live, current }) }
    }

    /// Resolves a namespace once, for many lookups by any thread.
    ///
    /// # Errors
    /// As [`Router::namespace`](super::Router::namespace).
    pub fn namespace(&self, name: &str) -> Result<NamespaceHandle, RouteError> {
        self.up_to_date(|fresh, current| {
            let handle = fresh.next.resolve(name, current)?;
            // A name that has left the map has a handle, but is not found.
            match fresh.next.view.namespaces().iter().any(|known| known.as_str() == name) {
                true => Ok(Some(handle)),
                false => Err(fresh.next.view.unknown(name)),
            }
        })
        .map(|(handle, _)| handle)
    }

    /// The node of a target's partition under a policy: the first try of a command. The namespace
    /// is given as a handle of this router, or by name, which costs slightly more.
    ///
    /// # Errors
    /// [`RouteError`] says what is missing.
    #[inline(always)]
    pub fn route(
        &self,
        namespace: impl NamespaceRef,
        target: impl Target,
        policy: Policy,
    ) -> Result<SharedRoute<S>, RouteError> {
        self.route_attempt(namespace, target, &self.attempt(policy))
    }

    /// The state of a command that may be tried several times. Each thread has its own turn
    /// among the replicas.
    #[inline(always)]
    #[must_use]
    pub fn attempt(&self, policy: Policy) -> Attempt {
        match policy {
            Policy::Master | Policy::Sequence | Policy::PreferRack => Attempt::new(policy, 0),
            Policy::Any | Policy::Random => drawn(policy),
        }
    }

    /// The node of a target's partition for this try of a command. If the node fails, report that
    /// with [`Attempt::fail`] and call this again.
    ///
    /// # Errors
    /// As [`route`](Self::route).
    #[inline(always)]
    pub fn route_attempt(
        &self,
        namespace: impl NamespaceRef,
        target: impl Target,
        attempt: &Attempt,
    ) -> Result<SharedRoute<S>, RouteError> {
        let live = self.shared.live.load();
        let behind = attempt.policy() == Policy::PreferRack && live.racks.are_behind();
        if let (Some(handle), false) = (live.names.find(namespace), behind)
            && let Some(found) = live.view.find(handle, &target, attempt)
        {
            return Ok(SharedRoute { live, found });
        }
        drop(live);
        // Taken apart: with one place in memory for the result of both paths, the fast one
        // would be stored in pieces and read back in larger ones, which stalls.
        let SharedRoute { live, found } = self.look_again(namespace, target, *attempt)?;
        Ok(SharedRoute { live, found })
    }

    /// The slow path, by the reference implementation.
    #[cold]
    #[inline(never)]
    fn look_again(
        &self,
        namespace: impl NamespaceRef,
        target: impl Target,
        attempt: Attempt,
    ) -> Result<SharedRoute<S>, RouteError> {
        let (found, live) = self.up_to_date(|fresh, current| {
            let namespace = fresh.next.resolve(namespace, current)?;
            // Adding a name has brought the view up to date again.
            fresh.stamp = fresh.next.settle(current)?;
            let (view, stamp) = (&fresh.next.view, fresh.stamp);
            let partition = target.partition(view.partitions());
            let chosen =
                Pinned::new(view, stamp).namespace(namespace)?.plain(partition, &attempt)?;
            if !view.validate(stamp) {
                return Ok(None);
            }
            match chosen {
                Some((replica, slot)) => {
                    let (index, sequence) = (slot.index(), stamp.sequence());
                    Ok(Some(LookupResult { index, replica, partition, sequence }))
                }
                None => Err(view.no_node(namespace, partition, attempt.policy())),
            }
        })?;
        Ok(SharedRoute { live, found })
    }

    /// Brings the router up to date, and returns the live sequence: drops the states of nodes
    /// that have left. Routes do this by themselves; a program that rarely routes can call it
    /// when the map has changed.
    ///
    /// # Errors
    /// [`RouteError::NoMap`], and errors of the map itself.
    pub fn refresh(&self) -> Result<u64, RouteError> {
        self.up_to_date(|fresh, _| Ok(Some(fresh.stamp.sequence()))).map(|(sequence, _)| sequence)
    }

    /// The states that were made so far, by slot, as of the last lookup by any thread.
    #[must_use]
    pub fn states(&self) -> Vec<(Slot, Arc<S>)> {
        let live = self.shared.live.load();
        let states = live.view.nodes().states();
        states.filter_map(|(slot, node)| Some((slot, node.state.get()?.clone()))).collect()
    }

    /// Runs `look` with a copy of the view that is up to date, and makes the copy the one that
    /// all threads see. `look` returns `None` to be run again.
    fn up_to_date<T>(
        &self,
        mut look: impl FnMut(&mut Fresh<S>, &Current) -> Result<Option<T>, RouteError>,
    ) -> Result<(T, ViewGuard<S>), RouteError> {
        let Shared { live, current } = &*self.shared;
        for _ in 0..RETRIES {
            let before = live.load();
            let mut next = before.copy();
            let stamp = next.settle(current)?;
            let mut fresh = Fresh { next, stamp };
            let Some(found) = look(&mut fresh, current)? else { continue };
            let next = fresh.next;
            let shares_all = next.shares_all_with(&before);
            let next = Arc::new(next);
            let there = live.compare_and_swap(&*before, next.clone());
            // A copy that another thread was faster than must not be used, if it has nodes or
            // names of its own: no other thread would share their states.
            if Arc::ptr_eq(&there, &before) || shares_all {
                return Ok((found, Guard::from_inner(next)));
            }
        }
        Err(SnapshotError::ReadRaced.into())
    }
}

/// The first try of a command under a policy that draws its start.
fn drawn(policy: Policy) -> Attempt {
    thread_local! {
        static STARTS: RefCell<ReplicaRotation> = RefCell::new(ReplicaRotation::new());
    }
    let drawn = STARTS.try_with(|starts| starts.borrow_mut().attempt(policy));
    // While the thread ends, it has none any more.
    drawn.unwrap_or_else(|_| Attempt::new(policy, rng().u32(..)))
}

impl<S> Clone for SharedRouter<S> {
    fn clone(&self) -> SharedRouter<S> {
        SharedRouter { shared: self.shared.clone() }
    }
}

impl<S> fmt::Debug for SharedRouter<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let live = self.shared.live.load();
        f.debug_struct("SharedRouter")
            .field("segment", &live.view.segment().identity())
            .field("namespaces", &live.view.namespaces())
            .finish_non_exhaustive()
    }
}

/// The route of a key, from a [`SharedRouter`].
///
/// While it exists, it keeps the states of all nodes of its publication. To keep
/// the state of its node for longer, take it with [`to_state`](Self::to_state).
pub struct SharedRoute<S = ()> {
    live: ViewGuard<S>,
    found: LookupResult,
}

impl<S> SharedRoute<S> {
    fn known(&self) -> &KnownNode {
        let (_, known) = self.live.view.nodes().split();
        known[self.found.index].as_ref().expect("a node where there is a state")
    }

    #[inline(always)]
    fn made(&self) -> &Arc<S> {
        let (states, _) = self.live.view.nodes().split();
        let node = states.get(self.found.index).expect("a state was found there");
        match node.state.get() {
            Some(state) => state,
            None => self.make(node),
        }
    }

    #[cold]
    #[inline(never)]
    fn make<'a>(&'a self, node: &'a SharedNode<S>) -> &'a Arc<S> {
        node.state.get_or_init(|| Arc::new((self.live.make)(&self.known().node)))
    }

    /// The node.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.known().node
    }

    /// The node's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.node().id
    }

    /// The node's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.node().address
    }

    /// The node's slot in the table.
    #[inline]
    #[must_use]
    pub fn slot(&self) -> Slot {
        Slot::below_limit(self.found.index)
    }

    /// How often a node moved into that slot: another number is another node,
    /// or the same one come back.
    #[must_use]
    pub fn incarnation(&self) -> u32 {
        self.known().incarnation
    }

    /// The replica that was chosen, 0 = the master.
    #[inline]
    #[must_use]
    pub fn replica(&self) -> usize {
        self.found.replica
    }

    /// The partition.
    #[inline]
    #[must_use]
    pub fn partition(&self) -> usize {
        self.found.partition
    }

    /// The publication from which the route was read.
    #[inline]
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.found.sequence
    }

    /// The state of the node, which all threads share. The first use makes it; other threads
    /// that want the same one wait for that.
    #[inline(always)]
    #[must_use]
    pub fn state(&self) -> &S {
        self.made()
    }

    /// The same, to be kept for longer than the route.
    #[must_use]
    pub fn to_state(&self) -> Arc<S> {
        self.made().clone()
    }
}

impl<S> fmt::Debug for SharedRoute<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedRoute")
            .field("node", self.node())
            .field("replica", &self.found.replica)
            .field("partition", &self.found.partition)
            .field("sequence", &self.found.sequence)
            .finish_non_exhaustive()
    }
}
