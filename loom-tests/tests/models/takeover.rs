//! Candidates: which of them takes over, and the state that they find.

use std::cell::Cell;
use std::rc::Rc;

use loom::thread;
use tendmap_loom::check::{Model, invariant, reach};
use tendmap_loom::protocol::{PublishError, Term, Word};
use tendmap_loom::segment::{Segment, term};
use tendmap_loom::sync::step::{ENTER, HEAD, P1, P2, R1, R2, RETIRE, TAG, TAKE, WORD};
use tendmap_loom::sync::{AtomicU64, Ordering};

/// Loads the head, enters the term `skip` + 1 after it, and publishes once.
fn candidate(segment: &Rc<Segment>, skip: u16) {
    let segment = Rc::clone(segment);
    thread::spawn(move || {
        let seen = segment.head();
        let next = term(seen.term()).after(skip + 1).expect("terms are left");
        let Ok(mut owner) = segment.take_over(seen, next) else {
            reach("lost");
            return;
        };
        reach(["", "", "term 2", "term 3", "term 4", "term 5"][usize::from(next.get())]);
        let payload = u64::from(next.get()) << 8 | seen.sequence();
        let payloads = [payload | 0x10, payload | 0x20];
        let _ = owner.publish(&payloads[..segment.frames[0].len()]);
    });
}

fn reader(segment: &Rc<Segment>) {
    let segment = Rc::clone(segment);
    thread::spawn(move || {
        segment.look();
    });
}

/// Exactly one of the candidates that saw the same head enters the next term, and no
/// reader sees a mixture of their publications.
#[test]
fn m09_h04_two_candidates_never_share_a_term() {
    Model::bounded("two candidates", 3, 4)
        .reaching(&[
            "term 2",
            "term 3",
            "lost",
            "published",
            "fenced",
            "read 1",
            "read 2",
            "read 3",
        ])
        .needing(&[TAKE, TAG, WORD, HEAD, P1, P2, R1, R2])
        .check(|| {
            let segment = Segment::new(&[0x11, 0x12]);
            candidate(&segment, 0);
            candidate(&segment, 0);
            reader(&segment);
        });
}

/// The same with three candidates.
#[test]
fn m09_three_candidates_never_share_a_term() {
    Model::bounded("three candidates", 2, 2)
        .reaching(&["term 2", "term 3", "term 4", "lost", "fenced", "read 1", "read 2", "read 3"])
        .needing(&[TAKE, TAG, WORD, HEAD])
        .check(|| {
            // One word, so that more schedules can be run. A single word also shows a
            // mixture of two publications under one sequence.
            let segment = Segment::new(&[0x11]);
            for _ in 0..3 {
                candidate(&segment, 0);
            }
            reader(&segment);
        });
}

/// A candidate may skip terms because of a stopped candidate that holds the next one.
/// When that one wakes, it can't enter a term that is older than the head's.
#[test]
fn m04_h44_a_skipped_term_is_never_entered_later() {
    Model::bounded("skipped terms", 2, 2)
        .reaching(&["term 2", "term 3", "lost", "fenced", "read 1", "read 2", "read 3"])
        .needing(&[TAKE, TAG, WORD, HEAD])
        .check(|| {
            let segment = Segment::new(&[0x11, 0x12]);
            let mut late = segment.creator();
            thread::spawn(move || late.publish(&[0x101, 0x102]));
            candidate(&segment, 0);
            candidate(&segment, 1);
            reader(&segment);
        });
}

/// A tag from the future in the next frame: exactly one of the owner and its
/// successor finds the word corrupt and retires the segment. The live frame stays
/// readable.
#[test]
fn m03_h43_a_corrupt_tag_retires_the_segment_once() {
    Model::bounded("corrupt tag", 3, 4)
        .reaching(&["owner corrupt", "owner fenced", "taker corrupt", "taker lost", "read 1"])
        .needing(&[RETIRE, TAKE, TAG])
        .check(|| {
            let segment = Segment::new(&[0x11, 0x12]);
            let corrupt = Word::new(term(9), 0x666).bits();
            segment.frames[0][1].store(corrupt, Ordering::Relaxed);
            let retired = Rc::new(Cell::new(0));
            let retires = {
                let retired = Rc::clone(&retired);
                move || retired.set(retired.get() + 1)
            };

            let mut owner = segment.creator();
            let owner = thread::spawn({
                let retires = retires.clone();
                move || match owner.publish(&[0x101, 0x102]) {
                    Err(PublishError::Corrupt { index }) => {
                        invariant(index == 1, "the corrupt word is named");
                        reach("owner corrupt");
                        retires();
                    }
                    Err(_) => reach("owner fenced"),
                    Ok(_) => invariant(false, "nothing is published over a corrupt word"),
                }
            });
            let taker = thread::spawn({
                let segment = segment.clone();
                move || {
                    let seen = segment.head();
                    if seen.retired() {
                        return;
                    }
                    let Ok(mut taker) = segment.take_over(seen, term(2)) else {
                        return reach("taker lost");
                    };
                    match taker.publish(&[0x201, 0x202]) {
                        Err(PublishError::Corrupt { .. }) => {
                            reach("taker corrupt");
                            retires();
                        }
                        _ => invariant(false, "the newest owner finds the word corrupt"),
                    }
                }
            });
            let reader = thread::spawn({
                let segment = segment.clone();
                move || segment.look()
            });
            owner.join().expect("no panic");
            taker.join().expect("no panic");
            reader.join().expect("no panic");
            invariant(retired.get() == 1, "exactly one retires");
            invariant(segment.head().retired(), "the segment is retired");
        });
}

/// An owner releases, another takes over, the first one returns under a new term. Each
/// continues from the whole last publication, without relying on any ordering by the
/// lock that they hand over.
#[test]
fn m11_who_comes_back_continues_from_the_last_publication() {
    Model::bounded("release and return", 3, 4)
        .reaching(&["term 2", "term 3", "read 1", "read 2", "read 3", "read 4"])
        .needing(&[ENTER, P1, P2, R1, R2])
        .check(|| {
            let segment = Segment::new(&[0x11, 0x12]);
            // How many times the lock byte was freed.
            let freed = Rc::new(AtomicU64::new(0));
            let take = |segment: &Rc<Segment>, next: Term| {
                let mut owner = segment.take_over(segment.head(), next).ok()?;
                let last = segment.continue_from(owner.head());
                let published = owner.publish(&[last[0] + 0x10, last[1] + 0x10]);
                invariant(published.is_ok(), "the only owner is not fenced");
                Some(())
            };

            let mut first = segment.creator();
            thread::spawn({
                let (segment, freed) = (segment.clone(), freed.clone());
                move || {
                    let published = first.publish(&[0x21, 0x22]);
                    invariant(published.is_ok(), "the only owner is not fenced");
                    freed.store(1, Ordering::Relaxed);
                    if freed.load(Ordering::Relaxed) == 2 && take(&segment, term(3)).is_some() {
                        reach("term 3");
                    }
                }
            });
            thread::spawn({
                let (segment, freed) = (segment.clone(), freed.clone());
                move || {
                    if freed.load(Ordering::Relaxed) == 1 && take(&segment, term(2)).is_some() {
                        reach("term 2");
                        freed.store(2, Ordering::Relaxed);
                    }
                }
            });
            reader(&segment);
        });
}
