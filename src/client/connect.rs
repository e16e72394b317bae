//! Connecting and closing.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use super::changes::{Changes, ChangesError};
use super::config::{Config, check_cluster};
use super::error::ConnectError;
use super::event::Role;
use super::open::{connect_private, connect_shared};
use super::reader::Reader;
use super::state::{ClientState, RequestCount};
use super::status::{Status, StatusError};
use super::thread::{OpenConnect, on_client_thread};
use crate::layout::OwnerWord;
use crate::map::{ClusterName, Node, Snapshot, SnapshotError};
use crate::protocol::load_owner;
use crate::route::{Router, SharedRouter};
use crate::segment::{Segment, resolved};
use crate::tend::{AerospikeSource, ClusterSource};

/// A process's connection to a cluster's map.
///
/// All connects of a process under the same key share one attachment and one
/// thread; closing the last one ends them. Clones belong to the same connect:
/// closing one closes all of them, and so does dropping the last one.
///
/// After close, reading still works: routers and the map remain usable. The
/// [`role`](Self::role) is then [`Role::Closed`]. The same is true of a client
/// that a forked child has inherited, since the thread is its parent's:
/// [`start`](Self::start) gives the child its own.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use tendmap::sim::{Sim, SimConfig};
/// use tendmap::{Client, Config, Policy, Record, Role};
///
/// let sim = Sim::start(SimConfig::fast(2))?;
/// // With `Config::shared` other processes of the host would share the map.
/// let client = Client::connect(Config::new(vec![sim.seeds()[0].into()]))?;
/// assert_eq!(client.role(), Role::Owner);
/// let mut router = client.router();
/// let route = router.route("test", Record::new("users", 42), Policy::Master)?;
/// println!("ask {} at {}", route.id(), route.address());
/// client.close();
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Client {
    open: Arc<OpenConnect>,
    pub(super) reader: Reader,
}

impl Client {
    /// Connects: attaches to the segment of the key, or creates it and tends.
    ///
    /// Returns as soon as there is a map to route from. With a living owner it returns at once
    /// and contacts no server if a `cluster_name` is configured, the owner was given the same
    /// hosts, or one of the hosts is a node of the map. Otherwise the hosts are asked once, to
    /// verify that the map is of their cluster.
    ///
    /// # Errors
    /// [`ConnectError`]; nothing is left behind, and the next process may try at once.
    pub fn connect(config: Config) -> Result<Client, ConnectError> {
        config.check()?;
        let source = AerospikeSource::new(config.source()?);
        Client::connect_with(config, Box::new(source))
    }

    /// Like [`connect`](Self::connect), but does not wait for a map: it returns as soon as the
    /// segment is attached or created.
    ///
    /// Until there is a map, routing returns
    /// [`RouteError::NoMap`](crate::route::RouteError::NoMap). A failed first pass is not an
    /// error here: it is repeated. With this function a forked child, which routes from what it
    /// has inherited, gets its own thread without a pause.
    ///
    /// # Errors
    /// [`ConnectError`], except the variants that come from waiting.
    pub fn start(config: Config) -> Result<Client, ConnectError> {
        config.check()?;
        let source = AerospikeSource::new(config.source()?);
        Client::start_with(config, Box::new(source))
    }

    /// Like [`connect`](Self::connect), with another source of maps.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_with(
        config: Config,
        source: Box<dyn ClusterSource>,
    ) -> Result<Client, ConnectError> {
        config.check()?;
        let wanted = config.wanted_cluster()?;
        let (client, asked) = Client::begin(config, source, true, &AtomicBool::new(false))?;
        client.wait_first(asked, wanted)?;
        Ok(client)
    }

    internal! {
        /// Like [`connect`](Self::connect), or [`start`](Self::start) unless it `waits`, but it
        /// can be ended early: by `called_off` until it calls `begun` with the client, and from
        /// then on by closing that.
        ///
        /// # Errors
        /// As [`connect`](Self::connect); [`ConnectError::Ended`] if it was ended early.
        fn connect_unless(
            config: Config,
            waits: bool,
            called_off: &AtomicBool,
            begun: impl FnOnce(&Client),
        ) -> Result<Client, ConnectError> {
            config.check()?;
            let source = Box::new(AerospikeSource::new(config.source()?));
            let wanted = config.wanted_cluster()?;
            let (client, asked) = Client::begin(config, source, waits, called_off)?;
            begun(&client);
            if waits {
                client.wait_first(asked, wanted)?;
            }
            Ok(client)
        }
    }

    /// Like [`start`](Self::start), with another source of maps.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(
        config: Config,
        source: Box<dyn ClusterSource>,
    ) -> Result<Client, ConnectError> {
        config.check()?;
        Ok(Client::begin(config, source, false, &AtomicBool::new(false))?.0)
    }

    fn begin(
        mut config: Config,
        source: Box<dyn ClusterSource>,
        waits: bool,
        called_off: &AtomicBool,
    ) -> Result<(Client, RequestCount), ConnectError> {
        // Resolved now: the process may change its working directory later, and
        // links may change.
        config.shm_directory = resolved(&config.shm_directory);
        let racks = config.preferred_racks.clone();
        // The source holds the password, and a later change goes there.
        let config = Config { password: None, ..config };
        let (open, asked) = match config.use_shm {
            true => connect_shared(config, source, waits, called_off)?,
            false => connect_private(config, source, waits)?,
        };
        let reader = Reader::of(open.handle.state.current.clone(), &racks);
        Ok((Client { open: Arc::new(open), reader }, asked))
    }

    pub(super) fn state(&self) -> &ClientState {
        &self.open.handle.state
    }

    fn wait_first(
        &self,
        asked: RequestCount,
        wanted: Option<ClusterName>,
    ) -> Result<(), ConnectError> {
        let state = self.state();
        if !state.has_map() && state.role() != Role::Owner {
            // The owner in another process may be waiting out a long interval.
            self.request_tend();
        }
        let mut patience = state.config.patience();
        if on_client_thread() {
            // An observer connects: the answer may depend on the thread that it
            // runs on.
            patience = Duration::ZERO;
        }
        let begun = Instant::now();
        if let Some(result) = state.wait_first(asked, patience) {
            // The first client of this process may want no particular cluster.
            let segment = state.current.get();
            return result.and_then(|()| check_cluster(state.config.shm_key, wanted, &segment));
        }
        // The result of an earlier attempt, if a later one takes this long.
        if let Some(error) = state.failure() {
            return Err(error);
        }
        let segment = state.current.get();
        let pid = load_owner(segment.mapping().owner(OwnerWord::Pid), segment.head());
        Err(ConnectError::NoMapYet { waited: begun.elapsed(), owner: pid.unwrap_or(0) as u32 })
    }

    /// Closes this connect, for all its clones. The last connect of the process
    /// hands over ownership, if it has it, and removes the segment if no other
    /// process is attached. All of this is done when `close` returns, even if
    /// another thread has started the close. Threads that wait in
    /// [`wait_for_change`](Self::wait_for_change) return. Dropping the last
    /// clone does the same.
    ///
    /// Called by an [`Observer`](super::Observer) it returns at once, and the
    /// thread ends when the observer has returned. In a forked child it changes
    /// nothing that belongs to the parent.
    pub fn close(self) {
        self.open.close();
    }

    /// Whether this client was closed through any of its clones, or its thread
    /// has panicked.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.open.is_closed()
    }

    /// Another connect of this process, as if made with the same settings: it
    /// stays open when this one is closed. `None` if this one is closed, or
    /// inherited by a forked child.
    #[must_use]
    pub fn join(&self) -> Option<Client> {
        if self.open.is_inherited() || self.is_closed() {
            return None;
        }
        let open = self.open.handle.enter()?;
        Some(Client { open: Arc::new(open), reader: self.reader.clone() })
    }

    /// Whether the two clients share one attachment and one thread.
    #[must_use]
    pub fn is_same(&self, other: &Client) -> bool {
        Arc::ptr_eq(&self.open.handle, &other.open.handle)
    }

    /// Whether there is a map to route from. After [`connect`](Self::connect)
    /// there is; after [`start`](Self::start) there may not be one yet.
    #[must_use]
    pub fn has_map(&self) -> bool {
        self.state().has_map()
    }

    /// Why this client closed itself: its segment turned out to be another
    /// cluster's. This happens if the segment had no map yet at
    /// [`start`](Self::start), or if it was removed by force and another
    /// program created a new one under its key.
    #[must_use]
    pub fn refusal(&self) -> Option<ConnectError> {
        self.state().refusal()
    }

    /// This process's current role.
    #[must_use]
    pub fn role(&self) -> Role {
        match self.open.is_closed() || self.open.is_inherited() {
            true => Role::Closed,
            false => self.state().role(),
        }
    }

    /// A router without local state, for one thread.
    #[must_use]
    pub fn router(&self) -> Router {
        self.reader.router()
    }

    /// A router that keeps for each node a state that `state` creates (for
    /// example, a connection pool), for one thread.
    pub fn router_with<S>(&self, state: impl FnMut(&Node) -> S + Send + 'static) -> Router<S> {
        self.reader.router_with(state)
    }

    /// A router for all threads, with one state for each node that `state` creates at its first
    /// use (for example, a connection pool).
    pub fn shared_router<S: Send + Sync + 'static>(
        &self,
        state: impl Fn(&Node) -> S + Send + Sync + 'static,
    ) -> SharedRouter<S> {
        self.reader.shared_router(state)
    }

    /// Like [`Reader::request_tend`].
    pub fn request_tend(&self) {
        self.reader.request_tend();
    }

    /// The whole map of the last publication.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn map(&self) -> Result<Snapshot, SnapshotError> {
        self.reader.map()
    }

    /// The state of the segment and its owner.
    ///
    /// # Errors
    /// [`StatusError`].
    pub fn status(&self) -> Result<Status, StatusError> {
        self.reader.status()
    }

    internal! {
        /// How many steps the client's thread has made: it makes one at least
        /// every few seconds, unless it hangs.
        #[must_use]
        fn steps(&self) -> u64 {
            self.open.handle.state.steps()
        }
    }

    internal! {
        /// The segment that is currently read.
        fn segment(&self) -> Arc<Segment> {
            self.reader.segment()
        }
    }

    /// A descriptor that becomes readable when the map changes and when the client is closed, for
    /// event loops. May be called several times: the handles are independent of each other.
    ///
    /// # Errors
    /// [`ChangesError::Closed`] if the client is closed; [`ChangesError::Descriptor`] and
    /// [`ChangesError::Thread`] if a limit of the process or the system is reached. Nothing is
    /// left behind.
    pub fn changes(&self) -> Result<Changes, ChangesError> {
        self.open.changes.handle(&self.state().current)
    }

    /// A reader of the same segments, which continues to read after this client is closed.
    #[must_use]
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Sleeps until a publication other than `sequence` is live, at most for
    /// `timeout`, and returns the live sequence.
    ///
    /// It also returns when the client is closed, and at once if it is already
    /// closed; a loop should check [`is_closed`](Self::is_closed).
    #[allow(clippy::must_use_candidate, reason = "the wait alone may be what is wanted")]
    pub fn wait_for_change(&self, sequence: u64, timeout: Duration) -> u64 {
        let (_waiting, personal) = self.open.waiting();
        self.reader.sleep(sequence, timeout, personal, || self.is_closed())
    }
}
