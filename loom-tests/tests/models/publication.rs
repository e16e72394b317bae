//! One owner publishes while readers read.

use loom::thread;
use tendmap_loom::check::{Model, invariant};
use tendmap_loom::segment::Segment;
use tendmap_loom::sync::step::{P1, P2, R1, R2, STAMP};

/// A validated read is one whole publication, and only a complete publication makes a
/// read fail.
fn publications(readers: usize) {
    let segment = Segment::new(&[0x11, 0x12]);
    for _ in 0..readers {
        let segment = segment.clone();
        thread::spawn(move || {
            segment.look();
        });
    }
    let mut owner = segment.creator();
    thread::spawn(move || {
        for sequence in 2..=3 {
            let published = owner.publish(&[sequence << 4 | 1, sequence << 4 | 2]);
            invariant(published.is_ok(), "the only owner is never fenced");
        }
    });
}

#[test]
fn m01_one_reader_sees_whole_publications() {
    Model::exhaustive("publication, one reader")
        .reaching(&["read 1", "read 2", "read 3", "disturbed", "published"])
        .needing(&[P1, P2, R1, R2, STAMP])
        .check(|| publications(1));
}

#[test]
fn m01_two_readers_see_the_same_publications() {
    Model::bounded("publication, two readers", 3, 4)
        .reaching(&["read 1", "read 2", "read 3", "disturbed", "published"])
        .needing(&[P1, P2, R1, R2, STAMP])
        .check(|| publications(2));
}
