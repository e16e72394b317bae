//! Every packed word of the protocol: unpacking returns what was packed, and no field
//! leaks into another.

use proptest::prelude::*;
use tendmap::internals::protocol::{Head, PAYLOAD_BITS, PAYLOAD_MASK, Stamp, Term, Word};

const RETIRED: u64 = 1 << 47;

fn terms() -> impl Strategy<Value = Term> {
    (1..=u16::MAX).prop_map(|number| Term::new(number).expect("not zero"))
}

fn sequences() -> impl Strategy<Value = u64> {
    prop_oneof![0..=Head::LAST_SEQUENCE, 0..4u64, Head::LAST_SEQUENCE - 3..=Head::LAST_SEQUENCE]
}

fn heads() -> impl Strategy<Value = Head> {
    (terms(), sequences(), any::<bool>()).prop_map(|(term, sequence, retired)| {
        let head = Head::new(term, sequence);
        if retired { head.to_retired() } else { head }
    })
}

proptest! {
    #[test]
    fn a_word_gives_back_tag_and_payload(term in terms(), payload in 0..=PAYLOAD_MASK) {
        let word = Word::new(term, payload);
        prop_assert_eq!((word.tag(), word.payload()), (term.get(), payload));
        prop_assert_eq!(word.bits(), u64::from(term.get()) << PAYLOAD_BITS | payload);
    }

    #[test]
    fn a_payload_too_wide_does_not_leak_into_the_tag(term in terms(), payload: u64) {
        let word = Word::new(term, payload);
        prop_assert_eq!((word.tag(), word.payload()), (term.get(), payload & PAYLOAD_MASK));
    }

    #[test]
    fn every_pattern_is_a_word(bits: u64) {
        let word = Word::from_bits(bits);
        prop_assert_eq!(word.bits(), bits);
        match Term::new(word.tag()) {
            Some(term) => prop_assert_eq!(Word::new(term, word.payload()), word),
            None => prop_assert!(bits <= PAYLOAD_MASK),
        }
    }

    #[test]
    fn a_head_gives_back_its_fields(term in terms(), sequence in sequences()) {
        let head = Head::new(term, sequence);
        prop_assert_eq!((head.term(), head.sequence()), (term.get(), sequence));
        prop_assert!(!head.retired());
        prop_assert_eq!(head.bits(), u64::from(term.get()) << 48 | sequence);
    }

    #[test]
    fn a_sequence_too_wide_neither_retires_nor_changes_the_term(term in terms(), sequence: u64) {
        let head = Head::new(term, sequence);
        prop_assert_eq!((head.term(), head.retired()), (term.get(), false));
        prop_assert_eq!(head.sequence(), sequence & Head::LAST_SEQUENCE);
    }

    #[test]
    fn every_pattern_is_a_head(bits: u64) {
        let head = Head::from_bits(bits);
        prop_assert_eq!(head.bits(), bits);
        let retired = if head.retired() { RETIRED } else { 0 };
        prop_assert_eq!(u64::from(head.term()) << 48 | retired | head.sequence(), bits);
        prop_assert_eq!(head.stamp().bits(), bits & PAYLOAD_MASK);
    }

    #[test]
    fn retiring_changes_one_bit(head in heads()) {
        let retired = head.to_retired();
        prop_assert!(retired.retired() && retired.stamp().retired());
        prop_assert_eq!(retired.term(), head.term());
        prop_assert_eq!(retired.sequence(), head.sequence());
        prop_assert_eq!(retired.bits() ^ head.bits(), if head.retired() { 0 } else { RETIRED });
    }

    #[test]
    fn a_takeover_leaves_what_readers_compare(head in heads(), term in terms()) {
        let taken = head.with_term(term);
        prop_assert_eq!(taken.term(), term.get());
        prop_assert_eq!(taken.stamp(), head.stamp());
        prop_assert_eq!(taken.with_term(term), taken);
    }

    #[test]
    fn a_publication_changes_sequence_and_frame_alone(head in heads()) {
        match head.next() {
            Some(next) => {
                prop_assert_eq!(next.sequence(), head.sequence() + 1);
                prop_assert_eq!((next.term(), next.retired()), (head.term(), head.retired()));
                prop_assert_eq!(next.stamp().frame(), head.stamp().frame() ^ 1);
                prop_assert!(next.bits() > head.bits());
            }
            None => prop_assert_eq!(head.sequence(), Head::LAST_SEQUENCE),
        }
    }

    #[test]
    fn heads_of_one_segment_are_ordered_by_their_bits(head in heads(), later in terms()) {
        // Every change that the word goes through makes it greater.
        prop_assert!(head.to_retired().bits() >= head.bits());
        if later.get() > head.term() {
            prop_assert!(head.with_term(later).bits() > head.bits());
        }
    }

    #[test]
    fn a_stamp_has_no_term(bits: u64, head in heads()) {
        let stamp = Stamp::from_bits(bits);
        prop_assert_eq!(stamp.bits(), bits & PAYLOAD_MASK);
        prop_assert_eq!(stamp.retired(), bits & RETIRED != 0);
        prop_assert_eq!(stamp.sequence(), bits & Head::LAST_SEQUENCE);
        prop_assert_eq!(stamp.frame(), (bits & 1) as usize);
        prop_assert_eq!(Stamp::from_bits(head.bits()), head.stamp());
        prop_assert_eq!(head.stamp().sequence(), head.sequence());
    }

    #[test]
    fn terms_are_ordered_as_their_numbers(a in terms(), b in terms(), by: u16) {
        prop_assert_eq!(a.cmp(&b), a.get().cmp(&b.get()));
        prop_assert_eq!(a.after(by).map(Term::get), a.get().checked_add(by));
        // Words written under them are ordered in the same way, whatever the
        // payloads.
        if a < b {
            prop_assert!(Word::new(a, u64::MAX).bits() < Word::new(b, 0).bits());
        }
    }
}

#[test]
fn zero_is_no_term_and_the_last_has_none_after_it() {
    assert_eq!(Term::new(0), None);
    assert_eq!(Term::new(1), Some(Term::FIRST));
    assert_eq!(Term::LAST.after(0), Some(Term::LAST));
    assert_eq!(Term::LAST.after(1), None);
    assert_eq!(Term::FIRST.after(u16::MAX - 1), Some(Term::LAST));
}

#[test]
fn the_last_sequence_has_no_next_and_does_not_run_into_the_retired_bit() {
    let last = Head::new(Term::LAST, Head::LAST_SEQUENCE);
    assert!(!last.retired());
    assert_eq!(last.next(), None);
    assert_eq!(last.to_retired().next(), None);
    let before = Head::new(Term::LAST, Head::LAST_SEQUENCE - 1);
    assert_eq!(before.next(), Some(last));
}
