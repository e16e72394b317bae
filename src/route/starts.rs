//! Where commands start among the replicas.

use super::policy::{Attempt, Policy};
use crate::random::dice;

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
        Starts::of(dice())
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
    #[inline(always)]
    pub fn attempt(&mut self, policy: Policy) -> Attempt {
        let start = match policy {
            Policy::Master | Policy::Sequence | Policy::PreferRack => 0,
            Policy::Any => {
                // A branch, not a choice: the next turn waits for this one.
                self.turn += 1;
                if self.turn == CYCLE { self.restart() } else { self.turn }
            }
            Policy::Random => self.roll(),
        };
        Attempt::new(policy, start)
    }

    #[cold]
    #[inline(never)]
    fn restart(&mut self) -> u32 {
        self.turn = 0;
        0
    }

    #[inline(never)]
    fn roll(&mut self) -> u32 {
        self.dice.u32(..CYCLE)
    }
}

impl Default for Starts {
    fn default() -> Starts {
        Starts::new()
    }
}
