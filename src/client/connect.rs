//! Connecting and closing.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::agent::{Agent, Start};
use super::config::Config;
use super::error::ConnectError;
use super::event::{Event, Role};
use super::reader::Reader;
use super::shared::{Handle, Shared, clients};
use super::status::{Status, StatusError};
use crate::layout::{Lineage, OwnerWord};
use crate::map::{Node, Snapshot, SnapshotError, tables};
use crate::protocol::load_owner;
use crate::route::Router;
use crate::segment::{
    Candidate, Created, Current, Entry, Personal, Segment, check_backend, create, private, search,
    sweep, wait,
};
use crate::tend::{AerospikeSource, ClusterSource};
use crate::thread;

/// How long a retired segment may keep its name before it is taken for one that
/// is to be succeeded. Removing it takes less than a millisecond.
const REMOVAL_PATIENCE: Duration = Duration::from_millis(50);

/// A process's connection to a cluster's map.
///
/// Clones, and further connects of this process under the same key, share one
/// attachment and one thread; the last one closed or dropped ends them.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) handle: Arc<Handle>,
    pub(super) reader: Reader,
}

impl Client {
    /// Connects: attaches to the segment of the key, or makes it and tends.
    ///
    /// Returns as soon as there is a map to route from. With a living owner
    /// that is at once, and no server is contacted.
    ///
    /// # Errors
    /// [`ConnectError`]; nothing is left behind, the next process may try at
    /// once.
    pub fn connect(config: Config) -> Result<Client, ConnectError> {
        config.check()?;
        let source = AerospikeSource::new(config.source()?);
        Client::connect_with(config, Box::new(source))
    }

    /// As [`connect`](Self::connect), without waiting for a map: it returns as
    /// soon as the segment is attached or made.
    ///
    /// Until there is a map, routing answers
    /// [`RouteError::NoMap`](crate::route::RouteError::NoMap). A first tend that
    /// fails is no error here: it is tried again. With this a forked child,
    /// which routes from what it has inherited, gets a thread of its own
    /// without a pause.
    ///
    /// # Errors
    /// [`ConnectError`], but none that comes from waiting.
    pub fn start(config: Config) -> Result<Client, ConnectError> {
        config.check()?;
        let source = AerospikeSource::new(config.source()?);
        Client::begin(config, Box::new(source))
    }

    /// As [`connect`](Self::connect), with another source of maps.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_with(
        config: Config,
        source: Box<dyn ClusterSource>,
    ) -> Result<Client, ConnectError> {
        config.check()?;
        let client = Client::begin(config, source)?;
        client.wait_first()?;
        Ok(client)
    }

    fn begin(config: Config, source: Box<dyn ClusterSource>) -> Result<Client, ConnectError> {
        let racks = config.preferred_racks.clone();
        let handle = if config.use_shm { shared(config, source)? } else { alone(config, source)? };
        let reader = Reader::of(handle.shared.current.clone(), &racks);
        Ok(Client { handle, reader })
    }

    fn wait_first(&self) -> Result<(), ConnectError> {
        let shared = &self.handle.shared;
        let config = &shared.config;
        let patience = config.connect_timeout * 5 + config.tend_interval * 2;
        let begun = Instant::now();
        if let Some(result) = shared.wait_first(begun + patience) {
            return result;
        }
        let segment = shared.current.get();
        let pid = load_owner(segment.mapping().owner(OwnerWord::Pid), segment.head());
        Err(ConnectError::NoMapYet { waited: begun.elapsed(), owner: pid.unwrap_or(0) as u32 })
    }

    /// Closes this handle; the last of the process hands the ownership over,
    /// if it has it, and removes the segment if nobody else is attached.
    /// Dropping does the same.
    pub fn close(self) {}

    /// Whether the two share one attachment and one thread.
    pub fn is_same(&self, other: &Client) -> bool {
        Arc::ptr_eq(&self.handle, &other.handle)
    }

    /// This process's part at the moment.
    pub fn role(&self) -> Role {
        self.handle.shared.role()
    }

    /// A router without local state, for one thread.
    pub fn router(&self) -> Router {
        self.reader.router()
    }

    /// A router that keeps for each node what `state` makes of it (a connection
    /// pool, say), for one thread.
    pub fn router_with<S>(&self, state: impl FnMut(&Node) -> S + Send + 'static) -> Router<S> {
        self.reader.router_with(state)
    }

    /// As [`Reader::request_tend`].
    pub fn request_tend(&self) {
        self.reader.request_tend();
    }

    /// The whole map as it was published last.
    ///
    /// # Errors
    /// [`SnapshotError`].
    pub fn map(&self) -> Result<Snapshot, SnapshotError> {
        self.reader.map()
    }

    /// How the segment and its owner stand.
    ///
    /// # Errors
    /// [`StatusError`].
    pub fn status(&self) -> Result<Status, StatusError> {
        self.reader.status()
    }

    /// The segment that is read now.
    pub fn segment(&self) -> Arc<Segment> {
        self.reader.segment()
    }

    /// Sleeps until a publication other than `sequence` is live, at most for
    /// `timeout`; the sequence that is live then.
    pub fn wait_for_change(&self, sequence: u64, timeout: Duration) -> u64 {
        // A deadline that no clock reaches is none.
        let deadline = Instant::now().checked_add(timeout);
        let personal = Personal::random();
        loop {
            let segment = self.reader.segment();
            let head = segment.head();
            let left = deadline.map_or(Duration::MAX, |deadline| {
                deadline.saturating_duration_since(Instant::now())
            });
            if head.sequence() != sequence || left.is_zero() {
                return head.sequence();
            }
            // A wake-up can be lost, and a retired segment's successor is
            // looked for every 100 ms: sleep in short stretches.
            let stretch = left.min(Duration::from_millis(100));
            wait(segment.mapping().head(), head.bits(), personal, stretch);
        }
    }
}

/// The client of this process for that key, or a new one.
fn shared(config: Config, source: Box<dyn ClusterSource>) -> Result<Arc<Handle>, ConnectError> {
    let directory = config.shm_directory.canonicalize().unwrap_or(config.shm_directory.clone());
    let key = (config.shm_backend, directory, config.shm_key);
    let mut clients = clients();
    let known = clients.iter().find(|(known, _)| *known == key);
    if let Some(handle) = known.and_then(|(_, handle)| handle.upgrade()) {
        drop(clients);
        return join(handle, &config);
    }
    let (current, start) = loop {
        let (segment, start) = open(&config)?;
        let current = Current::new(Some(config.place()), &segment)?;
        if !is_being_removed(&segment) {
            break (Arc::new(current), start);
        }
    };
    let handle = spawn(config, source, current, start)?;
    clients.push((key, Arc::downgrade(&handle)));
    Ok(handle)
}

/// Whether a segment was removed, by the last process to leave it or by an
/// operator, while this process attached: it has shown its map to nobody yet, and
/// must not, for others may begin without it.
///
/// One that removes a segment retires it first, and takes its name away a moment
/// later, unless it finds somebody attached.
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

/// A second connect of this process: the same hosts, the capacities as they
/// are.
fn join(handle: Arc<Handle>, config: &Config) -> Result<Arc<Handle>, ConnectError> {
    let there = &handle.shared.config;
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
    check_cluster(&handle.shared.current.get(), config)?;
    let found = handle.shared.current.get().geometry().capacity();
    warn_of_capacities(&handle.shared, config, found);
    Ok(handle)
}

fn warn_of_capacities(shared: &Shared, config: &Config, found: crate::map::Capacity) {
    let wanted = config.capacity();
    for (name, found, wanted) in [
        ("shm_max_nodes", found.max_nodes, wanted.max_nodes),
        ("shm_max_namespaces", found.max_namespaces, wanted.max_namespaces),
        ("shm_max_replicas", found.max_replicas, wanted.max_replicas),
    ] {
        if found != wanted {
            let what = format!("the segment has {name} {found}, {wanted} is ignored");
            shared.tell(Event::CapacityIgnored { what });
        }
    }
}

/// A client with a map of its own.
fn alone(config: Config, source: Box<dyn ClusterSource>) -> Result<Arc<Handle>, ConnectError> {
    let tenure = private(config.capacity(), 0)?;
    let current = Current::new(None, tenure.segment())?;
    spawn(config, source, Arc::new(current), Start::Owner(Box::new(tenure)))
}

fn spawn(
    config: Config,
    source: Box<dyn ClusterSource>,
    current: Arc<Current>,
    start: Start,
) -> Result<Arc<Handle>, ConnectError> {
    let segment = current.get();
    let shared = Arc::new(Shared::new(config, current));
    let capacity = segment.geometry().capacity();
    warn_of_capacities(&shared, &shared.config, capacity);
    // A living owner and a map: there is nothing to wait for.
    if matches!(start, Start::Follower) && segment.head().sequence() > 0 {
        if let Entry::Held = Candidate::look(&segment)? {
            check_cluster(&segment, &shared.config)?;
            shared.settle(Ok(()));
        }
    }
    let agent = Agent::new(shared.clone(), source, start);
    let thread = thread::spawn("tendmap", move || agent.run()).map_err(ConnectError::Thread)?;
    let thread = Mutex::new(Some(thread));
    Ok(Arc::new(Handle { shared, thread, lineage: Lineage::current() }))
}

/// The current segment of the key, made if there is none.
fn open(config: &Config) -> Result<(Arc<Segment>, Start), ConnectError> {
    let place = config.place();
    loop {
        let found = search(&place)?;
        let next = found.next(0);
        let there = match (found.live, found.refused) {
            (None, Some(refused)) => return Err(refused.into()),
            // Without a living one: its map goes on in a successor, which is
            // about to be there or which this process builds as a follower does.
            (live, _) => live.or(found.retired),
        };
        if let Some(segment) = there {
            check_cluster(&segment, config)?;
            return Ok((segment, Start::Follower));
        }
        check_backend(&place)?;
        if let Created::Owner(tenure) = create(&place, next, config.capacity(), None)? {
            // What crashed processes left; not being able to is no reason to
            // fail.
            let _ = sweep(&place);
            return Ok((tenure.segment().clone(), Start::Owner(tenure)));
        }
    }
}

/// Refuses a segment of another cluster than the one configured.
pub(super) fn check_cluster(segment: &Segment, config: &Config) -> Result<(), ConnectError> {
    let Some(wanted) = config.wanted_cluster()? else { return Ok(()) };
    let found = match tables(segment.mapping()) {
        Ok(tables) => tables.cluster_name,
        Err(SnapshotError::Empty) => None,
        Err(error) => return Err(error.into()),
    };
    match found {
        Some(found) if found != wanted => Err(ConnectError::OtherCluster {
            key: config.shm_key,
            found: found.to_string(),
            wanted: wanted.to_string(),
        }),
        _ => Ok(()),
    }
}
