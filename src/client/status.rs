//! The state of a segment and its owner.

use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::reader::Reader;
use crate::clock::age_ms;
use crate::layout::{LAYOUT_VERSION, OwnerWord, shm_stat};
use crate::map::{
    Build, Condition, ConditionRecords, Departure, Node, NodeHealth, NodeId, Reason, Slot,
    Snapshot, SnapshotError, Streak, snapshot,
};
use crate::protocol::{Head, load_owner};
use crate::segment::{
    Backend, Candidate, ListedSegment, Location, OwnerState, Place, Segment, SegmentError, Timed,
    boottime_ms, look_at_listed,
};
use crate::times::Histogram;

/// How many milliseconds to wait for the words of an owner that has just taken
/// over.
const PATIENCE: u32 = 20;
/// How long a node that left is reported.
const MENTIONED: Duration = Duration::from_secs(600);

/// The state of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamespaceStatus {
    /// The name of the namespace.
    pub name: String,
    /// Its effective replication factor.
    pub replication_factor: u8,
    /// How many of its replicas can be routed to; fewer than the replication
    /// factor if that exceeds the segment's `max_replicas`.
    pub routable_replicas: usize,
    /// Whether it uses strong consistency.
    pub strong_consistency: bool,
    /// The number of partitions without a master.
    pub holes: usize,
}

/// The state of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodeStatus {
    /// The node's id.
    pub id: NodeId,
    /// The address at which the owner reaches it.
    pub address: SocketAddr,
    /// The build of its server, as it reported it last; `None` = not known.
    pub build: Option<Build>,
    /// How the node fails the owner; `None` if the owner has not recorded it yet.
    pub health: Option<NodeHealth>,
    /// The time since its last error; `None` if there was none.
    pub last_error_age: Option<Duration>,
}

/// A node that left the map within the last ten minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DepartedNode {
    /// The node's id.
    pub id: NodeId,
    /// The time since it left.
    pub age: Duration,
    /// The reason, in a few words.
    pub reason: String,
}

/// A condition that was not in order in the last pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConditionStatus {
    /// The condition.
    pub condition: Condition,
    /// The number of consecutive passes that found it.
    pub passes: u64,
    /// The number of nodes, entries or partitions to which it applied in the
    /// last pass.
    pub count: u64,
}

/// The state of a segment and its owner.
///
/// [`Client::status`](super::Client::status) and [`Reader::status`] return the one of their
/// segment; [`Status::look`] needs neither. It prints as one line.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use tendmap::sim::{Sim, SimConfig};
/// use tendmap::{Client, Config, Status};
///
/// let sim = Sim::start(SimConfig::fast(2))?;
/// # let directory = tempfile::tempdir()?;
/// let config = Config::shared(vec![sim.seeds()[0].into()], 0xA700_0001);
/// # let config = config.with_directory(directory.path());
/// let place = config.place();
/// let client = Client::connect(config)?;
///
/// let status = Status::look(&place)?; // in any process of the host
/// assert!(status.owner_alive && status.owner_pid == Some(std::process::id()));
/// assert_eq!((status.nodes, status.failing_nodes), (2, 0));
/// println!("{status}");
/// # client.close();
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Status {
    /// The kind of shared memory; `None` in private mode.
    pub backend: Option<Backend>,
    /// The segment's file; `None` for other kinds.
    pub path: Option<PathBuf>,
    /// The id of the System V segment (`shmid`); `None` for other kinds.
    pub shm_id: Option<i32>,
    /// The id of the user that the segment belongs to; `None` in private mode.
    pub user: Option<u32>,
    /// The segment's length in bytes.
    pub bytes: u64,
    /// The segment's layout version.
    pub layout_version: u32,
    /// The segment's key (`shm_key`).
    pub key: u32,
    /// The segment's generation under the key.
    pub generation: u64,
    /// Whether the segment is retired: no publication will follow in it.
    pub retired: bool,
    /// The cluster's name, if it has one and a map has been published.
    pub cluster_name: Option<String>,
    /// The owner's term.
    pub term: u16,
    /// The sequence of the last publication; 0 = none yet.
    pub sequence: u64,
    /// The owner's pid in its own pid namespace.
    pub owner_pid: Option<u32>,
    /// Whether the owner is alive, according to its lock.
    pub owner_alive: bool,
    /// Whether the owner can't reach the cluster and is giving up ownership.
    pub abdicated: bool,
    /// The time since the owner's last heartbeat, which comes at least once a
    /// second.
    pub heartbeat_age: Option<Duration>,
    /// The time since the last successful pass, of this or an earlier owner.
    pub tended_age: Option<Duration>,
    /// The owner's tend interval.
    pub tend_interval: Option<Duration>,
    /// The number of nodes in the map.
    pub nodes: usize,
    /// The nodes in the map.
    pub members: Vec<NodeStatus>,
    /// The number of nodes for which the segment has room.
    pub max_nodes: usize,
    /// The number of namespaces for which the segment has room.
    pub max_namespaces: usize,
    /// The number of replicas per partition for which the segment has room.
    pub max_replicas: usize,
    /// The namespaces in the map.
    pub namespaces: Vec<NamespaceStatus>,
    /// The number of publications since the segment was created.
    pub publications: u64,
    /// The number of takeovers since the segment was created.
    pub takeovers: u64,
    /// The number of nodes and namespaces that did not fit in the map in the
    /// last pass.
    pub refused_nodes: u64,
    /// The number of successful passes.
    pub tends: u64,
    /// The number of failed passes.
    pub tend_errors: u64,
    /// The length of the last pass.
    pub pass_time: Option<Duration>,
    /// How long passes took, successful or not, since the segment was created: 1 ms to
    /// 10 s; `None` if a new owner has not continued the histogram yet.
    pub pass_times: Option<Histogram>,
    /// How long publications took since the segment was created: 10 µs to 100 ms;
    /// `None` if a new owner has not continued the histogram yet.
    pub publication_times: Option<Histogram>,
    /// Bytes received from the servers over the owners' connections, including
    /// headers, logins and TLS overhead.
    pub bytes_in: u64,
    /// The number of nodes that gave no answer, or an invalid one, in the last
    /// pass.
    pub failing_nodes: u64,
    /// How often a node of the map did not answer, refused the login, or was
    /// another node: at most once for each node and pass, including failed
    /// passes.
    pub ask_errors: u64,
    /// How often a node's reply could not be used, counted in the same way.
    pub bad_replies: u64,
    /// The conditions that were not in order in the last pass.
    pub conditions: Vec<ConditionStatus>,
    /// The error of the last failed pass.
    pub last_error: Option<String>,
    /// The time since that pass.
    pub last_error_age: Option<Duration>,
    /// The local resource that the owner's process currently lacks.
    pub shortage: Option<String>,
    /// Nodes that left within the last ten minutes, latest first.
    pub departed: Vec<DepartedNode>,
    /// The number of attached processes; `None` if they can't be counted.
    pub attached: Option<usize>,
}

/// Why the state of a segment can't be determined.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StatusError {
    /// The segment's files can't be used.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// Its map is damaged.
    #[error(transparent)]
    Map(#[from] SnapshotError),
}

impl Status {
    internal! {
        /// The current state of the segment.
        ///
        /// # Errors
        /// [`StatusError`] if its lock file can't be read or its map is damaged.
        fn of(segment: &Arc<Segment>) -> Result<Status, StatusError> {
            let last = match snapshot(segment.mapping()) {
                Ok(last) => Some(last),
                Err(SnapshotError::Empty) => None,
                Err(error) => return Err(error.into()),
            };
            let mut alive = Candidate::look(segment)? == OwnerState::Alive;
            // An owner that has just taken over is about to write its words:
            // wait a little for them.
            for _ in 0..PATIENCE {
                // A private copy never changes.
                if !alive || announced(segment) || segment.is_looked_at() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
                alive = Candidate::look(segment)? == OwnerState::Alive;
            }
            Ok(Self::assemble(segment, last.as_ref(), alive))
        }
    }

    /// The current state of the newest segment of a place, without attaching, as [`Reader::look`]
    /// does. Root sees every user's segment: it looks, and routes nothing.
    ///
    /// # Errors
    /// [`StatusError`], with the reason if no segment can be read.
    pub fn look(place: &Place) -> Result<Status, StatusError> {
        Status::of(&settled(|| Ok(Reader::inspect(place)?.segment()))?)
    }

    internal! {
        /// The state and the map of one listed segment of a directory, both of the same look,
        /// whichever user it belongs to. Generations above it are not searched for.
        ///
        /// # Errors
        /// As [`look`](Self::look).
        fn of_listed(
            directory: &Path,
            listed: &ListedSegment,
        ) -> Result<(Status, Option<Snapshot>), StatusError> {
            let segment = settled(|| look_at_listed(directory, listed))?;
            let status = Status::of(&segment)?;
            match snapshot(segment.mapping()) {
                Ok(map) => Ok((status, Some(map))),
                Err(SnapshotError::Empty) => Ok((status, None)),
                Err(error) => Err(error.into()),
            }
        }
    }

    fn assemble(segment: &Arc<Segment>, last: Option<&Snapshot>, owner_alive: bool) -> Status {
        let head = segment.head();
        let owner = OwnerWords { segment, head, now: boottime_ms() };
        let capacity = segment.geometry().capacity();
        let map = last.map(|last| &last.map);
        let mapping = segment.mapping();
        let member = |(slot, node): (Slot, &Node)| {
            let health = NodeHealth::read(mapping.node_health(slot.index()), head, node.id);
            let last_error_age =
                health.as_ref().and_then(|health| owner.since(health.last_error_ms));
            let &Node { id, address, build, .. } = node;
            NodeStatus { id, address, build, health, last_error_age }
        };
        let of_streak = |(condition, streak): (Condition, Streak)| ConditionStatus {
            condition,
            passes: streak.passes(),
            count: streak.count(),
        };
        let conditions: Vec<ConditionStatus> =
            ConditionRecords::read(mapping, head).found().map(of_streak).collect();
        let of = |wanted| conditions.iter().any(|found| found.condition == wanted);
        let short = of(Condition::Shortage) || of(Condition::NoRoom);
        let shortage = Reason::Shortage.read(mapping, head).filter(|_| short);
        let last_error = Reason::Pass.read(mapping, head);
        let is_member = |id: NodeId| map.is_some_and(|map| map.nodes.slot_of(&id).is_some());
        let departed = |departure: Departure| {
            let age = owner.since(departure.at_ms).filter(|&age| age <= MENTIONED)?;
            let Departure { id, reason, .. } = departure;
            (!is_member(id)).then_some(DepartedNode { id, age, reason })
        };
        let namespaces = map.map_or(&[][..], |map| map.namespaces());
        let flags = owner.get(OwnerWord::Flags).unwrap_or(0);
        Status {
            backend: segment.backend(),
            path: segment.path(),
            shm_id: segment.location().and_then(|at| at.shm_id()),
            user: segment.location().and_then(|at| user_of(&at)),
            bytes: segment.geometry().total_bytes() as u64,
            layout_version: LAYOUT_VERSION,
            key: segment.identity().key,
            generation: segment.identity().generation,
            retired: head.retired(),
            cluster_name: map.and_then(|map| map.cluster_name).map(|name| name.to_string()),
            term: head.term(),
            sequence: last.map_or(0, |last| last.sequence),
            owner_pid: owner.get(OwnerWord::Pid).map(|pid| pid as u32).filter(|&pid| pid > 0),
            owner_alive,
            abdicated: flags & OwnerWord::ABDICATED != 0,
            heartbeat_age: owner.age(OwnerWord::TurnedMs),
            tended_age: owner.age(OwnerWord::TendedMs),
            tend_interval: owner
                .get(OwnerWord::TendIntervalMs)
                .filter(|&ms| ms > 0)
                .map(Duration::from_millis),
            nodes: map.map_or(0, |map| map.nodes.len()),
            members: map.map_or(Vec::new(), |map| map.nodes.iter().map(member).collect()),
            max_nodes: capacity.max_nodes,
            max_namespaces: capacity.max_namespaces,
            max_replicas: capacity.max_replicas,
            namespaces: namespaces
                .iter()
                .map(|namespace| NamespaceStatus {
                    name: namespace.name.to_string(),
                    replication_factor: namespace.replication_factor,
                    routable_replicas: namespace.routable_replicas(),
                    strong_consistency: namespace.strong_consistency,
                    holes: namespace.holes(),
                })
                .collect(),
            publications: owner.get(OwnerWord::Publications).unwrap_or(0),
            takeovers: owner.get(OwnerWord::Takeovers).unwrap_or(0),
            refused_nodes: owner.get(OwnerWord::Refused).unwrap_or(0),
            tends: owner.get(OwnerWord::Tends).unwrap_or(0),
            tend_errors: owner.get(OwnerWord::TendErrors).unwrap_or(0),
            pass_time: owner.get(OwnerWord::PassUs).filter(|&us| us > 0).map(Duration::from_micros),
            pass_times: Histogram::read(mapping, head, Timed::Pass),
            publication_times: Histogram::read(mapping, head, Timed::Publication),
            bytes_in: owner.get(OwnerWord::BytesIn).unwrap_or(0),
            failing_nodes: owner.get(OwnerWord::Failing).unwrap_or(0),
            ask_errors: owner.get(OwnerWord::AskErrors).unwrap_or(0),
            bad_replies: owner.get(OwnerWord::BadReplies).unwrap_or(0),
            conditions,
            last_error_age: last_error.as_ref().and_then(|(_, at)| owner.since(*at)),
            last_error: last_error.map(|(text, _)| text),
            shortage: shortage.map(|(text, _)| text),
            departed: Departure::read_all(mapping).into_iter().filter_map(departed).collect(),
            attached: segment.attached().ok(),
        }
    }
}

/// The user that a segment belongs to; `None` if it is gone.
fn user_of(at: &Location) -> Option<u32> {
    match at {
        Location::File(path) => std::fs::symlink_metadata(path).ok().map(|found| found.uid()),
        Location::SystemV { id, .. } => shm_stat(*id).ok().map(|found| found.uid),
    }
}

/// What a look finds, once an owner that has just taken over has written its words.
fn settled(
    look: impl Fn() -> Result<Arc<Segment>, SegmentError>,
) -> Result<Arc<Segment>, SegmentError> {
    for _ in 0..PATIENCE {
        let segment = look()?;
        if announced(&segment) || Candidate::look(&segment)? != OwnerState::Alive {
            return Ok(segment);
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    look()
}

/// Whether every owner word is of the current owner.
fn announced(segment: &Segment) -> bool {
    let head = segment.head();
    segment.mapping().owner_words().all(|word| load_owner(word, head).is_some())
}

struct OwnerWords<'a> {
    segment: &'a Segment,
    head: Head,
    now: u64,
}

impl OwnerWords<'_> {
    fn get(&self, word: OwnerWord) -> Option<u64> {
        load_owner(self.segment.mapping().owner(word), self.head)
    }

    fn age(&self, word: OwnerWord) -> Option<Duration> {
        self.since(self.get(word)?)
    }

    /// The time since `at`, if `at` is a time of this boot.
    fn since(&self, at: u64) -> Option<Duration> {
        age_ms(at, self.now).map(Duration::from_millis)
    }
}
