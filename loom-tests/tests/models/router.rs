//! A router: what a process keeps to itself of the map, and when it reads that
//! anew.

use std::rc::Rc;

use loom::thread;
use tendmap_loom::check::{Model, invariant, reach};
use tendmap_loom::protocol::{
    CachedStamp, Stamp, Word, begin_read, retire, validate, validate_cached,
};
use tendmap_loom::segment::{Segment, term};
use tendmap_loom::sync::step::{P1, P2, R1, R2, STAMP};
use tendmap_loom::sync::{AtomicU64, Ordering, Step};

/// The table generation is compared when the stamp has changed.
pub const GENERATION: Step = Step::new("GENERATION");
/// It is compared as the whole tagged word.
const TAGGED: Step = Step::new("TAGGED");
/// What is kept was read under one check of the head.
pub const UNDER: Step = Step::new("UNDER");

/// Another segment means a full re-read.
const MOVED: Step = Step::new("MOVED");

/// A router's rule, over a frame whose word 0 is the table generation.
pub struct Router {
    segment: Rc<Segment>,
    seen: Option<(Stamp, Word)>,
}

impl Router {
    pub fn new(segment: &Rc<Segment>) -> Router {
        Router { segment: Rc::clone(segment), seen: None }
    }

    /// Goes on in another segment.
    fn move_over(&mut self, next: &Rc<Segment>) {
        self.segment = Rc::clone(next);
        // Left out, what was seen in the old one would count.
        if !MOVED.check(false) {
            self.seen = None;
        }
    }

    pub fn word(&self, stamp: Stamp, at: usize) -> Word {
        Word::from_bits(self.segment.frames[stamp.frame()][at].load(Ordering::Relaxed))
    }

    /// Loads through `load` what belongs to one stamp, after `learn` was given
    /// the records if they may have changed. `None` if it was disturbed.
    ///
    /// What is loaded under the stamp that was seen last counts if the head,
    /// looked at only afterwards, still has it.
    pub fn lookup<R, T>(
        &mut self,
        records: impl FnOnce(&Router, Stamp) -> R,
        learn: impl FnOnce(R),
        load: impl Fn(&Router, Stamp) -> T,
    ) -> Option<(Stamp, T)> {
        if let Some((stamp, _)) = self.seen {
            let value = load(self, stamp);
            if validate_cached(&self.segment.head, CachedStamp::of(stamp)) {
                return Some((stamp, value));
            }
        }
        let stamp = begin_read(&self.segment.head);
        if self.seen.is_none_or(|(seen, _)| seen != stamp) {
            let generation = self.word(stamp, 0);
            let same = self.seen.is_some_and(|(_, seen)| {
                let number = seen.payload() == generation.payload();
                GENERATION.check(number && TAGGED.check(seen.tag() == generation.tag()))
            });
            let records = (!same).then(|| records(self, stamp));
            if !UNDER.check(validate(&self.segment.head, stamp)) {
                return None;
            }
            if let Some(records) = records {
                learn(records);
            }
            self.seen = Some((stamp, generation));
        }
        let value = load(self, stamp);
        validate(&self.segment.head, stamp).then_some((stamp, value))
    }
}

const A: u64 = 0xa;
const B: u64 = 0xb;

/// A process that routes for namespace A, which it finds in word 1; word 2 is
/// the node that the namespace there routes to: 1 and 2 are A's, 3 is B's.
fn route_for_a(segment: &Rc<Segment>) {
    let mut router = Router::new(segment);
    thread::spawn(move || {
        let mut resolved = false;
        for _ in 0..2 {
            let routed = router.lookup(
                |router, stamp| router.word(stamp, 1).payload(),
                |name| resolved = name == A,
                |router, stamp| router.word(stamp, 2).payload(),
            );
            match routed {
                Some((_, node)) if resolved => {
                    invariant(node == 1 || node == 2, "a router of A is given nodes of A");
                    reach(if node == 1 { "first node" } else { "second node" });
                }
                Some(_) => reach("namespace gone"),
                None => reach("disturbed"),
            }
        }
    });
}

/// A namespace is dropped and another one takes its slot: a router of the old
/// one is never given a node of the new one.
#[test]
fn m06_h42_a_router_never_uses_the_map_of_who_took_the_slot() {
    Model::exhaustive("dropped namespace")
        .reaching(&["first node", "second node", "namespace gone", "disturbed"])
        .needing(&[GENERATION, UNDER, STAMP, P1, P2, R1, R2])
        .check(|| {
            let segment = Segment::new(&[1, A, 1]);
            route_for_a(&segment);
            let mut owner = segment.creator();
            thread::spawn(move || {
                for payloads in [[1, A, 2], [2, B, 3]] {
                    invariant(owner.publish(&payloads).is_ok(), "alone");
                }
            });
        });
}

/// The same if a new owner has begun to count generations anew: the tag tells
/// its tables from those of the owner before.
#[test]
fn m06_a_generation_counted_anew_is_not_taken_for_the_old_one() {
    Model::exhaustive("generation counted anew")
        .reaching(&["first node", "namespace gone"])
        .needing(&[GENERATION, TAGGED])
        .check(|| {
            let segment = Segment::new(&[1, A, 1]);
            route_for_a(&segment);
            thread::spawn(move || {
                let mut owner = segment.take_over(segment.head(), term(2)).expect("alone");
                invariant(owner.publish(&[1, B, 3]).is_ok(), "alone");
            });
        });
}

/// A router moves over to a segment whose first publication has the sequence
/// and the generation that it knows from the old one: it reads all anew, and
/// is never given the node of a namespace that has its slot there.
#[test]
fn m13_a_router_that_moves_over_reads_all_anew() {
    Model::exhaustive("router moves over")
        .reaching(&["first node", "moved over", "namespace gone"])
        .needing(&[MOVED])
        .check(|| {
            let segment = Segment::new(&[1, A, 1]);
            let next = Segment::new(&[1, B, 3]);
            let linked = Rc::new(AtomicU64::new(0));
            thread::spawn({
                let (segment, linked) = (segment.clone(), linked.clone());
                move || {
                    let retired = retire(&segment.head, segment.creator().head());
                    invariant(retired.is_ok(), "alone");
                    linked.store(1, Ordering::Release);
                }
            });
            let mut router = Router::new(&segment);
            thread::spawn(move || {
                let mut resolved = false;
                for _ in 0..3 {
                    let routed = router.lookup(
                        |router, stamp| router.word(stamp, 1).payload(),
                        |name| resolved = name == A,
                        |router, stamp| router.word(stamp, 2).payload(),
                    );
                    let Some((stamp, node)) = routed else { continue };
                    if resolved {
                        invariant(node != 3, "a router of A is given nodes of A");
                        reach("first node");
                    } else {
                        reach("namespace gone");
                    }
                    if stamp.retired() && linked.load(Ordering::Acquire) == 1 {
                        reach("moved over");
                        router.move_over(&next);
                    }
                }
            });
        });
}
