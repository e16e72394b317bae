//! The end of the interpreter.
//!
//! At its end CPython (before 3.14) unwinds the stack of every thread that asks for its lock.
//! Where this extension called Python's code, which may give the lock up, there are frames of
//! Rust on that stack, which nothing may unwind: the process would abort. So such calls are
//! counted, the end waits for them, and later ones wait for the end.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use pyo3::prelude::*;
use tendmap::internals::layout::ForkLocal;

/// How long the end waits for calls: the program's own code may block them.
const OF_END: Duration = Duration::from_secs(1);

/// How long calls wait for the end in all: it may wait for their threads.
const OF_CALLS: Duration = Duration::from_secs(5);

/// The calls in progress in this process. Only threads that hold the interpreter's lock change
/// and read it, so that relaxed accesses suffice.
static CALLS: ForkLocal<AtomicUsize> = ForkLocal::new();

/// Since when the interpreter ends.
static ENDING: OnceLock<Instant> = OnceLock::new();

thread_local! {
    /// The calls of this thread that are in progress, one within the other. The thread that
    /// ends the interpreter has one more.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// A call of this extension that may run Python's code.
pub struct Call(&'static AtomicUsize);

impl Call {
    pub fn begin(py: Python<'_>) -> Call {
        if let (Some(ending), 0) = (ENDING.get(), DEPTH.get()) {
            // Either the process ends meanwhile, or this thread stops as the lock is asked for.
            py.detach(|| sleep(OF_CALLS.saturating_sub(ending.elapsed())));
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
    let ending = ENDING.get_or_init(Instant::now);
    let calls = CALLS.get_or_init(AtomicUsize::default);
    while calls.load(Ordering::Relaxed) > own && ending.elapsed() < OF_END {
        py.detach(|| sleep(Duration::from_millis(1)));
    }
}
