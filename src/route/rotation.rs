//! Chooses the replica at which a command starts.

use super::policy::{Attempt, Policy};
use crate::layout::ForkCell;
use crate::random::rng;

/// The number of starts: a multiple of every number up to 22, so that starts
/// modulo a replication factor are equally frequent. (Beyond 22 some replicas
/// get one in ten million commands more than others.)
const CYCLE: u32 = 232_792_560;

/// The starts of one thread's commands: the position of [`Policy::Any`] and the
/// generator of [`Policy::Random`].
///
/// A forked child draws its own at first use; otherwise it would make the same
/// choices as its parent and every sibling.
#[derive(Debug)]
pub struct ReplicaRotation {
    /// A negative number that counts up; it reads as zero in a forked child.
    turn: ForkCell,
    rng: fastrand::Rng,
}

/// The state of [`ReplicaRotation`], for steps that may have to be repeated.
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

    /// The current state; in a forked child its own, if this is its parent's.
    pub(super) fn steps(&self) -> Steps {
        match self.turn.get() as i64 {
            0 => Steps::new(rng()),
            turn => Steps { turn, rng: self.rng.clone() },
        }
    }

    /// Continues from that state.
    pub(super) fn go_on(&mut self, steps: Steps) {
        self.turn.set(steps.turn as u64);
        self.rng = steps.rng;
    }

    /// Begins a new cycle at a random position, with a new generator in a
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
        // Otherwise all short-lived processes would start at the master.
        let turn = -1 - i64::from(roll(&mut rng));
        Steps { turn, rng }
    }

    /// Like [`ReplicaRotation::attempt`].
    #[inline(always)]
    pub fn attempt(&mut self, policy: Policy) -> Attempt {
        first(policy, self)
    }
}

/// The source of starts for attempts.
trait Draw {
    /// The next start in sequence.
    fn next(&mut self) -> u32;
    /// A random start.
    fn roll(&mut self) -> u32;
}

/// The first try of a command under that policy. Policies that do not start at
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
        // A branch, not a conditional move, because the next call depends on
        // this value. It detects both the end of the cycle and a fork.
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
    // The high half of the product: some numbers are more frequent than others
    // by one in 2^36.
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
