//! What can be wrong with a segment of the C client, each in one sentence: what it
//! means, and what to do.

use core::net::SocketAddr;
use core::time::Duration;

use super::super::header::ShapeError;
use super::super::layout::{Layout, PARTITIONS};
use crate::text::Printable;

/// How a segment differs from tendmap's own map of the same cluster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Difference {
    /// A node is missing.
    #[error(
        "the segment does not have node {node} at {address}{}",
        if *.full { ", since every slot is taken: make it larger (shm_max_nodes)" } else { "" }
    )]
    NodeMissing {
        /// The node.
        node: String,
        /// Its address.
        address: SocketAddr,
        /// Whether all slots of the segment are active.
        full: bool,
    },
    /// There is a node too many.
    #[error("the segment has node {}, which is no longer in the cluster", Printable(.node))]
    NodeExtra {
        /// The node.
        node: String,
    },
    /// A node has another address.
    #[error("the segment has node {node} at {}, wanted {wanted}", shown(*.found))]
    Address {
        /// The node.
        node: String,
        /// Its address in the segment.
        found: Option<SocketAddr>,
        /// Its address in the map.
        wanted: SocketAddr,
    },
    /// A namespace is missing.
    #[error("the segment does not have namespace {namespace}")]
    NamespaceMissing {
        /// The namespace.
        namespace: String,
    },
    /// A namespace has another replication factor.
    #[error(
        "the segment has replication factor {found} for namespace {namespace}, wanted {wanted}"
    )]
    Replication {
        /// The namespace.
        namespace: String,
        /// The factor in the segment.
        found: u8,
        /// The factor in the map, at most what the segment has room for.
        wanted: u8,
    },
    /// A namespace has another consistency.
    #[error(
        "the segment has namespace {namespace} as {}, wanted {}",
        consistency(!*.wanted), consistency(*.wanted)
    )]
    Consistency {
        /// The namespace.
        namespace: String,
        /// Whether it is strongly consistent in the map.
        wanted: bool,
    },
    /// Partitions have other holders.
    #[error(
        "{masters} of {PARTITIONS} partitions of namespace {namespace} have another master in the \
         segment, {replicas} another replica"
    )]
    Partitions {
        /// The namespace.
        namespace: String,
        /// Partitions with another master.
        masters: usize,
        /// Partitions with another holder of a later replica.
        replicas: usize,
    },
}

fn shown(address: Option<SocketAddr>) -> String {
    address.map_or_else(|| "no address".to_owned(), |address| address.to_string())
}

fn consistency(strong: bool) -> &'static str {
    if strong { "strongly consistent" } else { "available" }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// It may not be read.
    #[error(
        "may not be read by this user, since it belongs to user {uid} with mode {mode:04o}; \
         clients of other users fail to attach, too; ask as that user or as root"
    )]
    Denied {
        /// The user that it belongs to.
        uid: u32,
        /// Its permission bits.
        mode: u32,
    },
    /// It can't be read.
    #[error("can't be read: {error}")]
    Unreadable {
        /// Why not.
        error: String,
    },
    /// It is not a segment of the C client.
    #[error(
        "is not as clients expect it ({error}); they fail to start or crash with this key; end \
         them and remove it, or give them another key"
    )]
    Shape {
        /// The first difference.
        error: ShapeError,
    },
    /// It is not ready.
    #[error(
        "has not been made ready by its creator (pid {pid}); clients wait for it and then fail; if \
         the creator has died, remove it"
    )]
    NotReady {
        /// The owner according to the header.
        pid: u32,
    },
    /// It was removed, and is still mapped.
    #[error(
        "was removed (`ipcrm`) and is still mapped (nattch {mappings}); its processes share it with \
         nobody that starts now; restart them"
    )]
    Removed {
        /// How many mappings there are.
        mappings: u64,
    },
    /// Nobody tends.
    #[error(
        "is tended by nobody (lock 0), and clients route by a map of {age:?} ago; one of the \
         attached clients ought to take over within its tend interval; if all are stopped, \
         continue or restart them"
    )]
    NoOwner {
        /// How long ago it was tended last.
        age: Duration,
    },
    /// The owner has ended.
    #[error(
        "has lost its owner: pid {pid} is gone; clients route by a map of {age:?} ago and take over \
         once it is older than their threshold (30 s by default); a release \
         lets one take over at once"
    )]
    OwnerGone {
        /// The owner according to the header.
        pid: u32,
        /// How long ago it was tended last.
        age: Duration,
    },
    /// The owner's pid belongs to another process.
    #[error(
        "has lost its owner: pid {pid} is another process now ({}), which does not have the segment \
         mapped; clients take that one for the owner and never take over; a release lets one \
         take over", Printable(.program)
    )]
    OwnerReplaced {
        /// The owner according to the header.
        pid: u32,
        /// The program that has the pid now.
        program: String,
    },
    /// A mirror with an immortal owner has ended.
    #[error(
        "has lost its mirror, which stored an owner that always counts as alive; clients never take \
         over; start the mirror again, or release the segment"
    )]
    MirrorGone,
    /// The owner lives and does not tend.
    #[error(
        "was tended {age:?} ago by pid {pid}, which still lives; clients do not take over while it \
         does, and route by an old map; find out what keeps it from tending (it is stopped, hangs, \
         or no server answers), or end it"
    )]
    Stale {
        /// The owner according to the header.
        pid: u32,
        /// How long ago it was tended last.
        age: Duration,
    },
    /// The timestamp is ahead of the clock.
    #[error(
        "has a timestamp that is {ahead:?} ahead of this host's clock; clients compute an age of \
         centuries and take over as soon as they can't see the owner; its owner may be in another \
         time namespace; restart it"
    )]
    Ahead {
        /// By how much.
        ahead: Duration,
    },
    /// A client expects another layout.
    #[error(
        "has layout {found}, and {} expects layout {wanted}; its commands fail and it may write \
         into the locks of others; give it a key of its own (shm_key)", Printable(.client)
    )]
    WrongLayout {
        /// The client, in words.
        client: String,
        /// The segment's layout.
        found: Layout,
        /// The layout that the client expects.
        wanted: Layout,
    },
    /// The lock of takeovers stays held.
    #[error(
        "has a take_over_lock that stays held: a client died while it took over, and no other can; a \
         mirror of tendmap clears it; without one, end all clients, remove the \
         segment and start them again"
    )]
    TakeOverLock,
    /// A slot stays locked for writing.
    #[error(
        "has slot {slot} ({}) locked for writing by a process that died: every client that reads it \
         spins; a mirror of tendmap clears the lock when it takes over; without one, end all clients, remove the segment and start them again", Printable(.node)
    )]
    SlotWriter {
        /// The slot.
        slot: usize,
        /// The node in it.
        node: String,
    },
    /// Readers never leave a slot.
    #[error(
        "has readers of slot {slot} ({}) that never leave, since they died there ({readers}): an \
         official owner spins for ever once that node changes; a mirror of tendmap is not \
         affected", Printable(.node)
    )]
    SlotReaders {
        /// The slot.
        slot: usize,
        /// The node in it.
        node: String,
        /// How many readers stay.
        readers: u32,
    },
    /// Partitions have no master.
    #[error(
        "has no master for {holes} of {PARTITIONS} partitions of namespace {}; commands for them \
         fail; see whether every node answers its owner", Printable(.namespace)
    )]
    Holes {
        /// The namespace.
        namespace: String,
        /// How many.
        holes: usize,
    },
    /// Entries name a slot that is not active.
    #[error(
        "names inactive nodes for {partitions} of {PARTITIONS} partitions of namespace {}; commands \
         for them go to another replica or fail; its owner has not updated them since the node left",
        Printable(.namespace)
    )]
    InactiveHolder {
        /// The namespace.
        namespace: String,
        /// How many.
        partitions: usize,
    },
    /// Entries name a slot that does not exist.
    #[error(
        "names slots that do not exist for {partitions} of {PARTITIONS} partitions of namespace {}; \
         clients may crash; the segment is damaged or has another layout: end the clients, remove \
         it and start them again", Printable(.namespace)
    )]
    NonexistentHolder {
        /// The namespace.
        namespace: String,
        /// How many.
        partitions: usize,
    },
    /// There are more nodes than clients have room for.
    #[error(
        "has {used} slots in use: a client with shm_max_nodes below that (16 by default) crashes \
         when it attaches; set shm_max_nodes to at least {used} in every client"
    )]
    TooManyNodes {
        /// How many slots are in use.
        used: usize,
    },
    /// An active slot can't be used.
    #[error(
        "has no valid address in the active slot {slot} ({}); clients can't reach that node; its \
         owner wrote none, or the segment is damaged", Printable(.node)
    )]
    NoAddress {
        /// The slot.
        slot: usize,
        /// The node in it.
        node: String,
    },
    /// A node is active in two slots.
    #[error(
        "has node {} active in slots {first} and {second}; clients keep connections to both \
         addresses, one of which is old; it passes when its owner drops the old one",
        Printable(.node)
    )]
    Twice {
        /// The node.
        node: String,
        /// Its first slot.
        first: usize,
        /// Its second slot.
        second: usize,
    },
    /// It differs from tendmap's own map.
    #[error("differs from tendmap's map: {0}; whichever tended last is right")]
    Differs(#[from] Difference),
}

impl Problem {
    /// A name for programs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Problem::Denied { .. } => "denied",
            Problem::Unreadable { .. } => "unreadable",
            Problem::Shape { .. } => "shape",
            Problem::NotReady { .. } => "not_ready",
            Problem::Removed { .. } => "removed",
            Problem::NoOwner { .. } => "no_owner",
            Problem::OwnerGone { .. } => "owner_gone",
            Problem::OwnerReplaced { .. } => "owner_replaced",
            Problem::MirrorGone => "mirror_gone",
            Problem::Stale { .. } => "stale",
            Problem::Ahead { .. } => "ahead",
            Problem::WrongLayout { .. } => "wrong_layout",
            Problem::TakeOverLock => "take_over_lock",
            Problem::SlotWriter { .. } => "slot_writer",
            Problem::SlotReaders { .. } => "slot_readers",
            Problem::Holes { .. } => "holes",
            Problem::InactiveHolder { .. } => "inactive_holder",
            Problem::NonexistentHolder { .. } => "nonexistent_holder",
            Problem::TooManyNodes { .. } => "too_many_nodes",
            Problem::NoAddress { .. } => "no_address",
            Problem::Twice { .. } => "twice",
            Problem::Differs(_) => "differs",
        }
    }

    /// Whether it may pass within a few seconds, as part of a change that an owner is
    /// about to finish.
    #[must_use]
    pub const fn may_pass(&self) -> bool {
        !matches!(
            self,
            Problem::Denied { .. }
                | Problem::Unreadable { .. }
                | Problem::Removed { .. }
                | Problem::Stale { .. }
                | Problem::WrongLayout { .. }
                | Problem::TooManyNodes { .. }
        )
    }
}

/// What is worth knowing and not wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Note {
    /// Processes can't be seen.
    #[error(
        "mappings of processes that can't be seen from here (of another user or pid namespace): \
         {mappings}"
    )]
    Unseen {
        /// How many mappings.
        mappings: u64,
    },
    /// The owner can't be seen.
    #[error("the owner, pid {pid}, tends from another pid namespace or can't be examined")]
    OwnerElsewhere {
        /// The owner according to the header.
        pid: u32,
    },
    /// A client is newer than what is known.
    #[error("the layout of {} is not known to this tendmap; use a newer one", Printable(.client))]
    NewerClient {
        /// The client, in words.
        client: String,
    },
    /// Nobody uses it.
    #[error("no process is attached; the next client that starts takes over")]
    Unused,
    /// Layouts can't be told apart.
    #[error("nothing in the segment says which of the layouts it has; it was read as {read_as}")]
    LayoutUncertain {
        /// The layout by which it was read.
        read_as: Layout,
    },
    /// Tendmap's map is of another cluster.
    #[error("tendmap's map under the given key is of another cluster: not compared")]
    OtherCluster,
}
