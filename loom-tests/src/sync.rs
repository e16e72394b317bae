//! The atomics for the protocol under loom, and its steps, which can be left out one
//! at a time.

use std::cell::Cell;
use std::panic::{catch_unwind, resume_unwind};

pub use loom::sync::atomic::Ordering;
pub use loom::sync::{Mutex, MutexGuard};
use loom::sync::{Notify, atomic};
use loom::thread::ThreadId;

/// A word.
///
/// It counts its stores, because loom forgets all but the last seven, and a model
/// with more would miss the forgotten ones.
///
/// It also makes loom see every race on it. To choose where schedules branch, loom
/// remembers the *last* access of each atomic, and treats two loads as independent.
/// So a thread that loads a word and then exchanges it hides the loads of all other
/// threads from its exchange, and loom never runs the exchange before them.
/// Therefore each load first touches an object whose accesses all depend on each
/// other. This adds no memory ordering, because no thread waits on the object.
#[derive(Debug)]
pub struct AtomicU64 {
    word: atomic::AtomicU64,
    touched: Notify,
    stores: Cell<usize>,
}

impl AtomicU64 {
    /// The number of stores that loom remembers, including the first value.
    const HISTORY: usize = 7;

    /// A word with this value.
    pub fn new(value: u64) -> AtomicU64 {
        AtomicU64 {
            word: atomic::AtomicU64::new(value),
            touched: Notify::new(),
            stores: Cell::new(1),
        }
    }

    /// Loads the value.
    pub fn load(&self, order: Ordering) -> u64 {
        self.touched.notify();
        self.word.load(order)
    }

    /// Stores a value, whatever the old one.
    pub fn store(&self, value: u64, order: Ordering) {
        // An exchange, not a store: the word's stores stay in one order.
        self.word.swap(value, order);
        self.count();
    }

    fn count(&self) {
        let stores = self.stores.get() + 1;
        assert!(stores <= AtomicU64::HISTORY, "too many stores to one word for loom");
        self.stores.set(stores);
    }
}

thread_local! {
    static LEFT_OUT: Cell<Option<Step>> = const { Cell::new(None) };
    static DOOMED: Cell<Option<(ThreadId, usize)>> = const { Cell::new(None) };
}

/// A step of the protocol, or of a model, that can be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step(&'static str);

impl Step {
    /// A step with this name. A model can define steps of its own.
    pub const fn new(name: &'static str) -> Step {
        Step(name)
    }

    /// The step's name.
    pub const fn name(self) -> &'static str {
        self.0
    }

    fn left_out(self) -> bool {
        LEFT_OUT.get() == Some(self)
    }

    /// A fence. Left out: no fence.
    pub fn fence(self, order: Ordering) {
        if !self.left_out() {
            atomic::fence(order);
        }
    }

    /// The ordering of an access. Left out: `Relaxed`.
    pub fn order(self, order: Ordering) -> Ordering {
        if self.left_out() { Ordering::Relaxed } else { order }
    }

    /// A condition to continue. Left out: always true.
    pub fn check(self, holds: bool) -> bool {
        holds || self.left_out()
    }

    /// An action. Left out: no action.
    pub fn act(self, action: impl FnOnce()) {
        if !self.left_out() {
            action();
        }
    }

    /// Two actions in this order. Left out: in the other order.
    pub fn in_order<A, B>(self, first: impl FnOnce() -> A, second: impl FnOnce() -> B) -> (A, B) {
        if self.left_out() {
            let second = second();
            return (first(), second);
        }
        (first(), second())
    }

    /// A value that is kept. Left out: it is dropped, and another one is got.
    pub fn keep<T>(self, kept: T, again: impl FnOnce() -> T) -> T {
        if self.left_out() {
            drop(kept);
            return again();
        }
        kept
    }

    /// Stores `to` if the value is `from`. Left out: stores it in any case.
    ///
    /// # Errors
    /// The value that was found instead.
    pub fn exchange(
        self,
        word: &AtomicU64,
        from: u64,
        to: u64,
        order: Ordering,
    ) -> Result<u64, u64> {
        die_if_doomed();
        if self.left_out() {
            word.store(to, order);
            spend_a_store();
            return Ok(from);
        }
        let exchanged = word.word.compare_exchange(from, to, order, Ordering::Relaxed);
        if exchanged.is_ok() {
            word.count();
            spend_a_store();
        }
        exchanged
    }
}

/// Runs `body` with a step left out on this thread.
pub(crate) fn without<T>(step: Step, body: impl FnOnce() -> T) -> T {
    struct Restore;
    impl Drop for Restore {
        fn drop(&mut self) {
            LEFT_OUT.set(None);
        }
    }
    let _restore = Restore;
    LEFT_OUT.set(Some(step));
    body()
}

/// The panic payload that ends a killed actor.
struct Killed;

/// Runs `actor` and kills it after `stores` stores, as SIGKILL would: these stores
/// remain, and no further code runs. `None` if it was killed.
///
/// Only one actor of a model can be killed.
pub fn killed_after<T>(stores: usize, actor: impl FnOnce() -> T) -> Option<T> {
    DOOMED.set(Some((loom::thread::current().id(), stores)));
    let end = catch_unwind(std::panic::AssertUnwindSafe(actor));
    DOOMED.set(None);
    match end {
        Ok(value) => Some(value),
        Err(payload) if payload.is::<Killed>() => None,
        // A failed model, or loom's cleanup after one.
        Err(payload) => resume_unwind(payload),
    }
}

fn die_if_doomed() {
    if let Some((doomed, 0)) = DOOMED.get() {
        if loom::thread::current().id() == doomed {
            resume_unwind(Box::new(Killed));
        }
    }
}

fn spend_a_store() {
    if let Some((doomed, left)) = DOOMED.get() {
        if loom::thread::current().id() == doomed {
            DOOMED.set(Some((doomed, left - 1)));
        }
    }
}

/// The steps of the protocol by name. The product's module of the same name explains
/// them.
pub mod step {
    use super::Step;

    macro_rules! steps {
        ($($(#[$doc:meta])* $name:ident),* $(,)?) => {$(
            $(#[$doc])*
            pub const $name: Step = Step::new(stringify!($name));
        )*};
    }

    steps! {
        /// The fence before a publication's first word.
        P1,
        /// The ordering of the exchange that publishes.
        P2,
        /// The fence after a reader's first load of the head.
        R1,
        /// The fence before a reader's second load of the head.
        R2,
        /// The comparison of a reader's two loads of the head.
        STAMP,
        /// Data that is kept is read under one check of the head.
        UNDER,
        /// A read begins with the comparison of the kept stamp with the head's.
        SAME,
        /// The table generation is compared when the stamp has changed.
        GENERATION,
        /// The table generation is compared as the whole tagged word.
        TAGGED,
        /// Kept data is forgotten when the reader moves to another segment.
        MOVED,
        /// The stamp of a retired head is not kept.
        RETIRED,
        /// A word of a frame is left alone if its tag is newer.
        TAG,
        /// A word of a frame is left as it is only if the writer's term wrote it.
        OWN,
        /// A word of a frame is exchanged from the value that was loaded.
        WORD,
        /// A publication exchanges the head that its owner left.
        HEAD,
        /// A takeover exchanges the head that the candidate saw.
        TAKE,
        /// Retirement exchanges the head that the caller saw.
        RETIRE,
        /// The ordering of the exchange that takes over or retires.
        ENTER,
        /// An owner word is left alone if its tag is newer.
        OWNER_TAG,
        /// An owner word is exchanged from the value that was loaded.
        OWNER_WORD,
        /// An owner word counts only under the head's term.
        OWNER_TERM,
        /// The event word is exchanged from the value that was loaded.
        EVENT,
        /// A handle for changes is cleared before the look at the map.
        CLEAR,
        /// The value that was told was loaded before the bells were rung.
        TOLD,
        /// The live value when the first handle is added counts as told.
        START,
        /// A handle is added without letting go of the lock.
        ADD,
        /// The thread ends without letting go of the lock.
        END,
        /// The thread that ends says so.
        OVER,
        /// A close takes effect before the bells are rung.
        CLOSE,
        /// The thread rings all bells when the client has ended.
        ENDED,
    }
}
