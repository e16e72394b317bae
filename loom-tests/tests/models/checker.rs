//! The checker itself: that the words of the models show it every race.

use std::rc::Rc;

use loom::sync::atomic;
use loom::thread;
use tendmap_loom::check::{Model, reach};
use tendmap_loom::sync::step::WORD;
use tendmap_loom::sync::{AtomicU64, Ordering};

/// One actor loads a word and then exchanges it, as every writer of the
/// protocol does; another one, spawned before, loads it. Some execution gives
/// that one the new value.
#[test]
fn an_exchange_after_a_load_is_run_before_the_loads_of_others() {
    Model::exhaustive("load, then exchange").reaching(&["old value", "new value"]).check(|| {
        let word = Rc::new(AtomicU64::new(0));
        thread::spawn({
            let word = word.clone();
            move || reach(["old value", "new value"][word.load(Ordering::Relaxed) as usize])
        });
        thread::spawn(move || {
            let found = word.load(Ordering::Relaxed);
            let _ = WORD.exchange(&word, found, 1, Ordering::Relaxed);
        });
    });
}

/// What the words of the models are for: over loom's own ones no execution
/// does. When this fails loom has learned it, and the words need it no more.
#[test]
#[should_panic(expected = "no execution reached: new value")]
fn loom_alone_does_not_run_it() {
    Model::exhaustive("the same, loom alone").reaching(&["old value", "new value"]).check(|| {
        let word = Rc::new(atomic::AtomicU64::new(0));
        thread::spawn({
            let word = word.clone();
            move || reach(["old value", "new value"][word.load(Ordering::Relaxed) as usize])
        });
        thread::spawn(move || {
            let found = word.load(Ordering::Relaxed);
            let _ = word.compare_exchange(found, 1, Ordering::Relaxed, Ordering::Relaxed);
        });
    });
}
