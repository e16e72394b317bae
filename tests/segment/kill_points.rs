//! An owner that dies, or stops, after any number of the stores of a
//! publication.

use std::sync::Arc;

use tendmap::client::Reader;
use tendmap::internals::segment::{
    Candidate, CreateOutcome, Ownership, OwnershipLost, PublishFailure, Segment, TakeoverOutcome,
    create,
};
use tendmap::map::{Capacity, ClusterMap, Slot};
use tendmap::segment::Place;
use tendmap_testkit::{add_namespace, directory, node};

const CAPACITY: Capacity =
    Capacity { max_nodes: 4, max_namespaces: 2, max_replicas: 3, partitions: 16 };

/// Maps of different turns differ in every routing word and every regime.
fn map(turn: usize) -> ClusterMap {
    let mut map = ClusterMap::new(CAPACITY);
    for number in 0..4 {
        map.nodes.insert(node(number)).unwrap();
    }
    add_namespace(&mut map, "test", 2);
    let partitions = &mut map.namespaces_mut()[0].partitions;
    for partition in 0..16 {
        for replica in 0..2 {
            partitions.set_holder(partition, replica, Slot::new((partition + replica + turn) % 4));
        }
        partitions.set_regime(partition, turn as u32 + 1);
    }
    map
}

fn enter(segment: &Arc<Segment>) -> Box<Ownership> {
    match Candidate::default().enter(segment, true).unwrap() {
        TakeoverOutcome::Won(mut ownership) => {
            ownership.set_checksums(true);
            ownership
        }
        other => panic!("{other:?}"),
    }
}

/// Asserts that the reader reads the whole map of that turn.
#[track_caller]
fn assert_map(reader: &Reader, turn: usize, sequence: u64) {
    let found = reader.map().unwrap();
    assert_eq!((found.sequence, found.intact), (sequence, Some(true)));
    let (found, wanted) = (&found.map.namespaces()[0], map(turn));
    assert!(found.partitions == wanted.namespaces()[0].partitions, "another map, or a mixture");
}

#[test]
fn h01_an_owner_that_dies_after_any_store_leaves_the_last_map_and_a_successor_goes_on() {
    let directory = directory();
    let place = Place { directory: directory.path().into(), ..Place::of_key(7) };
    let CreateOutcome::Owner(mut first) = create(&place, 1, CAPACITY, None).unwrap() else {
        panic!("the directory was empty");
    };
    first.set_checksums(true);
    first.publish(&map(0)).unwrap();
    let segment = first.segment().clone();
    let reader = Reader::attach(&place).unwrap();
    let whole = first.publish_part(&map(1), 0).unwrap();
    assert!(whole > 100, "only {whole} words: not every word of a map was written");
    let (mut live, mut sequence) = (0, 1);
    let mut died = vec![first];
    for words in 0..=whole {
        let turn = 2 * words + 1;
        let mut dying = enter(&segment);
        dying.last_map();
        assert_eq!(dying.publish_part(&map(turn), words), Ok(whole));
        assert_map(&reader, live, sequence);
        let mut next = enter(&segment);
        assert_map(&reader, live, sequence);
        next.last_map();
        next.publish(&map(turn + 1)).unwrap();
        (live, sequence) = (turn + 1, sequence + 1);
        assert_map(&reader, live, sequence);
        // It was only stopped and now continues. Readers see none of its stores.
        let late = dying.publish(&map(turn));
        assert_eq!(late, Err(PublishFailure::Ended(OwnershipLost::Fenced)), "after {words} words");
        assert_map(&reader, live, sequence);
        // Neither is dropped, so both keep their lock bytes, which dead processes
        // would not. Every takeover is therefore one from a living owner.
        died.extend([dying, next]);
    }
}
