//! Which replica of a partition a command goes to.

use crate::map::Slot;

/// How a command chooses among the replicas of its partition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// Replica 0 and no other: none at all while its node is not there.
    Master,
    /// Replicas in their order, from the master on; a retry goes to the next.
    #[default]
    Sequence,
    /// As [`Sequence`](Self::Sequence), starting one replica further with each
    /// command.
    Any,
    /// As [`Sequence`](Self::Sequence), starting at a random replica.
    Random,
    /// A node in the first of the preferred racks that has one, then in the
    /// second, and so on, then any; the node that failed last only if there is
    /// no other. The racks are those of
    /// [`Router::prefer_racks`](super::Router::prefer_racks), and a node's rack
    /// is the one that it has in the namespace.
    PreferRack,
}

/// How a read of a strong-consistency namespace is to see the writes of others
/// (`read_mode_sc` of the Aerospike clients).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReadMode {
    /// A client sees its own writes, and never goes back in time.
    #[default]
    Session,
    /// Everybody sees one order of all writes.
    Linearize,
    /// Also from a replica that may lag behind.
    AllowReplica,
    /// Also from a node that may be cut off.
    AllowUnavailable,
}

impl Policy {
    /// The policy that a read goes by, where its user asked for this one.
    ///
    /// In a strong-consistency namespace a session read goes to the master, and
    /// a linearized one prefers no rack, for it asks the master in the end. In
    /// any other namespace, and for any other mode, it stays as it is.
    ///
    /// ```
    /// use tendmap::route::{Policy, ReadMode};
    ///
    /// let asked = Policy::PreferRack;
    /// assert_eq!(asked.for_read(ReadMode::Session, true), Policy::Master);
    /// assert_eq!(asked.for_read(ReadMode::Linearize, true), Policy::Sequence);
    /// assert_eq!(asked.for_read(ReadMode::Session, false), Policy::PreferRack);
    /// ```
    #[must_use]
    pub const fn for_read(self, mode: ReadMode, strong_consistency: bool) -> Policy {
        match (mode, self) {
            (ReadMode::Session, _) if strong_consistency => Policy::Master,
            (ReadMode::Linearize, Policy::PreferRack) if strong_consistency => Policy::Sequence,
            _ => self,
        }
    }
}

/// One command on its way: its policy, where the next try starts, and which
/// node failed it last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    policy: Policy,
    /// Taken modulo the replication factor, which is known only at the try.
    start: u32,
    failed: Option<Slot>,
}

impl Attempt {
    /// A first try that starts at that replica (of RF, wrapping around it).
    /// [`Policy::Master`] starts at the master whatever it says.
    ///
    /// [`ReplicaRotation::attempt`](super::ReplicaRotation::attempt) chooses the start by the policy.
    #[inline(always)]
    #[must_use]
    pub const fn new(policy: Policy, start: u32) -> Attempt {
        Attempt { policy, start, failed: None }
    }

    /// Its policy.
    #[inline(always)]
    #[must_use]
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// The replica that the next try starts at, of `rf` (at least 1).
    #[inline(always)]
    pub(super) const fn start(&self, rf: usize) -> usize {
        self.start as usize % rf
    }

    /// The start before it is taken modulo the replication factor.
    #[inline(always)]
    pub(super) const fn raw_start(&self) -> u32 {
        self.start
    }

    /// The node that failed it last.
    #[inline(always)]
    #[must_use]
    pub const fn failed_node(&self) -> Option<Slot> {
        self.failed
    }

    /// Notes that the node chosen last (what `select` gave) has failed: the
    /// next try starts at the replica after it.
    pub const fn fail(&mut self, replica: usize, slot: Slot) {
        self.start = replica as u32 + 1;
        self.failed = Some(slot);
    }
}

/// The replica that an attempt goes to, and its node; `None` if no node that
/// the policy allows is there.
///
/// `rf` is how many replicas count; `present` gives the node of a replica
/// (0 = the master, below `rf`) if there is one; `rank` tells for
/// [`Policy::PreferRack`] which of the preferred racks a node is in (0 = the
/// first), `None` if in none of them.
#[inline]
pub fn select(
    attempt: &Attempt,
    rf: usize,
    present: impl Fn(usize) -> Option<Slot>,
    rank: impl Fn(Slot) -> Option<usize>,
) -> Option<(usize, Slot)> {
    if rf == 0 {
        return None;
    }
    let here = |replica| Some((replica, present(replica)?));
    let start = attempt.start(rf);
    let mut replicas = (start..rf).chain(0..start);
    match attempt.policy {
        Policy::Master => here(0),
        Policy::Sequence | Policy::Any | Policy::Random => replicas.find_map(here),
        // The first of those that are equally good.
        Policy::PreferRack => replicas.filter_map(here).min_by_key(|&(_, slot)| {
            let failed = attempt.failed == Some(slot);
            (failed, rank(slot).filter(|_| !failed).unwrap_or(usize::MAX))
        }),
    }
}
