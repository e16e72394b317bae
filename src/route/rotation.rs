//! Where commands start among the replicas.

use super::policy::{Attempt, Policy};
use crate::layout::ForkCell;
use crate::random::rng;

/// How many starts there are: a multiple of every number up to 22, so that
/// starts modulo a replication factor come out equally often. (Beyond 22 some
/// replicas start one in ten million commands more than others.)
const CYCLE: u32 = 232_792_560;

/// Where the commands of one thread start: the turn of [`Policy::Any`] and the
/// rng of [`Policy::Random`].
///
/// A forked child draws its own at its first use, or it would follow the steps
/// of its parent and of every sibling.
#[derive(Debug)]
pub struct ReplicaRotation {
    /// A negative number that counts up; it reads as zero in a forked child.
    turn: ForkCell,
    rng: fastrand::Rng,
}

/// The state of [`ReplicaRotation`], for steps that may have to be taken again.
#[derive(Clone, Debug)]
pub(super) struct Steps {
    turn: i64,
    rng: fastrand::Rng,
}

impl ReplicaRotation {
    /// Starts unlike those of any other thread or process.
    #[must_use]
    pub fn new() -> ReplicaRotation {
        ReplicaRotation::of(Steps::new(rng()))
    }

    /// Starts that can be repeated; not by a forked child, which draws others.
    #[must_use]
    pub fn with_seed(seed: u64) -> ReplicaRotation {
        ReplicaRotation::of(Steps::new(fastrand::Rng::with_seed(seed)))
    }

    fn of(steps: Steps) -> ReplicaRotation {
        let turn = ForkCell::new();
        turn.set(steps.turn as u64);
        ReplicaRotation { turn, rng: steps.rng }
    }

    /// The first try of a command under that policy.
    #[inline(always)]
    pub fn attempt(&mut self, policy: Policy) -> Attempt {
        first(policy, self)
    }

    /// The steps from here on; a forked child's own, if these are its parent's.
    pub(super) fn steps(&self) -> Steps {
        match self.turn.get() as i64 {
            0 => Steps::new(rng()),
            turn => Steps { turn, rng: self.rng.clone() },
        }
    }

    /// Goes on from there.
    pub(super) fn go_on(&mut self, steps: Steps) {
        self.turn.set(steps.turn as u64);
        self.rng = steps.rng;
    }

    /// Begins a new cycle, at a turn of its own, and with rng of its own in a
    /// forked child.
    #[cold]
    #[inline(never)]
    fn renew(&mut self) -> i64 {
        let steps = match self.turn.get() {
            0 => Steps::new(rng()),
            _ => Steps::new(self.rng.clone()),
        };
        let turn = steps.turn;
        self.go_on(steps);
        turn
    }
}

impl Steps {
    fn new(mut rng: fastrand::Rng) -> Steps {
        // Short-lived processes would otherwise all begin at the master.
        let turn = -1 - i64::from(roll(&mut rng));
        Steps { turn, rng }
    }

    /// As [`ReplicaRotation::attempt`].
    #[inline(always)]
    pub fn attempt(&mut self, policy: Policy) -> Attempt {
        first(policy, self)
    }
}

/// What the starts of attempts are drawn from.
trait Draw {
    /// The next start in turn.
    fn next(&mut self) -> u32;
    /// A random start.
    fn roll(&mut self) -> u32;
}

/// The first try of a command under that policy: all that start anywhere but at
/// the first replica draw their start here.
#[inline(always)]
fn first(policy: Policy, starts: &mut impl Draw) -> Attempt {
    let start = match policy {
        Policy::Master | Policy::Sequence | Policy::PreferRack => 0,
        Policy::Any => starts.next(),
        Policy::Random => starts.roll(),
    };
    Attempt::new(policy, start)
}

impl Draw for ReplicaRotation {
    #[inline(always)]
    fn next(&mut self) -> u32 {
        // A branch, not a choice: the next turn waits for this one. It finds
        // the end of the cycle and a fork alike.
        let mut turn = self.turn.get() as i64 + 1;
        if turn >= 0 {
            turn = self.renew();
        }
        self.turn.set(turn as u64);
        turn as u32
    }

    #[inline(never)]
    fn roll(&mut self) -> u32 {
        if self.turn.get() == 0 {
            self.renew();
        }
        roll(&mut self.rng)
    }
}

impl Draw for Steps {
    #[inline(always)]
    fn next(&mut self) -> u32 {
        self.turn += 1;
        if self.turn >= 0 {
            self.turn = -i64::from(CYCLE);
        }
        self.turn as u32
    }

    #[inline(always)]
    fn roll(&mut self) -> u32 {
        roll(&mut self.rng)
    }
}

/// A number below [`CYCLE`].
#[inline(always)]
fn roll(rng: &mut fastrand::Rng) -> u32 {
    // The high half of the product: some numbers come out more often than
    // others by one in 2^36.
    ((u128::from(rng.u64(..)) * u128::from(CYCLE)) >> u64::BITS) as u32
}

impl Clone for ReplicaRotation {
    fn clone(&self) -> ReplicaRotation {
        ReplicaRotation::of(self.steps())
    }
}

impl Default for ReplicaRotation {
    fn default() -> ReplicaRotation {
        ReplicaRotation::new()
    }
}
