//! The pure rules of the protocol, one by one: bits, stamps that are kept, owner
//! words.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::protocol::{
    Admit, Cached, CachedStamp, Check, Head, NewerTag, PAYLOAD_BITS, PAYLOAD_MASK, PublishError,
    RETRIES, ReadRaced, Stamp, StampCell, TakeoverLost, Term, Word, add_owner, begin_read,
    load_owner, raise_event, read, retire, store_owner, take_over, tries, validate,
    validate_cached,
};

/// A cell outside of memory that a fork wipes.
#[derive(Default)]
struct Plain(Cell<u64>);

impl StampCell for &Plain {
    fn get(&self) -> u64 {
        self.0.get()
    }
    fn set(&self, bits: u64) {
        self.0.set(bits);
    }
}

fn term(number: u16) -> Term {
    Term::new(number).unwrap()
}

fn head(owner: u16, sequence: u64) -> Head {
    Head::new(term(owner), sequence)
}

fn at(head: Head) -> AtomicU64 {
    AtomicU64::new(head.bits())
}

fn word(owner: u16, payload: u64) -> Word {
    Word::new(term(owner), payload)
}

#[test]
fn a_head_keeps_its_term_its_sequence_and_whether_it_is_retired_apart() {
    let found = Head::from_bits(0xabcd_8000_0000_0005);
    assert_eq!((found.term(), found.sequence(), found.retired()), (0xabcd, 5, true));
    let stamp = found.stamp();
    assert_eq!((stamp.bits(), stamp.sequence()), (0x8000_0000_0005, 5));
    assert_eq!((stamp.retired(), stamp.frame()), (true, 1));
    let last = (1 << 47) - 1;
    let live = head(3, last);
    assert_eq!((live.sequence(), live.retired(), live.next()), (last, false, None));
    assert_eq!((live.stamp().retired(), live.stamp().sequence()), (false, last));
    assert_eq!(head(3, 6).stamp().frame(), 0);
    assert_eq!(head(3, 6).next(), Some(head(3, 7)));
    let retired = head(3, 6).to_retired();
    assert_eq!((retired.retired(), retired.sequence(), retired.term()), (true, 6, 3));
    // It stays retired.
    assert_eq!(retired.to_retired(), retired);
    assert_eq!(found.with_term(term(7)).bits(), 0x0007_8000_0000_0005);
    assert_eq!(Stamp::from_bits(u64::MAX).bits(), PAYLOAD_MASK);
}

#[test]
fn a_word_keeps_its_tag_and_its_payload_apart() {
    assert_eq!((PAYLOAD_BITS, PAYLOAD_MASK), (48, 0xffff_ffff_ffff));
    let found = Word::from_bits(0xabcd_0000_0000_0102);
    assert_eq!((found.tag(), found.payload(), found.bits()), (0xabcd, 0x102, found.bits()));
    assert_eq!(word(5, u64::MAX).bits(), 0x0005_ffff_ffff_ffff);
    assert_eq!((Term::new(0), term(7).get()), (None, 7));
    assert_eq!((Term::FIRST.after(2), Term::LAST.after(0)), (Some(term(3)), Some(Term::LAST)));
    assert_eq!(Term::LAST.after(1), None);
}

#[test]
fn what_is_shown_of_them_says_what_they_hold() {
    let retired = head(3, 6).to_retired();
    assert_eq!(
        format!("{:?} {:?}", head(3, 6), retired),
        "Head(term 3, sequence 6) Head(term 3, sequence 6, retired)"
    );
    assert_eq!(
        format!("{:?} {:?}", head(3, 6).stamp(), retired.stamp()),
        "Stamp(sequence 6) Stamp(sequence 6, retired)"
    );
    assert_eq!(format!("{:?} {:?} {}", word(3, 31), term(3), term(3)), "Word(3|0x1f) Term(3) 3");
    for (error, part) in [
        (PublishError::Fenced, "another term"),
        (PublishError::Corrupt { index: 77 }, "word 77"),
        (PublishError::Exhausted, "exhausted"),
    ] {
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn a_read_is_closed_by_the_same_stamp_whatever_the_term() {
    let shared = at(head(3, 6));
    let stamp = begin_read(&shared);
    assert_eq!(stamp, head(3, 6).stamp());
    let kept = CachedStamp::of(stamp);
    assert_eq!((kept.stamp(), CachedStamp::from_bits(kept.bits())), (stamp, kept));
    assert_ne!(CachedStamp::of(Stamp::from_bits(0)).bits(), 0);
    assert_eq!(CachedStamp::NONE.bits(), 0);
    for (now, same) in [
        (head(3, 6), true),
        (head(4, 6), true),
        (head(3, 7), false),
        (head(3, 6).to_retired(), false),
    ] {
        shared.store(now.bits(), Ordering::Relaxed);
        assert_eq!(validate(&shared, stamp), same, "{now:?}");
        assert_eq!(validate_cached(&shared, kept), same, "{now:?}");
        assert!(!validate_cached(&shared, CachedStamp::NONE), "{now:?}");
    }
}

#[test]
fn a_read_that_is_always_disturbed_ends_after_its_tries() {
    assert_eq!((tries(0), tries(1)), (RETRIES, RETRIES));
    assert_eq!((tries(1 << 20), tries(usize::MAX)), (32, 8));
    let shared = at(head(1, 1));
    let mut loads = 0;
    let disturbed = read(&shared, 5, |_| {
        loads += 1;
        shared.fetch_add(1, Ordering::Relaxed)
    });
    assert_eq!((disturbed, loads), (Err(ReadRaced), 5));
    let stamp = begin_read(&shared);
    assert_eq!(read(&shared, 1, |seen| (seen, 7)), Ok((stamp, (stamp, 7))));
}

/// A cell whose reader keeps tables of that generation as of sequence 6, under term 3.
fn kept(cell: &Plain, generation: Word) -> Cached<&Plain> {
    let mut cached = Cached::new(cell);
    let stamp = head(3, 6).stamp();
    assert_eq!(cached.keep(stamp, stamp, generation), Some(stamp));
    cached
}

#[test]
fn a_kept_stamp_is_valid_until_the_next_publication() {
    let cell = Plain::default();
    cell.0.set(9);
    let shared = at(head(3, 6));
    let nothing = Cached::new(&cell);
    assert_eq!(cell.0.get(), 0);
    assert_eq!(nothing.validate(&shared), None);
    assert_eq!(nothing.check(&shared), Check::Stale(head(3, 6).stamp()));
    let mut cached = kept(&cell, word(3, 1));
    assert_eq!(cached.validate(&shared), Some(head(3, 6).stamp()));
    assert_eq!(cached.check(&shared), Check::Hit(head(3, 6).stamp()));
    shared.store(head(3, 7).bits(), Ordering::Relaxed);
    assert_eq!(cached.validate(&shared), None);
    assert_eq!(cached.check(&shared), Check::Stale(head(3, 7).stamp()));
    shared.store(head(3, 6).bits(), Ordering::Relaxed);
    cached.forget();
    assert_eq!((cell.0.get(), cached.validate(&shared)), (0, None));
}

#[test]
fn tables_are_part_of_a_later_publication_if_their_whole_generation_is() {
    let later = head(3, 8);
    for (generation, admitted) in [
        (word(3, 1), Admit::Same),
        // The same number by another owner has another meaning.
        (word(4, 1), Admit::Reread),
        (word(3, 2), Admit::Reread),
        (word(4, 2), Admit::Reread),
    ] {
        let (cell, shared) = (Plain::default(), at(later));
        let mut cached = kept(&cell, word(3, 1));
        assert_eq!(cached.admit(&shared, later.stamp(), generation), admitted, "{generation:?}");
        let valid = (admitted == Admit::Same).then_some(later.stamp());
        assert_eq!(cached.validate(&shared), valid, "{generation:?}");
        // What differed once is forgotten.
        let again = cached.admit(&shared, later.stamp(), word(3, 1));
        assert_eq!(again, admitted, "{generation:?}");
    }
    // A word that was never written is the generation of no tables.
    let (cell, shared) = (Plain::default(), at(later));
    let mut nothing = Cached::new(&cell);
    let unwritten = Word::from_bits(0);
    assert_eq!(nothing.admit(&shared, later.stamp(), unwritten), Admit::Reread);
}

#[test]
fn a_generation_that_was_loaded_during_a_publication_decides_nothing() {
    let (cell, shared) = (Plain::default(), at(head(3, 8)));
    let mut cached = kept(&cell, word(3, 1));
    let before = cell.0.get();
    assert_eq!(cached.admit(&shared, head(3, 7).stamp(), word(3, 1)), Admit::Raced);
    assert_eq!(cell.0.get(), before);
    assert_eq!(cached.admit(&shared, head(3, 8).stamp(), word(3, 1)), Admit::Same);
}

#[test]
fn the_stamp_of_a_retired_head_is_never_kept() {
    let (cell, retired) = (Plain::default(), head(3, 6).to_retired());
    let shared = at(retired);
    let mut cached = Cached::new(&cell);
    let stamp = retired.stamp();
    assert_eq!(cached.keep(stamp, stamp, word(3, 1)), Some(stamp));
    assert_eq!((cell.0.get(), cached.validate(&shared)), (0, None));
    // Its tables are kept nevertheless.
    assert_eq!(cached.admit(&shared, stamp, word(3, 1)), Admit::Same);
    assert_eq!(cached.check(&shared), Check::Stale(stamp));
    // Retired while the tables were read: the reader starts again.
    let mut cached = Cached::new(&cell);
    assert_eq!(cached.keep(head(3, 6).stamp(), stamp, word(3, 1)), None);
    assert_eq!(cell.0.get(), 0);
}

#[test]
fn a_term_is_entered_and_a_segment_retired_from_the_head_that_was_seen() {
    let shared = at(head(3, 6));
    let lost = TakeoverLost { found: head(3, 6) };
    assert_eq!(take_over(&shared, head(3, 5), term(4)), Err(lost));
    assert_eq!(take_over(&shared, head(3, 6), term(4)), Ok(head(4, 6)));
    assert_eq!(retire(&shared, head(3, 6)), Err(TakeoverLost { found: head(4, 6) }));
    assert_eq!(retire(&shared, head(4, 6)), Ok(head(4, 6).to_retired()));
    assert_eq!(shared.load(Ordering::Relaxed), head(4, 6).to_retired().bits());
}

#[test]
fn an_owner_word_is_of_the_term_that_wrote_it_last() {
    let shared = AtomicU64::new(0);
    // Nobody wrote it, not even the term 0 of a corrupt head.
    assert_eq!(load_owner(&shared, Head::from_bits(0)), None);
    assert_eq!(store_owner(&shared, term(3), 10), Ok(()));
    assert_eq!(load_owner(&shared, head(3, 1)), Some(10));
    assert_eq!(load_owner(&shared, head(4, 1)), None);
    assert_eq!(add_owner(&shared, term(4), 5), Ok(()));
    assert_eq!(load_owner(&shared, head(4, 1)), Some(15));
    let newer = Err(NewerTag { found: 4, term: 3 });
    assert_eq!(store_owner(&shared, term(3), 1), newer);
    assert_eq!(add_owner(&shared, term(3), 1), newer);
    assert_eq!(add_owner(&shared, term(4), 1), Ok(()));
    assert_eq!(load_owner(&shared, head(4, 9)), Some(16));
}

#[test]
fn every_event_changes_its_word_and_no_tag_goes_back() {
    let shared = AtomicU64::new(0);
    for (head, wanted) in
        [(Head::from_bits(0), word(1, 1)), (head(3, 1), word(3, 2)), (head(2, 1), word(3, 3))]
    {
        raise_event(&shared, head);
        assert_eq!(Word::from_bits(shared.load(Ordering::Relaxed)), wanted);
    }
}
