//! Retirement, and readers that move to the next segment.

use std::rc::Rc;

use loom::thread;
use tendmap_loom::check::{Model, invariant, reach};
use tendmap_loom::protocol::{Cached, Check, Word, retire};
use tendmap_loom::segment::{Segment, term};
use tendmap_loom::sync::step::{HEAD, P2, R1, RETIRE, RETIRED, SAME, TAKE};
use tendmap_loom::sync::{AtomicU64, Ordering, Step};

use crate::router::InMemory;

/// The kernel orders writes before a link and reads after an open.
const LINK: Step = Step::new("LINK");

/// The next generation, which can't be found before it is linked.
struct Next {
    segment: Rc<Segment>,
    linked: AtomicU64,
}

impl Next {
    fn new() -> Rc<Next> {
        Rc::new(Next { segment: Segment::new(&[0x11, 0x12]), linked: AtomicU64::new(0) })
    }

    fn link(&self) {
        self.linked.store(1, LINK.order(Ordering::Release));
    }

    fn find(&self) -> Option<&Segment> {
        (self.linked.load(LINK.order(Ordering::Acquire)) == 1).then_some(&self.segment)
    }
}

/// Growth races with a takeover: either the segment is retired and the next one
/// linked, or the segment has a new owner and the next one is dropped, never both. A
/// reader that moves finds the map as it was built.
#[test]
fn m13_h15_a_segment_is_retired_or_taken_over_but_not_both() {
    Model::bounded("growth", 3, 4)
        .reaching(&["grown", "thrown away", "taken over", "moved over", "waiting", "read 2"])
        .needing(&[RETIRE, TAKE, LINK])
        .check(|| {
            let segment = Segment::new(&[0x11, 0x12]);
            let next = Next::new();
            let owner = thread::spawn({
                let (segment, next) = (segment.clone(), next.clone());
                move || {
                    let seen = segment.creator().head();
                    let built = next.segment.creator().publish(&[0x21, 0x22]);
                    invariant(built.is_ok(), "no other actor has the next segment yet");
                    if retire(&segment.head, seen).is_err() {
                        reach("thrown away");
                        return false;
                    }
                    next.link();
                    reach("grown");
                    true
                }
            });
            let candidate = thread::spawn({
                let segment = segment.clone();
                move || {
                    let seen = segment.head();
                    if seen.retired() {
                        return false;
                    }
                    let Ok(mut taker) = segment.take_over(seen, term(2)) else { return false };
                    reach("taken over");
                    let published = taker.publish(&[0x31, 0x32]);
                    invariant(published.is_ok(), "the actor that took over is the owner");
                    true
                }
            });
            let reader = thread::spawn({
                let (segment, next) = (segment.clone(), next.clone());
                move || {
                    let Some((stamp, _)) = segment.look() else { return };
                    if !stamp.retired() {
                        return;
                    }
                    let Some(next) = next.find() else {
                        reach("waiting");
                        let again = segment.look();
                        invariant(again.is_some(), "a retired segment stays readable");
                        return;
                    };
                    reach("moved over");
                    let moved = next.look();
                    let newer = moved.is_some_and(|(new, _)| new.sequence() > stamp.sequence());
                    invariant(newer, "a reader that moves finds the newer map");
                }
            });
            let grown = owner.join().expect("no panic");
            let taken = candidate.join().expect("no panic");
            reader.join().expect("no panic");
            invariant(grown != taken, "exactly one of retirement and takeover");
        });
}

/// Publication and retirement by another actor exclude each other: nothing is
/// published after retirement.
#[test]
fn m13_nothing_is_published_after_retirement() {
    Model::exhaustive("after retirement")
        .reaching(&["retired", "published"])
        .needing(&[HEAD, RETIRE])
        .check(|| {
            let segment = Segment::new(&[0x11, 0x12]);
            let mut owner = segment.creator();
            let seen = owner.head();
            let publisher = thread::spawn(move || owner.publish(&[0x21, 0x22]).is_ok());
            let other = thread::spawn({
                let segment = segment.clone();
                move || {
                    let retired = retire(&segment.head, seen).is_ok();
                    if retired {
                        reach("retired");
                    }
                    retired
                }
            });
            let published = publisher.join().expect("no panic");
            let retired = other.join().expect("no panic");
            invariant(published != retired, "published or retired, not both");
        });
}

/// A reader without a thread, which checks only the head, notices a retirement at its
/// next lookup, although it changes no frame, and then finds the successor.
#[test]
fn m07_a_reader_without_a_thread_notices_retirement() {
    Model::exhaustive("reader without a thread")
        .reaching(&["on the old one", "moved over", "told"])
        .needing(&[SAME, RETIRED, LINK, R1, P2])
        .check(|| {
            let segment = Segment::new(&[0x11, 0x12]);
            let next = Next::new();
            let told = Rc::new(AtomicU64::new(0));
            let mut owner = segment.creator();
            thread::spawn({
                let (segment, next, told) = (segment.clone(), next.clone(), told.clone());
                move || {
                    let head = owner.publish(&[0x21, 0x22]).expect("alone");
                    let _ = next.segment.creator().publish(&[0x31, 0x32]);
                    let _ = retire(&segment.head, head);
                    next.link();
                    told.store(1, Ordering::Release);
                }
            });
            thread::spawn(move || {
                let Some((known, payloads)) = segment.look() else { return };
                let mut cached = Cached::new(InMemory::default());
                let generation = Word::new(term(1), payloads[0]);
                invariant(
                    cached.keep(known, known, generation) == Some(known),
                    "read under one stamp",
                );
                let told = told.load(Ordering::Acquire) == 1;
                // The lookup.
                let Check::Stale(stamp) = cached.check(&segment.head) else {
                    reach("on the old one");
                    invariant(!told, "a reader that knows of the retirement sees it");
                    return;
                };
                if told {
                    reach("told");
                }
                if stamp.retired() {
                    if let Some(next) = next.find() {
                        reach("moved over");
                        let moved = next.look().map(|(_, payloads)| payloads);
                        invariant(moved == Some(vec![0x31, 0x32]), "the successor is whole");
                    }
                }
            });
        });
}
