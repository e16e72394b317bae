//! The end of the interpreter.
//!
//! At its end CPython (before 3.14) unwinds the stack of every thread that asks for its lock.
//! Where this extension called Python's code, which may give the lock up, there are frames of
//! Rust on that stack, which nothing may unwind: the process would abort. So such calls are
//! counted, the end waits for them, and later ones wait for the end.

use std::cell::Cell;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use tendmap::internals::layout::ForkLocal;

/// How long the end waits for calls, which the program's own code may block, and calls for
/// the end, which may be of a thread that waits for theirs.
const PATIENCE: Duration = Duration::from_secs(1);

/// The calls in progress in this process. Only threads that hold the interpreter's lock change
/// and read it, so that relaxed accesses suffice.
static CALLS: ForkLocal<AtomicUsize> = ForkLocal::new();

static ENDING: AtomicBool = AtomicBool::new(false);

thread_local! {
    /// The calls of this thread that are in progress, one within the other. The thread that
    /// ends the interpreter has one more.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// A call of this extension that may run Python's code.
pub struct Call(&'static AtomicUsize);

impl Call {
    pub fn begin(py: Python<'_>) -> Call {
        if ENDING.load(Ordering::Relaxed) && DEPTH.get() == 0 {
            // Either the process ends meanwhile, or this thread stops as the lock is asked for.
            py.detach(|| sleep(PATIENCE));
        }
        DEPTH.set(DEPTH.get() + 1);
        let calls = CALLS.get_or_init(AtomicUsize::default);
        calls.fetch_add(1, Ordering::Relaxed);
        Call(calls)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Waits at the end of the interpreter for the calls of other threads.
#[pyfunction]
pub fn _end(py: Python<'_>) {
    let own = DEPTH.replace(DEPTH.get() + 1);
    ENDING.store(true, Ordering::Relaxed);
    let ends = Instant::now() + PATIENCE;
    let calls = CALLS.get_or_init(AtomicUsize::default);
    while calls.load(Ordering::Relaxed) > own && Instant::now() < ends {
        py.detach(|| sleep(Duration::from_millis(1)));
    }
}
