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
    /// [`Starts::attempt`] chooses the start by the policy.
    pub const fn new(policy: Policy, start: u32) -> Attempt {
        Attempt { policy, start, failed: None }
    }

    /// Its policy.
    pub const fn policy(&self) -> Policy {
        self.policy
    }

    /// The node that failed it last.
    pub const fn failed_node(&self) -> Option<Slot> {
        self.failed
    }

    /// Notes that the node chosen last (what [`select`] gave) has failed: the
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
/// (0 = the master, below `rf`) if there is one.
#[inline]
pub fn select(
    attempt: &Attempt,
    rf: usize,
    present: impl Fn(usize) -> Option<Slot>,
) -> Option<(usize, Slot)> {
    let here = |replica| Some((replica, present(replica)?));
    match attempt.policy {
        Policy::Master if rf == 0 => None,
        Policy::Master => here(0),
        Policy::Sequence | Policy::Any | Policy::Random => {
            let start = (attempt.start as usize).checked_rem(rf)?;
            (start..rf).chain(0..start).find_map(here)
        }
    }
}

/// How many starts there are: a multiple of every number up to 22, so that
/// starts modulo a replication factor come out equally often. (Beyond 22 some
/// replicas start one in ten million commands more than others.)
const CYCLE: u32 = 232_792_560;

/// Where the commands of one thread start: the turn of [`Policy::Any`] and the
/// dice of [`Policy::Random`].
///
/// A forked child makes its own, or it would follow its parent's steps.
#[derive(Clone, Debug)]
pub struct Starts {
    turn: u32,
    dice: fastrand::Rng,
}

impl Starts {
    /// Starts unlike those of any other thread or process.
    pub fn new() -> Starts {
        Starts::of(fastrand::Rng::new())
    }

    /// Starts that can be repeated.
    pub fn with_seed(seed: u64) -> Starts {
        Starts::of(fastrand::Rng::with_seed(seed))
    }

    fn of(mut dice: fastrand::Rng) -> Starts {
        // Short-lived processes would otherwise all begin at the master.
        Starts { turn: dice.u32(..CYCLE), dice }
    }

    /// The first try of a command under that policy.
    #[inline]
    pub fn attempt(&mut self, policy: Policy) -> Attempt {
        let start = match policy {
            Policy::Master | Policy::Sequence => 0,
            Policy::Any => {
                self.turn = if self.turn + 1 == CYCLE { 0 } else { self.turn + 1 };
                self.turn
            }
            Policy::Random => self.dice.u32(..CYCLE),
        };
        Attempt::new(policy, start)
    }
}

impl Default for Starts {
    fn default() -> Starts {
        Starts::new()
    }
}
