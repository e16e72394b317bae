//! Connecting and closing.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::admit::{UninterruptedTurn, admit, check_cluster};
use super::agent::{Start, leave};
use super::config::Config;
use super::error::ConnectError;
use super::event::{Event, Role};
use super::reader::Reader;
use super::state::{ClientState, RequestCount, ThreadCommand};
use super::status::{Status, StatusError};
use super::thread::{ClientThread, OpenConnect, clients, on_client_thread};
use crate::layout::OwnerWord;
use crate::map::{Node, Snapshot, SnapshotError};
use crate::protocol::load_owner;
use crate::route::Router;
use crate::segment::{
    Candidate, CreateOutcome, Current, OwnerState, Segment, SegmentError, check_backend, create,
    private, quick, resolved, search, stepped_over, sweep,
};
use crate::tend::{AerospikeSource, ClusterSource};

/// How long a retired segment may keep its name before it is assumed to need a
/// successor. Removing it takes less than a millisecond.
const REMOVAL_PATIENCE: Duration = Duration::from_millis(50);
/// How often a segment is searched for and created if each one disappears at
/// once.
const MAX_ATTEMPTS: u32 = 100;
/// How often a segment is attached that is being removed.
const MAX_REMOVALS: u32 = 20;
/// The pause between two attempts.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(5);

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
        let (client, asked) = Client::begin(config, source, true)?;
        client.wait_first(asked)?;
        Ok(client)
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
        Ok(Client::begin(config, source, false)?.0)
    }

    fn begin(
        mut config: Config,
        source: Box<dyn ClusterSource>,
        waits: bool,
    ) -> Result<(Client, RequestCount), ConnectError> {
        // Resolved now: the process may change its working directory later, and
        // links may change.
        config.shm_directory = resolved(&config.shm_directory);
        let racks = config.preferred_racks.clone();
        // The source holds the password, and a later change goes there.
        let config = Config { password: None, ..config };
        let (open, asked) = match config.use_shm {
            true => connect_shared(config, source, waits)?,
            false => connect_private(config, source, waits)?,
        };
        let reader = Reader::of(open.handle.state.current.clone(), &racks);
        Ok((Client { open: Arc::new(open), reader }, asked))
    }

    pub(super) fn state(&self) -> &ClientState {
        &self.open.handle.state
    }

    fn wait_first(&self, asked: RequestCount) -> Result<(), ConnectError> {
        let state = self.state();
        if !state.has_map() && state.role() != Role::Owner {
            // The owner in another process may be waiting out a long interval.
            self.request_tend();
        }
        let mut patience = patience(&state.config);
        if on_client_thread() {
            // An observer connects: the answer may depend on the thread that it
            // runs on.
            patience = Duration::ZERO;
        }
        let begun = Instant::now();
        if let Some(result) = state.wait_first(asked, begun + patience) {
            return result;
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
        /// The segment that is currently read.
        fn segment(&self) -> Arc<Segment> {
            self.reader.segment()
        }
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

/// How long a connect waits for a map at most. Its own thread tries at once; an
/// owner in another process may have an interval of days.
pub(super) fn patience(config: &Config) -> Duration {
    config.connect_timeout * 5 + config.tend_interval.min(Duration::from_secs(5)) * 2
}

/// The existing client of this process for the key, or a new one.
fn connect_shared(
    config: Config,
    mut source: Box<dyn ClusterSource>,
    waits: bool,
) -> Result<(OpenConnect, RequestCount), ConnectError> {
    let key = (config.shm_backend, config.shm_directory.clone(), config.shm_key);
    let mut removals = 0;
    loop {
        let mut clients = clients();
        let there = clients.iter().find(|(known, _)| *known == key);
        if let Some(handle) = there.and_then(|(_, handle)| handle.upgrade()) {
            if let Some(open) = handle.enter() {
                drop(clients);
                return join(open, &config, waits);
            }
            // The existing client is about to end. Two threads of one process
            // on one segment would release each other's locks: wait, unless
            // this is that very thread.
            if !on_client_thread() && !handle.state.has_ended() {
                drop(clients);
                handle.state.wait_end(Duration::from_secs(1));
                continue;
            }
        }
        clients.retain(|(known, _)| *known != key);
        let (segment, start) = open(&config)?;
        // Before anything is routed from the segment.
        let admitted = match start {
            Start::Owner(_) => true,
            Start::Follower => admit(&segment, &config, source.as_mut(), &mut UninterruptedTurn)?,
        };
        let place = config.place();
        let created = matches!(start, Start::Owner(_));
        let current = match Current::new(Some(place.clone()), &segment) {
            Ok(_) if is_being_removed(&segment) => {
                removals += 1;
                if removals == MAX_REMOVALS {
                    let (key, attempts) = (config.shm_key, removals);
                    return Err(SegmentError::Vanishes { key, attempts }.into());
                }
                std::thread::sleep(BETWEEN_ATTEMPTS);
                continue;
            }
            other => other.map_err(ConnectError::from),
        };
        let made = current.and_then(|current| {
            spawn(config, source, Arc::new(current.guarded()), start, admitted, waits)
        });
        return match made {
            Ok((open, asked)) => {
                clients.push((key, Arc::downgrade(&open.handle)));
                // This runs the host program's code, which may connect itself.
                drop(clients);
                let state = &open.handle.state;
                if let Some(error) = created.then(|| stepped_over(&place)).flatten() {
                    state.tell(Event::Trouble { error: error.to_string() });
                }
                warn_of_capacities(state, &state.config, segment.geometry().capacity());
                Ok((open, asked))
            }
            Err(error) => {
                if created {
                    let _ = leave(&segment, &place);
                }
                Err(error)
            }
        };
    }
}

/// Whether a segment was removed, by the last process to leave it or by an
/// operator, while this process attached. This process has routed nothing from
/// it yet, and must not, because others may already have started a new segment.
///
/// A process that removes a segment retires it first, and unlinks its name a
/// moment later, unless it finds another process attached.
fn is_being_removed(segment: &Segment) -> bool {
    let begun = Instant::now();
    while segment.head().retired() && begun.elapsed() < REMOVAL_PATIENCE {
        if !segment.is_found() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    false
}

/// A second connect of this process: the hosts must be the same, and the
/// capacities stay as they are.
fn join(
    open: OpenConnect,
    config: &Config,
    waits: bool,
) -> Result<(OpenConnect, RequestCount), ConnectError> {
    let there = &open.handle.state.config;
    let written = |config: &Config| {
        let mut hosts: Vec<String> = config.hosts.iter().map(ToString::to_string).collect();
        hosts.sort();
        hosts.dedup();
        hosts.join(",")
    };
    let (found, wanted) = (written(there), written(config));
    if found != wanted {
        return Err(ConnectError::OtherHosts { key: config.shm_key, found, wanted });
    }
    let segment = open.handle.state.current.get();
    check_cluster(&segment, config)?;
    let state = &open.handle.state;
    warn_of_capacities(state, config, segment.geometry().capacity());
    let asked = if waits { state.ask() } else { state.asked() };
    if waits && !state.has_map() {
        // Its thread may be waiting out an interval or a backoff.
        state.command(ThreadCommand::Try);
    }
    Ok((open, asked))
}

fn warn_of_capacities(state: &ClientState, config: &Config, found: crate::map::Capacity) {
    let wanted = config.capacity();
    for (name, found, wanted) in [
        ("shm_max_nodes", found.max_nodes, wanted.max_nodes),
        ("shm_max_namespaces", found.max_namespaces, wanted.max_namespaces),
        ("shm_max_replicas", found.max_replicas, wanted.max_replicas),
    ] {
        if found != wanted {
            let what = format!("the segment has {name} {found}, {wanted} is ignored");
            state.tell(Event::CapacityIgnored { what });
        }
    }
}

/// A client with a private map.
fn connect_private(
    config: Config,
    source: Box<dyn ClusterSource>,
    waits: bool,
) -> Result<(OpenConnect, RequestCount), ConnectError> {
    let ownership = private(config.capacity(), 0)?;
    let current = Current::new(None, ownership.segment())?;
    spawn(config, source, Arc::new(current), Start::Owner(Box::new(ownership)), true, waits)
}

fn spawn(
    config: Config,
    source: Box<dyn ClusterSource>,
    current: Arc<Current>,
    start: Start,
    admitted: bool,
    waits: bool,
) -> Result<(OpenConnect, RequestCount), ConnectError> {
    let segment = current.get();
    let state = Arc::new(ClientState::new(config, current));
    state.current.bar(!admitted);
    // Taken before the thread's first attempt, which must answer it.
    let asked = if waits { state.ask() } else { state.asked() };
    // With a living owner and a map there is nothing to wait for; nor is there
    // for a process that may only read.
    if matches!(start, Start::Follower) && admitted && segment.head().sequence() > 0 {
        let reads = segment.lock().is_some_and(|lock| !lock.is_writable());
        if reads || Candidate::look(&segment)? == OwnerState::Alive {
            state.settle(Ok(()), state.asked());
        }
    }
    Ok((ClientThread::spawn(state, source, start)?, asked))
}

/// The current segment of the key; creates one if there is none.
fn open(config: &Config) -> Result<(Arc<Segment>, Start), ConnectError> {
    let place = config.place();
    for attempt in 1.. {
        if let Some(segment) = quick(&place, 0) {
            return Ok((segment, Start::Follower));
        }
        let found = search(&place)?;
        let next = found.next(0);
        let there = match (found.live, found.refused) {
            (None, Some(refused)) => return Err(refused.into()),
            // Without a live segment, the map continues in a successor: it is
            // about to appear, or this process builds it as a follower does.
            (live, _) => live.or(found.retired),
        };
        if let Some(segment) = there {
            return Ok((segment, Start::Follower));
        }
        check_backend(&place)?;
        if let CreateOutcome::Owner(ownership) = create(&place, next, config.capacity(), None)? {
            // Sweeps what crashed processes left behind; a failure to do so is
            // no reason to fail here.
            let _ = sweep(&place);
            return Ok((ownership.segment().clone(), Start::Owner(ownership)));
        }
        // Other processes were faster, and their segment is already gone.
        if attempt == MAX_ATTEMPTS {
            break;
        }
        std::thread::sleep(BETWEEN_ATTEMPTS);
    }
    Err(SegmentError::Vanishes { key: place.key, attempts: MAX_ATTEMPTS }.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h98_a_connect_without_a_map_waits_for_seconds_whatever_the_interval() {
        let mut config = Config::shared(vec!["localhost".parse().unwrap()], 1);
        let usual = patience(&config);
        assert!(usual > config.connect_timeout * 5 && usual < Duration::from_secs(10));
        config.tend_interval = Duration::from_secs(24 * 3600);
        assert!(patience(&config) < Duration::from_secs(20));
    }
}
