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

/// What a failed invariant unwinds with.
struct Violated(&'static str);

/// Fails the model unless `holds`.
///
/// # Panics
/// If it does not: that is how a model fails.
pub fn invariant(holds: bool, what: &'static str) {
    if !holds {
        panic::panic_any(Violated(what));
    }
}

/// Notes that some execution came here. A model that does not reach all that
/// it should proves nothing.
pub fn reach(place: &'static str) {
    REACHED.with_borrow_mut(|reached| reached.insert(place));
}

/// A model: actors, an invariant, and what shows that it can fail.
#[derive(Debug)]
pub struct Model {
    name: &'static str,
    bound: Option<usize>,
    reaches: Vec<&'static str>,
    controls: Vec<Step>,
}

impl Model {
    /// A model whose every schedule is run.
    pub fn exhaustive(name: &'static str) -> Model {
        Model { name, bound: None, reaches: Vec::new(), controls: Vec::new() }
    }

    /// A model whose every schedule of at most `bound` preemptions is run; of
    /// `deep` preemptions in the deep set.
    pub fn bounded(name: &'static str, bound: usize, deep: usize) -> Model {
        let bound = Some(if cfg!(feature = "deep") { deep } else { bound });
        Model { bound, ..Model::exhaustive(name) }
    }

    /// A model whose every schedule is run in the deep set, and of at most `bound`
    /// preemptions otherwise.
    pub fn exhaustive_if_deep(name: &'static str, bound: usize) -> Model {
        let bound = if cfg!(feature = "deep") { None } else { Some(bound) };
        Model { bound, ..Model::exhaustive(name) }
    }

    /// Some execution must come to each of these places ([`reach`]).
    pub fn reaching(mut self, places: &[&'static str]) -> Model {
        self.reaches.extend(places);
        self
    }

    /// The model must fail without any one of these steps.
    pub fn needing(mut self, steps: &[Step]) -> Model {
        self.controls.extend(steps);
        self
    }

    /// Runs it, then its controls, and prints what that took.
    ///
    /// # Panics
    /// If the model fails, misses a place that it should reach, or does not
    /// fail without a step that it should need.
    pub fn check(self, body: impl Fn() + Clone + Send + Sync + 'static) {
        // One at a time: each execution maps and unmaps a stack an actor, and two
        // threads at that in one process take half as long again as one after
        // the other.
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

/// Runs all executions or up to the first that fails; how many that were.
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

/// Runs `body` without the messages of panics on this thread: they are wanted.
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
