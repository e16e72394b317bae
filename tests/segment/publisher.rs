//! What a publisher knows of the frames, and which of their words it reads.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use tendmap::internals::protocol::{Head, PublishError, Publisher, Term, Word};

const WORDS: usize = 500;

struct Rig {
    head: AtomicU64,
    frames: [Vec<AtomicU64>; 2],
    publisher: Publisher,
}

impl Rig {
    /// A publisher of term 2 over frames that are full of words of term 1.
    fn new() -> Rig {
        let term = Term::new(2).unwrap();
        let head = Head::new(term, 0);
        let frame =
            || (0..WORDS).map(|_| AtomicU64::new(Word::new(Term::FIRST, 99).bits())).collect();
        Rig {
            head: AtomicU64::new(head.bits()),
            frames: [frame(), frame()],
            publisher: Publisher::new(term, head),
        }
    }

    fn publish(&mut self, reach: Range<usize>) -> Result<usize, PublishError> {
        let number = self.publisher.next_frame();
        let reach = std::slice::from_ref(&reach);
        self.publisher.publish(&self.head, &self.frames[number], reach).map(|_| number)
    }

    fn word(&self, frame: usize, index: usize) -> Word {
        Word::from_bits(self.frames[frame][index].load(Ordering::Relaxed))
    }

    fn damage(&self, frame: usize, index: usize) {
        let word = Word::new(self.publisher.term(), 66);
        self.frames[frame][index].store(word.bits(), Ordering::Relaxed);
    }
}

proptest! {
    /// Whatever was set, and however many words each publication covered: its frame
    /// holds all of them, under the publisher's own tag.
    #[test]
    fn a_publication_never_lacks_what_an_earlier_one_brought_to_the_other_frame(
        publications in proptest::collection::vec(
            (0usize..300, proptest::collection::vec(0u64..3, 0..150), 0usize..300, 0usize..200),
            1..30,
        ),
    ) {
        let mut rig = Rig::new();
        let mut wanted = [0; WORDS];
        for (first, payloads, start, length) in publications {
            let place = &mut wanted[first..][..payloads.len()];
            prop_assert_eq!(rig.publisher.set(first, &payloads), place != &payloads[..]);
            place.copy_from_slice(&payloads);
            let reach = start..start + length;
            let frame = rig.publish(reach.clone()).unwrap();
            for index in reach.clone() {
                let word = rig.word(frame, index);
                prop_assert_eq!((word.tag(), word.payload()), (2, wanted[index]));
            }
            prop_assert_eq!(rig.publisher.get(reach.clone()), &wanted[reach]);
        }
    }
}

#[test]
fn what_a_publisher_left_in_a_frame_is_not_looked_at_again_until_it_forgets() {
    let mut rig = Rig::new();
    rig.publisher.set(0, &[7; 200]);
    let first = rig.publish(0..200).unwrap();
    let second = rig.publish(0..200).unwrap();
    rig.damage(first, 70);
    rig.damage(first, 71);
    // Of the two neighbours only the one that changes is read.
    rig.publisher.set(71, &[8]);
    assert_eq!(rig.publish(0..200), Ok(first));
    assert_eq!(rig.word(first, 70).payload(), 66, "the word was known and not loaded");
    assert_eq!(rig.word(first, 71).payload(), 8);
    assert_eq!(rig.publish(0..200), Ok(second));
    assert_eq!(rig.word(second, 71).payload(), 8, "the other frame did not have it yet");
    rig.publisher.forget();
    assert_eq!(rig.publish(0..200), Ok(first));
    assert_eq!(rig.word(first, 70).payload(), 7);
}

#[test]
fn a_word_out_of_reach_is_brought_when_a_publication_reaches_it() {
    let mut rig = Rig::new();
    rig.publisher.set(0, &[7; 130]);
    let first = rig.publish(0..65).unwrap();
    assert_eq!(rig.word(first, 65).tag(), 1, "the publication does not cover it");
    rig.publish(0..65).unwrap();
    rig.publish(0..130).unwrap();
    for index in 0..130 {
        let word = rig.word(first, index);
        assert_eq!((word.tag(), word.payload()), (2, 7), "word {index}");
    }
}

#[test]
fn h43_a_newer_tag_is_told_by_its_place_and_what_came_before_it_stays() {
    let mut rig = Rig::new();
    let next = rig.publisher.next_frame();
    let foreign = Word::new(Term::LAST, 1);
    rig.frames[next][100].store(foreign.bits(), Ordering::Relaxed);
    rig.publisher.set(0, &[7; 130]);
    assert_eq!(rig.publish(0..130), Err(PublishError::Corrupt { index: 100 }));
    assert_eq!(rig.word(next, 99).payload(), 7);
    assert_eq!(rig.word(next, 100), foreign);
    assert!(Head::from_bits(rig.head.load(Ordering::Relaxed)).retired());
}
