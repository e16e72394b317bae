//! The only place that names atomics, and the steps that the protocol's proof
//! rests on.
//!
//! The loom crate puts a module of this name beside the very files of
//! `protocol` and of `client::ringing`: there the atomics and locks are loom's,
//! and one step at a time can be left out, to show that the models fail without
//! it.

use core::sync::atomic::fence;
pub use core::sync::atomic::{AtomicU64, Ordering};
pub use std::sync::{Mutex, MutexGuard};

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

    /// Two actions in this order.
    #[inline(always)]
    pub fn in_order<A, B>(self, first: impl FnOnce() -> A, second: impl FnOnce() -> B) -> (A, B) {
        (first(), second())
    }

    /// A value that is kept, as a lock is held, instead of being got again.
    #[inline(always)]
    pub fn keep<T>(self, kept: T, _again: impl FnOnce() -> T) -> T {
        kept
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
    /// A handle for changes is cleared before the look at the map.
    pub const CLEAR: Step = Step;
    /// What was told is what was loaded before the bells were rung.
    pub const TOLD: Step = Step;
    /// What is live when the first handle is added counts as told.
    pub const START: Step = Step;
    /// A handle is added in the hold of the lock in which its thread was found or
    /// started, and it was not closed.
    pub const ADD: Step = Step;
    /// The thread ends in the hold of the lock in which it found nobody to tell.
    pub const END: Step = Step;
    /// The thread that ends says so.
    pub const OVER: Step = Step;
    /// A close takes effect before the bells are rung.
    pub const CLOSE: Step = Step;
    /// The thread rings all bells when the client has ended.
    pub const ENDED: Step = Step;
}
