//! Owners that stop, and owners that wake too late.

use std::rc::Rc;

use loom::thread;
use tendmap_loom::check::{Model, invariant, reach};
use tendmap_loom::segment::{Segment, term};
use tendmap_loom::sync::killed_after;
use tendmap_loom::sync::step::{HEAD, OWN, P1, P2, R1, R2, STAMP, TAG, WORD};

fn reader(segment: &Rc<Segment>) {
    let segment = Rc::clone(segment);
    thread::spawn(move || {
        segment.look();
    });
}

/// Takes over in any case, then publishes `publications` times: a new first word and
/// an unchanged second one.
fn successor(segment: &Rc<Segment>, publications: u64) {
    let segment = Rc::clone(segment);
    thread::spawn(move || {
        // The previous owner publishes at most once, so the second attempt succeeds.
        let attempt = || segment.take_over(segment.head(), term(2)).ok();
        let owner = attempt().or_else(attempt);
        invariant(owner.is_some(), "a candidate takes over from an owner in any state");
        let Some(mut owner) = owner else { return };
        reach("took over");
        for _ in 0..publications {
            let payload = 0x200 | owner.head().sequence();
            let published = owner.publish(&[payload, 0x12]);
            invariant(published.is_ok(), "the owner of the newest term is not fenced");
        }
    });
}

/// An owner wakes at any point of a publication, even just before it exchanges the
/// head. A validated read is one whole publication, and the newer owner is not
/// affected.
#[test]
fn m10_h05_a_late_owner_changes_nothing_that_was_published() {
    Model::bounded("late owner", 3, 4)
        .reaching(&["read 1", "read 2", "read 3", "disturbed", "took over", "fenced", "published"])
        .needing(&[P1, P2, R1, R2, STAMP, TAG, WORD, HEAD])
        .check(|| {
            let segment = Segment::new(&[0x11, 0x12]);
            let mut late = segment.creator();
            thread::spawn(move || late.publish(&[0x101, 0x99]));
            successor(&segment, 1);
            reader(&segment);
        });
}

/// A word with an unchanged payload is left alone only if it has the owner's tag. So
/// over three publications of the newer owner, a late one finds no word that it can
/// change.
#[test]
fn m02_words_left_alone_are_safe_from_a_late_owner() {
    Model::bounded("words left alone", 2, 3)
        .reaching(&["read 1", "read 2", "read 3", "read 4", "took over", "fenced"])
        .needing(&[TAG, OWN, WORD, HEAD])
        .check(|| {
            let segment = Segment::new(&[0x11, 0x12]);
            let mut late = segment.creator();
            thread::spawn(move || late.publish(&[0x101, 0x99]));
            successor(&segment, 3);
            reader(&segment);
        });
}

/// An owner is killed after any number of its stores: readers continue with whole
/// publications, and a candidate takes over and publishes.
#[test]
fn m08_h01_an_owner_killed_after_any_store_stops_nobody() {
    for stores in 0..=3 {
        let places: &[&str] = match stores {
            3 => &["read 1", "read 2", "read 3", "read 4", "took over", "survived"],
            _ => &["read 1", "read 2", "read 3", "disturbed", "took over", "killed"],
        };
        Model::bounded(["killed at 0", "killed at 1", "killed at 2", "killed at 3"][stores], 2, 3)
            .reaching(places)
            .needing(&[P1, P2, R1, R2])
            .check(move || {
                let segment = Segment::new(&[0x11, 0x12]);
                let mut owner = segment.creator();
                thread::spawn(move || {
                    let end = killed_after(stores, || owner.publish(&[0x101, 0x102]));
                    reach(if end.is_none() { "killed" } else { "survived" });
                });
                successor(&segment, 2);
                reader(&segment);
            });
    }
}
