//! The only place that names atomics, and the steps that the protocol's proof
//! rests on.
//!
//! The loom crate puts a module of this name beside the very files of
//! `protocol`: there the atomics are loom's, and one step at a time can be
//! left out, to show that the models fail without it.

use core::sync::atomic::fence;
pub use core::sync::atomic::{AtomicU64, Ordering};

/// A step of the protocol that its proof rests on. Here each does just what
/// it says, and costs nothing beyond that.
#[derive(Clone, Copy)]
pub struct Step;

impl Step {
    /// A fence.
    #[inline(always)]
    pub fn fence(self, order: Ordering) {
        fence(order);
    }

    /// The ordering of an access.
    #[inline(always)]
    pub const fn order(self, order: Ordering) -> Ordering {
        order
    }

    /// A condition to go on.
    #[inline(always)]
    pub const fn check(self, holds: bool) -> bool {
        holds
    }

    /// An action.
    #[inline(always)]
    pub fn act(self, action: impl FnOnce()) {
        action();
    }

    /// Stores `to` if exactly `from` is there, else gives what is there. The
    /// failure is Relaxed: nothing in the protocol is read because of one.
    #[inline(always)]
    pub fn exchange(
        self,
        word: &AtomicU64,
        from: u64,
        to: u64,
        order: Ordering,
    ) -> Result<u64, u64> {
        word.compare_exchange(from, to, order, Ordering::Relaxed)
    }
}

/// The steps by name.
pub mod step {
    use super::Step;

    /// The fence before a publication's first word.
    pub const P1: Step = Step;
    /// The ordering of the exchange that publishes.
    pub const P2: Step = Step;
    /// The fence after a reader's first load of the head.
    pub const R1: Step = Step;
    /// The fence before a reader's second load of the head.
    pub const R2: Step = Step;
    /// The comparison of a reader's two loads of the head.
    pub const STAMP: Step = Step;
    /// What is read to be kept is read under one check of the head.
    pub const UNDER: Step = Step;
    /// A read begins with the comparison of the kept stamp with the head's.
    pub const SAME: Step = Step;
    /// The table generation is compared when the stamp has changed.
    pub const GENERATION: Step = Step;
    /// It is compared as the whole tagged word.
    pub const TAGGED: Step = Step;
    /// What was kept is forgotten when the reader moves to another segment.
    pub const MOVED: Step = Step;
    /// The stamp of a retired head is not kept.
    pub const RETIRED: Step = Step;
    /// A word of a frame is left alone if its tag is newer.
    pub const TAG: Step = Step;
    /// A word of a frame is left as it is only if the writer's term wrote it.
    pub const OWN: Step = Step;
    /// A word of a frame is exchanged from the value whose tag was checked.
    pub const WORD: Step = Step;
    /// A publication exchanges the head that its owner left.
    pub const HEAD: Step = Step;
    /// A takeover exchanges the head that the candidate saw.
    pub const TAKE: Step = Step;
    /// Retirement exchanges the head that the caller saw.
    pub const RETIRE: Step = Step;
    /// The ordering of the exchange that takes over or retires.
    pub const ENTER: Step = Step;
    /// An owner word is left alone if its tag is newer.
    pub const OWNER_TAG: Step = Step;
    /// An owner word is exchanged from the value that was looked at.
    pub const OWNER_WORD: Step = Step;
    /// An owner word counts only under the head's term.
    pub const OWNER_TERM: Step = Step;
    /// The event word is exchanged from the value that was looked at.
    pub const EVENT: Step = Step;
}
