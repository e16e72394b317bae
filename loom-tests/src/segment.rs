//! A segment on the heap, the actors on it, and the ledger of the intended content of
//! each publication.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use crate::check::{invariant, reach};
use crate::protocol::{
    Head, PublishError, Publisher, Stamp, TakeoverLost, Term, Word, begin_read, take_over, validate,
};
use crate::sync::{AtomicU64, Ordering};

/// The payloads of a publication.
pub type Payloads = Vec<u64>;

/// The term with this number.
///
/// # Panics
/// If it is zero.
pub fn term(number: u16) -> Term {
    Term::new(number).expect("not zero")
}

/// A segment: the head, two frames, and an owner word.
#[derive(Debug)]
pub struct Segment {
    /// The head.
    pub head: AtomicU64,
    /// The frames.
    pub frames: [Vec<AtomicU64>; 2],
    /// A word of the owner block.
    pub owner: AtomicU64,
    ledger: RefCell<Ledger>,
}

impl Segment {
    /// A segment of term 1 with these payloads as publication 1.
    pub fn new(first: &[u64]) -> Rc<Segment> {
        Segment::with_sequence(1, first)
    }

    /// A segment of term 1 with these payloads as publication `sequence`.
    pub fn with_sequence(sequence: u64, first: &[u64]) -> Rc<Segment> {
        let head = Head::new(Term::FIRST, sequence);
        let frame = |number: usize| {
            // The other frame as the publication before left it, except for the
            // first word, which every publication changes.
            let live = number == head.stamp().frame();
            let word = |(at, &payload): (usize, &u64)| {
                let payload = if live || at > 0 { payload } else { 0 };
                AtomicU64::new(Word::new(Term::FIRST, payload).bits())
            };
            first.iter().enumerate().map(word).collect()
        };
        let segment = Segment {
            head: AtomicU64::new(head.bits()),
            frames: [frame(0), frame(1)],
            owner: AtomicU64::new(Word::new(Term::FIRST, 0).bits()),
            ledger: RefCell::default(),
        };
        segment.intend(sequence, first);
        segment.accept(sequence, first);
        Rc::new(segment)
    }

    /// The current head.
    pub fn head(&self) -> Head {
        Head::from_bits(self.head.load(Ordering::Relaxed))
    }

    /// The owner that created the segment.
    pub fn creator(self: &Rc<Segment>) -> Owner {
        let head = Head::new(Term::FIRST, self.ledger.borrow().first());
        Owner { segment: Rc::clone(self), publisher: Publisher::new(Term::FIRST, head) }
    }

    /// Takes over from the head that was seen, under a new term.
    ///
    /// # Errors
    /// [`TakeoverLost`] if the head moved meanwhile.
    pub fn take_over(self: &Rc<Segment>, seen: Head, term: Term) -> Result<Owner, TakeoverLost> {
        let head = take_over(&self.head, seen, term)?;
        self.ledger.borrow_mut().enter(term);
        Ok(Owner { segment: Rc::clone(self), publisher: Publisher::new(term, head) })
    }

    /// Loads the live frame as an owner that continues from it, and checks it.
    pub fn continue_from(&self, head: Head) -> Payloads {
        let payloads = self.load(head.stamp());
        self.accept(head.sequence(), &payloads);
        payloads
    }

    /// Reads the whole frame once, and checks what was validated against the
    /// ledger; `None` if a publication got in between.
    pub fn look(&self) -> Option<(Stamp, Payloads)> {
        let stamp = begin_read(&self.head);
        let payloads = self.load(stamp);
        if !validate(&self.head, stamp) {
            reach("disturbed");
            return None;
        }
        self.accept(stamp.sequence(), &payloads);
        reach(
            ["read 0", "read 1", "read 2", "read 3", "read 4", "read 5"][stamp.sequence() as usize],
        );
        Some((stamp, payloads))
    }

    /// Loads the payloads of a stamp's frame without a check.
    pub fn load(&self, stamp: Stamp) -> Payloads {
        let word = |word: &AtomicU64| Word::from_bits(word.load(Ordering::Relaxed)).payload();
        self.frames[stamp.frame()].iter().map(word).collect()
    }

    fn intend(&self, sequence: u64, payloads: &[u64]) {
        self.ledger.borrow_mut().intended.entry(sequence).or_default().push(payloads.to_vec());
    }

    fn accept(&self, sequence: u64, payloads: &[u64]) {
        self.ledger.borrow_mut().accept(sequence, payloads);
    }
}

/// An owner, or a process that believes that it is the owner.
#[derive(Debug)]
pub struct Owner {
    segment: Rc<Segment>,
    publisher: Publisher,
}

impl Owner {
    /// The owner's term.
    pub fn term(&self) -> Term {
        self.publisher.term()
    }

    /// The head after the owner's last change.
    pub fn head(&self) -> Head {
        self.publisher.head()
    }

    /// Publishes these payloads.
    ///
    /// # Errors
    /// As [`Publisher::publish`].
    pub fn publish(&mut self, payloads: &[u64]) -> Result<Head, PublishError> {
        let sequence = self.head().sequence() + 1;
        self.segment.intend(sequence, payloads);
        let frame = &self.segment.frames[self.publisher.next_frame()];
        let words = 0..payloads.len();
        self.publisher.set(0, payloads);
        let published =
            self.publisher.publish(&self.segment.head, frame, core::slice::from_ref(&words));
        match published {
            Ok(_) => {
                reach("published");
                self.segment.accept(sequence, payloads);
            }
            Err(PublishError::Fenced) => reach("fenced"),
            Err(PublishError::Corrupt { .. }) => reach("corrupt"),
            Err(PublishError::Exhausted) => reach("exhausted"),
        }
        published
    }
}

/// The intended content of every publication, and the content that its publisher and
/// its readers have validated.
#[derive(Debug, Default)]
struct Ledger {
    intended: BTreeMap<u64, Vec<Payloads>>,
    accepted: BTreeMap<u64, Payloads>,
    terms: Vec<Term>,
}

impl Ledger {
    fn first(&self) -> u64 {
        *self.accepted.keys().next().expect("a segment starts with a publication")
    }

    fn accept(&mut self, sequence: u64, payloads: &[u64]) {
        let intended = self.intended.get(&sequence);
        invariant(
            intended.is_some_and(|all| all.iter().any(|one| one == payloads)),
            "a validated read is one whole publication",
        );
        let accepted = self.accepted.entry(sequence).or_insert_with(|| payloads.to_vec());
        invariant(accepted == payloads, "a sequence names one publication");
    }

    fn enter(&mut self, term: Term) {
        let newest = self.terms.last();
        invariant(newest.is_none_or(|&newest| newest < term), "each term entered is newer");
        self.terms.push(term);
    }
}
