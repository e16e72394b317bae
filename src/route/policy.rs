//! Chooses the replica of a partition that a command goes to.

use crate::map::Slot;

/// How a command chooses among the replicas of its partition.
///
/// ```
/// use tendmap::Policy;
///
/// // A write goes to the master, a read may go to any replica, the master first.
/// let (write, read) = (Policy::Master, Policy::default());
/// assert_eq!(read, Policy::Sequence);
/// # let _ = write;
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// Only replica 0; no node if the master is not present.
    Master,
    /// The replicas in order, from the master on; a retry goes to the next one.
    #[default]
    Sequence,
    /// Like [`Sequence`](Self::Sequence), but each command starts one replica
    /// further.
    Any,
    /// Like [`Sequence`](Self::Sequence), but starts at a random replica.
    Random,
    /// A node in the first preferred rack that has one, then in the second, and
    /// so on, then any node. The node that failed last is used only if there is
    /// no other. The racks are those of
    /// [`Router::set_preferred_racks`](super::Router::set_preferred_racks), and a node's rack
    /// is its rack in the namespace.
    PreferRack,
}

/// Consistency of reads in a strong-consistency namespace (`read_mode_sc` of
/// the Aerospike clients).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReadMode {
    /// A client sees its own writes, and never goes back in time.
    #[default]
    Session,
    /// All clients see one order of all writes.
    Linearize,
    /// Reads may also use a replica that lags behind.
    AllowReplica,
    /// Reads may also use a node that may be cut off.
    AllowUnavailable,
}

impl Policy {
    /// The policy to use for a read for which the user requested this one.
    ///
    /// In a strong-consistency namespace a session read goes to the master, and a linearized read
    /// prefers no rack, because it asks the master in the end. In other namespaces, and for other
    /// modes, the policy is unchanged.
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

/// One command in progress: its policy, where the next try starts, and which
/// node failed it last.
///
/// [`Router::attempt`](super::Router::attempt) makes one, and
/// [`Router::route_attempt`](super::Router::route_attempt) finds its node.
///
/// ```
/// use tendmap::{Attempt, Policy};
///
/// let attempt = Attempt::new(Policy::Sequence, 0);
/// assert_eq!((attempt.policy(), attempt.failed_node()), (Policy::Sequence, None));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    policy: Policy,
    /// Taken modulo the replication factor, which is known only at the time of
    /// the try.
    start: u32,
    failed: Option<Slot>,
}

impl Attempt {
    /// A first try that starts at that replica, taken modulo the replication
    /// factor. [`Policy::Master`] ignores it and starts at the master.
    ///
    /// [`Router::attempt`](super::Router::attempt) chooses the start by the policy.
    #[inline(always)]
    #[must_use]
    pub const fn new(policy: Policy, start: u32) -> Attempt {
        Attempt { policy, start, failed: None }
    }

    /// The policy of the command.
    #[inline(always)]
    #[must_use]
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// The replica at which the next try starts, of `rf` (at least 1).
    #[inline(always)]
    pub(super) const fn start(&self, rf: usize) -> usize {
        self.start as usize % rf
    }

    /// The start before it is taken modulo the replication factor.
    #[inline(always)]
    pub(super) const fn raw_start(&self) -> u32 {
        self.start
    }

    /// The node that failed the command last.
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
/// the policy allows is present.
///
/// `rf` is the number of replicas to consider; `present` returns the node of a
/// replica (0 = the master, below `rf`) if there is one; `rank` returns, for
/// [`Policy::PreferRack`], which of the preferred racks a node is in (0 = the
/// first), or `None` if it is in none of them.
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
        // The first of those that rank equally.
        Policy::PreferRack => replicas.filter_map(here).min_by_key(|&(_, slot)| {
            let failed = attempt.failed == Some(slot);
            (failed, rank(slot).filter(|_| !failed).unwrap_or(usize::MAX))
        }),
    }
}
