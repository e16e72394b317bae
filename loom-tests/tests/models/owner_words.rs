//! Heartbeats, counters and the event word.

use std::rc::Rc;

use loom::thread;
use tendmap_loom::check::{Model, invariant, reach};
use tendmap_loom::protocol::{
    Head, Term, Word, add_owner, load_owner, raise_event, store_owner, take_over,
};
use tendmap_loom::segment::{Segment, term};
use tendmap_loom::sync::step::{EVENT, OWNER_TAG, OWNER_TERM, OWNER_WORD, TAKE};
use tendmap_loom::sync::{AtomicU64, Ordering};

/// An owner beats twice without looking at the head.
fn late_beats(segment: &Rc<Segment>) -> thread::JoinHandle<u64> {
    let segment = Rc::clone(segment);
    thread::spawn(move || {
        let beat = |_: &u64| add_owner(&segment.owner, Term::FIRST, 1).is_ok();
        (0..2).filter(beat).count() as u64
    })
}

/// The heartbeat of an owner that was replaced is never taken for that of a new owner
/// that stopped at once.
#[test]
fn m05_a_late_heartbeat_is_not_the_new_owners() {
    Model::exhaustive("late heartbeat")
        .reaching(&["own beat", "no beat yet"])
        .needing(&[OWNER_TERM])
        .check(|| {
            let segment = Segment::new(&[0x11]);
            late_beats(&segment);
            thread::spawn({
                let segment = segment.clone();
                move || take_over(&segment.head, segment.head(), term(2))
            });
            thread::spawn(move || {
                let head = segment.head();
                let beat = load_owner(&segment.owner, head);
                if head.term() == 2 {
                    reach("no beat yet");
                    invariant(beat.is_none(), "no heartbeat counts before the owner's own");
                } else if beat.is_some() {
                    reach("own beat");
                }
            });
        });
}

/// After an owner's first store to an owner word, a late owner can neither change it
/// nor make it appear missing.
#[test]
fn m12_h05_a_fenced_owner_cannot_touch_the_heartbeat() {
    Model::bounded("heartbeat after fencing", 3, 4)
        .reaching(&["took over", "late beat refused", "new beat seen"])
        .needing(&[OWNER_TAG, OWNER_WORD, OWNER_TERM])
        .check(|| {
            let segment = Segment::new(&[0x11]);
            let late = late_beats(&segment);
            let new = thread::spawn({
                let segment = segment.clone();
                move || {
                    let Ok(head) = take_over(&segment.head, segment.head(), term(2)) else {
                        return;
                    };
                    reach("took over");
                    let stored = store_owner(&segment.owner, term(2), 100);
                    let added = add_owner(&segment.owner, term(2), 1);
                    invariant(stored.is_ok() && added.is_ok(), "the newest owner is not refused");
                    let beat = load_owner(&segment.owner, head);
                    invariant(beat == Some(101), "its heartbeat is the one that it stored");
                }
            });
            let follower = thread::spawn({
                let segment = segment.clone();
                move || {
                    let head = segment.head();
                    if head.term() == 2 {
                        if let Some(beat) = load_owner(&segment.owner, head) {
                            reach("new beat seen");
                            invariant((100..=101).contains(&beat), "the beat is the new owner's");
                        }
                    }
                }
            });
            if late.join().expect("no panic") < 2 {
                reach("late beat refused");
            }
            new.join().expect("no panic");
            follower.join().expect("no panic");
            let beat = load_owner(&segment.owner, segment.head());
            invariant(beat == Some(101), "its last beat stays");
        });
}

/// A counter that a new owner continues contains every successful addition exactly
/// once.
#[test]
fn m12_a_counter_loses_no_addition() {
    Model::exhaustive("counter after fencing")
        .reaching(&["all counted", "late one refused"])
        .needing(&[OWNER_TAG, OWNER_WORD])
        .check(|| {
            let segment = Segment::new(&[0x11]);
            let late = late_beats(&segment);
            let new = thread::spawn({
                let segment = segment.clone();
                move || {
                    let add = |_: &u64| add_owner(&segment.owner, term(2), 1).is_ok();
                    (0..2).filter(add).count() as u64
                }
            });
            let old = late.join().expect("no panic");
            let new = new.join().expect("no panic");
            reach(if old == 2 { "all counted" } else { "late one refused" });
            let word = Word::from_bits(segment.owner.load(Ordering::Relaxed));
            invariant(new == 2, "the newest owner is not refused");
            invariant(word.payload() == old + new, "every addition counts once");
            invariant(word.tag() == 2, "the tag never falls");
        });
}

/// Every raise of the event word changes it, so that a process that loaded it before
/// does not sleep. Owners and other processes may raise it at the same time.
#[test]
fn m12_h46_no_raise_of_the_event_word_is_lost() {
    Model::exhaustive("event word").reaching(&["raised"]).needing(&[EVENT]).check(|| {
        let event = Rc::new(AtomicU64::new(Word::new(Term::FIRST, 0).bits()));
        let raise = |number: u16| {
            let event = Rc::clone(&event);
            thread::spawn(move || {
                let before = event.load(Ordering::Relaxed);
                raise_event(&event, Head::new(term(number), 1));
                let after = event.load(Ordering::Relaxed);
                invariant(before != after, "a raise changes the word");
            })
        };
        let raisers = [raise(1), raise(2)];
        raisers.into_iter().for_each(|raiser| raiser.join().expect("no panic"));
        reach("raised");
        let word = Word::from_bits(event.load(Ordering::Relaxed));
        invariant(word.payload() == 2, "every raise counts");
        invariant(word.tag() == 2, "the tag is the newest raiser's");
    });
}

/// A takeover that fails does not change the winner's head.
#[test]
fn m12_a_candidate_that_lost_learns_who_won() {
    Model::exhaustive("lost takeover").reaching(&["won", "lost"]).needing(&[TAKE]).check(|| {
        let segment = Segment::new(&[0x11]);
        let seen = segment.head();
        let attempts = [2, 3].map(|number| {
            let segment = segment.clone();
            thread::spawn(move || match take_over(&segment.head, seen, term(number)) {
                Ok(_) => {
                    reach("won");
                    1
                }
                Err(lost) => {
                    reach("lost");
                    invariant(lost.found == seen.with_term(term(5 - number)), "the winner's head");
                    0
                }
            })
        });
        let won: u64 = attempts.into_iter().map(|one| one.join().expect("no panic")).sum();
        invariant(won == 1, "exactly one wins");
    });
}
