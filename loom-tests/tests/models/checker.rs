//! Tests of the checker itself: with the models' words it sees every race.

use std::rc::Rc;

use loom::sync::atomic;
use loom::thread;
use tendmap_loom::check::{Model, reach};
use tendmap_loom::sync::step::WORD;
use tendmap_loom::sync::{AtomicU64, Ordering};

/// One actor loads a word and then exchanges it, as every writer of the protocol
/// does. Another one, spawned before, loads it, and in some execution gets the new
/// value.
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

/// Why the models have words of their own: with loom's words no execution gives the
/// new value. If this test fails, loom has been fixed, and the words no longer need
/// the workaround.
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
