//! What follows a segment: its next owner, its successor, its next generation.

use super::*;

#[test]
fn a_segment_removed_by_force_is_replaced_and_everybody_moves() {
    let directory = directory();
    let client = Client::connect_with(config(&directory), Cluster::new(2, 1).source()).unwrap();
    let mut router = client.router();
    let namespace = router.namespace("test").unwrap();
    let before = client.map().unwrap().sequence;
    remove(&place(&directory), true).unwrap();
    tendmap_testkit::wait_until("a successor", || client.segment().identity().generation == 2);
    let route = router.route(namespace, tendmap::route::Partition(0), Default::default()).unwrap();
    assert!(route.sequence() >= before, "the map was inherited");
    client.close();
    assert_eq!(files(&directory), 0);
}

/// A growing owner dies after it has retired its segment and before the successor has
/// its name. The next process starts with the map of the retired segment, at the next
/// publication.
#[test]
fn h15_who_comes_while_a_segment_is_replaced_goes_on_from_its_map() {
    let directory = directory();
    let place = place(&directory);
    let mut owner = owner(&place, 1, None);
    for nodes in 1..=3 {
        owner.publish(&map(nodes)).unwrap();
    }
    owner.retire().unwrap();
    drop(owner);
    let client = Client::connect_with(config(&directory), Cluster::new(2, 1).source()).unwrap();
    let found = client.map().unwrap();
    assert_eq!(client.segment().identity().generation, 2);
    assert!(found.sequence > 3, "publication {} follows 3", found.sequence);
    assert_eq!(found.map.nodes.len(), 2);
    assert_eq!(files(&directory), 2, "the replaced segment is removed");
    client.close();
    assert_eq!(files(&directory), 0);
}

/// Two owners die one after the other, each while it replaces its segment. A slow
/// follower is still attached to the first segment; it continues with the second.
#[test]
fn h15_a_late_follower_builds_from_the_newest_map_not_from_its_own() {
    let directory = directory();
    let place = place(&directory);
    let mut first = owner(&place, 1, None);
    first.publish(&map(1)).unwrap();
    let client = Client::connect_with(config(&directory), Cluster::new(2, 1).source()).unwrap();
    let newer = map(3);
    let inherited = Carryover { sequence: 9, table_generation: 1, map: &newer };
    let mut second = owner(&place, 2, Some(inherited));
    second.retire().unwrap();
    drop(second);
    first.retire().unwrap();
    drop(first);
    tendmap_testkit::wait_until("a successor", || client.segment().identity().generation == 3);
    let found = client.map().unwrap().sequence;
    assert!(found >= 9, "publication {found} follows 9");
}

/// A segment that was linked too late has a lower number. No process goes back to it
/// while the segment in use is being replaced.
#[test]
fn h45_no_one_goes_back_to_a_lower_number_while_the_newest_is_replaced() {
    let directory = directory();
    let place = place(&directory);
    let mut newest = owner(&place, 3, None);
    newest.publish(&map(3)).unwrap();
    let reader = Reader::attach(&place).unwrap();
    let generation = || reader.segment().identity().generation;
    let mut late = owner(&place, 2, None);
    late.publish(&map(1)).unwrap();
    newest.retire().unwrap();
    for _ in 0..3 {
        // Followers look for successors every 100 ms.
        std::thread::sleep(std::time::Duration::from_millis(110));
        assert_eq!(generation(), 3);
    }
    // Its name is gone, and the next segment is being replaced as well.
    let mut next = owner(&place, 4, None);
    next.retire().unwrap();
    fs::remove_file(place.segment(3)).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(110));
    assert_eq!(generation(), 3);
    let mut last = owner(&place, 5, None);
    last.publish(&map(3)).unwrap();
    tendmap_testkit::wait_until("the newest", || generation() == 5);
}

/// An owner is alive at every moment: each takes over while the previous one still
/// holds its byte. Every look finds a living owner.
#[test]
fn h40_no_look_falls_between_two_owners() {
    use tendmap::internals::segment::{Candidate, OwnerState, TakeoverOutcome};

    let directory = directory();
    let place = place(&directory);
    let mut owner = owner(&place, 1, None);
    owner.publish(&map(1)).unwrap();
    let segment = owner.segment().clone();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let looks = scope.spawn(|| {
            let mut looks = 0;
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                let found = Candidate::look(&segment).unwrap();
                assert_eq!(found, OwnerState::Alive, "look {looks}");
                looks += 1;
            }
            looks
        });
        for _ in 0..20_000 {
            let entered = Candidate::default().enter(&segment, true).unwrap();
            let TakeoverOutcome::Won(next) = entered else { panic!("{entered:?}") };
            std::mem::replace(&mut owner, next).fenced();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(looks.join().unwrap() > 100);
    });
}

/// Two threads of a process follow a growing key. The slower thread passes a segment
/// that the faster one has already left.
#[test]
fn the_current_segment_never_goes_back_to_one_that_was_retired() {
    use tendmap::internals::segment::Current;

    let directory = directory();
    let place = place(&directory);
    let generation = |current: &Current| current.get().identity().generation;
    let [mut first, mut second, mut third] = [1, 2, 3].map(|number| owner(&place, number, None));
    let current = Current::new(Some(place.clone()), first.segment()).unwrap();
    first.retire().unwrap();
    current.replace(third.segment()).unwrap();
    second.retire().unwrap();
    current.replace(second.segment()).unwrap();
    assert_eq!(generation(&current), 3, "the live one is kept");
    third.retire().unwrap();
    current.replace(second.segment()).unwrap();
    assert_eq!(
        generation(&current),
        3,
        "a retired segment does not replace one with a higher number"
    );
    // Everything was removed, and a process started again: the new segment counts,
    // whatever its number.
    remove(&place, true).unwrap();
    let anew = owner(&place, 1, None);
    current.replace(anew.segment()).unwrap();
    assert_eq!(generation(&current), 1);
}

/// A router that has seen a sequence under a term must not find other tables under
/// the same term and sequence.
#[test]
fn h98_an_owner_that_publishes_before_it_asks_for_the_last_map_uses_no_number_again() {
    let directory = directory();
    let place = place(&directory);
    let mut before = map(1);
    tendmap_testkit::add_namespace(&mut before, "test", 1);
    let inherited = Carryover { sequence: 7, table_generation: 0, map: &before };
    let mut ownership = owner(&place, 1, Some(inherited));
    let mut router = Reader::attach(&place).unwrap().router();
    let namespace = router.namespace("test").unwrap();
    let address = |router: &mut tendmap::route::Router| {
        router.route(namespace, Partition(0), Policy::Master).map(|route| route.address()).unwrap()
    };
    assert_eq!(address(&mut router), tendmap_testkit::node(0).address);
    let mut after = ClusterMap::new(Capacity::DEFAULT);
    after.nodes.insert(tendmap_testkit::node(9)).unwrap();
    tendmap_testkit::add_namespace(&mut after, "test", 1);
    ownership.publish(&after).unwrap();
    assert_eq!(address(&mut router), tendmap_testkit::node(9).address);
}

/// No other process can retire a removed segment for this one, which could not map it for
/// writing a second time.
#[test]
fn h169_a_process_leaves_a_removed_segment_that_nobody_retires() {
    use tendmap::internals::segment::Current;

    let directory = directory();
    let place = place(&directory);
    let removed = owner(&place, 5, None);
    let current = Current::new(Some(place.clone()), removed.segment()).unwrap();
    let live = owner(&place, 3, None);
    current.replace(live.segment()).unwrap();
    assert_eq!(current.get().identity().generation, 5, "it can still be found");
    fs::remove_file(place.segment(5)).unwrap();
    current.replace(live.segment()).unwrap();
    assert_eq!(current.get().identity().generation, 3);
}

/// A follower can't open its segment by name: the file was removed. It opens what it has
/// kept of it, and retires it, so that all readers move.
#[test]
fn h169_a_follower_retires_a_removed_segment_that_it_has_mapped_only_for_reading() {
    let directory = directory();
    let place = place(&directory);
    let with_namespace = |nodes| {
        let mut map = map(nodes);
        tendmap_testkit::add_namespace(&mut map, "test", 1);
        map
    };
    let mut removed = owner(&place, 5, None);
    removed.publish(&with_namespace(1)).unwrap();
    let mut router = Reader::attach(&place).unwrap().router();
    let namespace = router.namespace("test").unwrap();
    // In a thread of its own, because a filter stays with its thread.
    let connect = || {
        let possible = tendmap_testkit::sandbox::refuse(&[libc::SYS_mremap]);
        let client = Client::connect_with(config(&directory), Cluster::new(2, 1).source());
        possible.then(|| client.unwrap())
    };
    let Some(client) = std::thread::scope(|scope| scope.spawn(connect).join()).unwrap() else {
        return tendmap_testkit::skipped("this system has no filters of system calls");
    };
    assert_eq!(client.segment().identity().generation, 5);
    fs::remove_file(place.segment(5)).unwrap();
    let mut live = owner(&place, 3, None);
    live.publish(&with_namespace(2)).unwrap();
    live.publish(&with_namespace(3)).unwrap();
    drop(removed);
    tendmap_testkit::wait_until("the live one", || client.segment().identity().generation == 3);
    tendmap_testkit::wait_until("its map, in a router that was there before", || {
        let route = router.route(namespace, Partition(0), Policy::Master).unwrap();
        route.sequence() == 2
    });
    drop(live);
}
