//! Runs a model and its controls.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Instant;

use crate::sync::{Step, without};

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
    static REACHED: RefCell<BTreeSet<&'static str>> = const { RefCell::new(BTreeSet::new()) };
}

/// The panic payload of a failed invariant.
struct Violated(&'static str);

/// Fails the model unless `holds`.
///
/// # Panics
/// If `holds` is false: that is how a model fails.
pub fn invariant(holds: bool, what: &'static str) {
    if !holds {
        panic::panic_any(Violated(what));
    }
}

/// Records that some execution reached this place. A model that misses a place that
/// it should reach proves nothing.
pub fn reach(place: &'static str) {
    REACHED.with_borrow_mut(|reached| reached.insert(place));
}

/// A model: actors, an invariant, and the controls that show that it can fail.
#[derive(Debug)]
pub struct Model {
    name: &'static str,
    bound: Option<usize>,
    reaches: Vec<&'static str>,
    controls: Vec<Step>,
}

impl Model {
    /// A model that runs every schedule.
    pub fn exhaustive(name: &'static str) -> Model {
        Model { name, bound: None, reaches: Vec::new(), controls: Vec::new() }
    }

    /// A model that runs every schedule with at most `bound` preemptions, or with at
    /// most `deep` preemptions in the deep set.
    pub fn bounded(name: &'static str, bound: usize, deep: usize) -> Model {
        let bound = Some(if cfg!(feature = "deep") { deep } else { bound });
        Model { bound, ..Model::exhaustive(name) }
    }

    /// A model that runs every schedule in the deep set, and otherwise every schedule
    /// with at most `bound` preemptions.
    pub fn exhaustive_if_deep(name: &'static str, bound: usize) -> Model {
        let bound = if cfg!(feature = "deep") { None } else { Some(bound) };
        Model { bound, ..Model::exhaustive(name) }
    }

    /// Requires that some execution reaches each of these places ([`reach`]).
    pub fn reaching(mut self, places: &[&'static str]) -> Model {
        self.reaches.extend(places);
        self
    }

    /// Requires that the model fails without any one of these steps.
    pub fn needing(mut self, steps: &[Step]) -> Model {
        self.controls.extend(steps);
        self
    }

    /// Runs the model, then its controls, and prints the number of executions and the
    /// time.
    ///
    /// # Panics
    /// If the model fails, misses a place that it should reach, or passes without a
    /// step that it should need.
    pub fn check(self, body: impl Fn() + Clone + Send + Sync + 'static) {
        // One model at a time: each execution maps and unmaps a stack for every
        // actor, and two threads that do so in one process take half as long again
        // as one after the other.
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let bound = self.bound.map_or(String::from("none"), |bound| bound.to_string());
        let began = Instant::now();
        REACHED.take();
        let (executions, end) = run(self.bound, body.clone());
        if let Err(payload) = end {
            match payload.downcast::<Violated>() {
                Ok(violated) => {
                    panic!("{}: execution {executions} violates: {}", self.name, violated.0)
                }
                Err(payload) => panic::resume_unwind(payload),
            }
        }
        println!("{}: bound {bound}, {executions} executions, {:.1?}", self.name, began.elapsed());

        let reached = REACHED.take();
        for place in &self.reaches {
            assert!(reached.contains(place), "{}: no execution reached: {place}", self.name);
        }
        for step in &self.controls {
            let (executions, end) = quietly(|| without(*step, || run(self.bound, body.clone())));
            let Err(payload) = end else {
                panic!("{}: {executions} executions pass without {}", self.name, step.name());
            };
            match payload.downcast::<Violated>() {
                Ok(violated) => println!(
                    "  without {}: execution {executions} violates: {}",
                    step.name(),
                    violated.0
                ),
                Err(payload) => panic::resume_unwind(payload),
            }
        }
    }
}

/// Runs all executions, or up to the first that fails; returns their number.
fn run(
    bound: Option<usize>,
    body: impl Fn() + Send + Sync + 'static,
) -> (u64, Result<(), Box<dyn Any + Send>>) {
    let executions = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&executions);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = bound;
    let end = panic::catch_unwind(AssertUnwindSafe(|| {
        builder.check(move || {
            count.fetch_add(1, Ordering::Relaxed);
            body();
        });
    }));
    (executions.load(Ordering::Relaxed), end)
}

/// Runs `body` without messages of panics on this thread, because they are expected.
fn quietly<T>(body: impl FnOnce() -> T) -> T {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                loud(info);
            }
        }));
    });
    QUIET.set(true);
    let value = body();
    QUIET.set(false);
    value
}
