//! A router: the data that a process keeps of the map, and when it reads it again.

use std::cell::Cell;
use std::rc::Rc;

use loom::thread;
use tendmap_loom::check::{Model, invariant, reach};
use tendmap_loom::protocol::{
    Admit, Cached, Check, RETRIES, Stamp, StampCell, Word, read, retire, validate,
};
use tendmap_loom::segment::{Segment, term};
use tendmap_loom::sync::step::{GENERATION, MOVED, P1, P2, R1, R2, RETIRED, STAMP, TAGGED, UNDER};
use tendmap_loom::sync::{AtomicU64, Ordering};

/// A cached stamp in the memory of one reader.
#[derive(Debug, Default)]
pub struct InMemory(Cell<u64>);

impl StampCell for InMemory {
    fn get(&self) -> u64 {
        self.0.get()
    }

    fn set(&self, bits: u64) {
        self.0.set(bits);
    }
}

/// A segment that succeeds another one, and whether it can be found.
pub struct Successor {
    segment: Rc<Segment>,
    linked: AtomicU64,
}

impl Successor {
    fn new(segment: Rc<Segment>) -> Rc<Successor> {
        Rc::new(Successor { segment, linked: AtomicU64::new(0) })
    }

    fn link(&self) {
        self.linked.store(1, Ordering::Release);
    }

    fn is_linked(&self) -> bool {
        self.linked.load(Ordering::Acquire) == 1
    }
}

/// A router over a frame whose word 0 is the table generation: the protocol's
/// [`Cached`], used as the product's view uses it.
pub struct Router {
    segment: Rc<Segment>,
    successor: Option<Rc<Successor>>,
    cached: Cached<InMemory>,
    /// The frame that lookups load from.
    turned: Option<usize>,
}

impl Router {
    pub fn new(segment: &Rc<Segment>) -> Router {
        let cached = Cached::new(InMemory::default());
        Router { segment: Rc::clone(segment), successor: None, cached, turned: None }
    }

    /// A router that moves when its segment is retired.
    fn with_successor(segment: &Rc<Segment>, successor: &Rc<Successor>) -> Router {
        Router { successor: Some(Rc::clone(successor)), ..Router::new(segment) }
    }

    fn is_in(&self, segment: &Rc<Segment>) -> bool {
        Rc::ptr_eq(&self.segment, segment)
    }

    pub fn word(&self, frame: usize, at: usize) -> Word {
        Word::from_bits(self.segment.frames[frame][at].load(Ordering::Relaxed))
    }

    /// Loads data of one stamp through `load`, which gets the frame. If the records
    /// may have changed, `learn` gets them first. `None` if the lookup must begin
    /// again.
    pub fn lookup<R, T>(
        &mut self,
        records: impl Fn(&Router, usize) -> R,
        learn: impl FnOnce(R),
        load: impl Fn(&Router, usize) -> T,
    ) -> Option<(Stamp, T)> {
        if let Some(frame) = self.turned {
            let value = load(self, frame);
            if let Some(stamp) = self.cached.validate(&self.segment.head) {
                return Some((stamp, value));
            }
        }
        let stamp = match self.cached.check(&self.segment.head) {
            Check::Hit(stamp) => stamp,
            Check::Stale(stamp) => self.refresh(stamp, records, learn)?,
        };
        let value = load(self, self.turned?);
        validate(&self.segment.head, stamp).then_some((stamp, value))
    }

    fn refresh<R>(
        &mut self,
        mut stamp: Stamp,
        records: impl Fn(&Router, usize) -> R,
        learn: impl FnOnce(R),
    ) -> Option<Stamp> {
        if stamp.retired() {
            if let Some(next) = self.successor.as_ref().filter(|next| next.is_linked()) {
                self.segment = Rc::clone(&next.segment);
                self.successor = None;
                self.cached.forget();
                return None;
            }
        }
        let generation = self.word(stamp.frame(), 0);
        match self.cached.admit(&self.segment.head, stamp, generation) {
            Admit::Raced => return None,
            Admit::Same => {}
            Admit::Reread => {
                let load =
                    |stamp: Stamp| (self.word(stamp.frame(), 0), records(self, stamp.frame()));
                let (read, (generation, records)) = read(&self.segment.head, RETRIES, load).ok()?;
                learn(records);
                stamp = self.cached.keep(stamp, read, generation)?;
            }
        }
        self.turned = Some(stamp.frame());
        Some(stamp)
    }
}

const A: u64 = 0xa;
const B: u64 = 0xb;

/// A process that routes for namespace A. Word 1 is the namespace, word 2 the node of
/// that namespace: nodes 1 and 2 belong to A, node 3 to B.
fn route_for_a(segment: &Rc<Segment>) {
    let mut router = Router::new(segment);
    thread::spawn(move || {
        let mut resolved = false;
        for _ in 0..2 {
            let routed = router.lookup(
                |router, frame| router.word(frame, 1).payload(),
                |name| resolved = name == A,
                |router, frame| router.word(frame, 2).payload(),
            );
            match routed {
                Some((_, node)) if resolved => {
                    invariant(node == 1 || node == 2, "a router of A gets nodes of A");
                    reach(if node == 1 { "first node" } else { "second node" });
                }
                Some(_) => reach("namespace gone"),
                None => reach("disturbed"),
            }
        }
    });
}

/// A namespace is dropped and another one takes its slot. A router of the old one
/// never gets a node of the new one.
#[test]
fn m06_h42_a_router_never_uses_the_map_of_who_took_the_slot() {
    Model::exhaustive_if_deep("dropped namespace", 4)
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

/// The same if a new owner counts generations from the start again: the tag
/// distinguishes its tables from those of the previous owner.
#[test]
fn m06_a_generation_counted_anew_is_not_taken_for_the_old_one() {
    Model::exhaustive("generation counted again")
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

/// A router moves to a segment whose first publication has the same sequence and
/// generation as the old one. The router reads everything again, and never gets the
/// node of the namespace that has its slot there. Once the router knows of the
/// successor, a lookup moves it.
#[test]
fn m13_a_router_that_moves_over_reads_all_anew() {
    Model::exhaustive("router moves over")
        .reaching(&["first node", "on the retired one", "moved over", "namespace gone"])
        .needing(&[MOVED, RETIRED])
        .check(|| {
            let segment = Segment::new(&[1, A, 1]);
            let next = Successor::new(Segment::new(&[1, B, 3]));
            thread::spawn({
                let (segment, next) = (segment.clone(), next.clone());
                move || {
                    let retired = retire(&segment.head, segment.creator().head());
                    invariant(retired.is_ok(), "alone");
                    next.link();
                }
            });
            let mut router = Router::with_successor(&segment, &next);
            thread::spawn(move || {
                let mut resolved = false;
                for _ in 0..3 {
                    let told = next.is_linked();
                    let routed = router.lookup(
                        |router, frame| router.word(frame, 1).payload(),
                        |name| resolved = name == A,
                        |router, frame| router.word(frame, 2).payload(),
                    );
                    let moved = router.is_in(&next.segment);
                    invariant(moved || !told, "a router that knows of the successor moves");
                    if moved {
                        reach("moved over");
                    }
                    let Some((stamp, node)) = routed else { continue };
                    if resolved {
                        invariant(node != 3, "a router of A is given nodes of A");
                        reach(if stamp.retired() { "on the retired one" } else { "first node" });
                    } else {
                        reach("namespace gone");
                    }
                }
            });
        });
}
