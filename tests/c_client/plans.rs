//! Plans over any maps: what holds after every store, and what is there in the end.

use proptest::prelude::*;
use tendmap::internals::c_client::{Note, QUARANTINE_MS};

use crate::world::{Spec, World, shape, spec, wanted};

/// Times between two passes, those about which something changes among them.
fn pause() -> impl Strategy<Value = u64> {
    prop::sample::select(vec![0, 20, 250, 1000, 1499, 1500, 1501, 4000, QUARANTINE_MS + 1])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Over any sequence of maps, with a follower that looks at any moment.
    #[test]
    fn after_every_store_each_entry_names_nothing_or_a_node_that_all_followers_have(
        shape in shape(),
        first in spec(),
        steps in prop::collection::vec((spec(), pause(), any::<prop::sample::Index>()), 0..6),
        phases in prop::collection::vec(1u64..=1000, 2),
    ) {
        let (mut world, mut planner) =
            World::create(shape, &wanted(&first, shape.layout), &phases);
        let mut last = first;
        for (map, pause, looks) in steps {
            world.wait(pause);
            let pass = planner.pass(&wanted(&map, shape.layout), world.now);
            let looks = looks.index(pass.stores.len() + 1);
            world.apply(&pass.stores, Some(looks));
            last = map;
        }
        world.wait(20);
        world.settle(&mut planner, &wanted(&last, shape.layout));
    }

    /// The mirror dies after any store of any pass, and within the body of a slot; the
    /// next one reads the segment and goes on.
    #[test]
    fn a_mirror_that_dies_after_any_store_leaves_a_segment_that_the_next_one_completes(
        shape in shape(),
        first in spec(),
        steps in prop::collection::vec(
            (spec(), pause(), any::<prop::sample::Index>(), any::<bool>(), any::<bool>()), 1..6),
        phases in prop::collection::vec(1u64..=1000, 2),
    ) {
        let (mut world, mut planner) =
            World::create(shape, &wanted(&first, shape.layout), &phases);
        let mut last = first;
        for (map, pause, dies, does, torn) in steps {
            world.wait(pause);
            let pass = planner.pass(&wanted(&map, shape.layout), world.now);
            last = map;
            let made = dies.index(pass.stores.len() + 1);
            if !does || made == pass.stores.len() {
                world.apply(&pass.stores, None);
                continue;
            }
            world.apply(&pass.stores[..made], None);
            world.die_within(&pass.stores[made], torn);
            planner = world.adopt();
        }
        world.wait(20);
        world.settle(&mut planner, &wanted(&last, shape.layout));
    }
}

fn nodes(places: [Option<u8>; 6]) -> Spec {
    let nodes = places.map(|place| place.map(|port| (port, 1, 0))).to_vec();
    let entry = [Some(0), Some(1), Some(2)];
    (nodes, vec![Some((3, false, [entry; 4], 0)), None, None])
}

fn small(nodes: usize) -> tendmap::internals::c_client::Shape {
    use tendmap::internals::c_client::{Capacity, Layout, Shape};
    Shape::new(Layout::F, Capacity::new(nodes, 1).unwrap())
}

#[test]
fn a_node_that_moved_serves_at_its_old_address_until_followers_have_the_new_one() {
    let shape = small(4);
    let before = wanted(&nodes([Some(0), Some(0), None, None, None, None]), shape.layout);
    let after = wanted(&nodes([Some(1), Some(0), None, None, None, None]), shape.layout);
    let (mut world, mut planner) = World::create(shape, &before, &[1, 999]);
    let mut pass = planner.pass(&after, world.now);
    let begun = world.now;
    world.apply(&pass.stores, None);
    // The old slot serves: slot 1 in the third place, too, which nobody holds.
    while world.entry(0, 0) == [1, 2, 0] {
        assert!(world.active(0) && world.active(2), "both are active");
        let due = pass.due.expect("a grace ends");
        world.wait(due - world.now);
        pass = planner.pass(&after, world.now);
        world.apply(&pass.stores, None);
    }
    assert!(world.now >= begun + 1500);
    assert_eq!(world.entry(0, 0), [3, 2, 0]);
    assert!(!world.active(0), "its entries have left");
    world.wait(20);
    world.settle(&mut planner, &after);
    // Back at its old address it gets its own slot, quarantine or not.
    world.wait(20);
    let pass = planner.pass(&before, world.now);
    assert_eq!(pass.notes, []);
    world.apply(&pass.stores, None);
    assert!(world.active(0));
    world.wait(20);
    world.settle(&mut planner, &before);
    assert_eq!((world.entry(0, 0), world.nodes_size()), (vec![1, 2, 0], 3));
}

#[test]
fn a_node_more_than_there_is_room_for_is_left_out_and_other_replicas_serve() {
    let shape = small(2);
    let map = wanted(&nodes([Some(0), Some(0), Some(0), None, None, None]), shape.layout);
    let (mut world, mut planner) = World::create(shape, &map, &[1]);
    let pass = planner.pass(&map, world.now);
    let [Note::NodeLeftOut { node, capacity: 2 }] = pass.notes[..] else {
        panic!("{:?}", pass.notes)
    };
    assert_eq!(node.as_str(), "N2");
    assert!(pass.notes[0].to_string().contains("all 2 slots"), "{}", pass.notes[0]);
    assert_eq!((world.entry(0, 0), world.nodes_size()), (vec![1, 2, 1], 2));
    // Another leaves: its slot serves the third node, but not before all have seen it
    // inactive, and that it was so soon is told.
    let fewer = wanted(&nodes([None, Some(0), Some(0), None, None, None]), shape.layout);
    let pass = planner.pass(&fewer, world.now);
    world.apply(&pass.stores, None);
    assert_eq!(world.entry(0, 0), [0, 2, 2], "node 0 is nobody now");
    let mut shortened = Vec::new();
    let mut due = pass.due;
    let begun = world.now;
    while let Some(at) = due {
        world.wait(at - world.now);
        let pass = planner.pass(&fewer, world.now);
        world.apply(&pass.stores, None);
        for note in pass.notes {
            if let Note::QuarantineShortened { slot, out_of_use_ms, .. } = note {
                assert!(world.now >= begun + 1500);
                shortened.push((slot, out_of_use_ms >= 1500));
            }
        }
        due = pass.due;
    }
    assert_eq!(shortened, [(0, true)]);
    assert_eq!(world.entry(0, 0), [0, 2, 1]);
}

#[test]
fn a_slot_is_not_given_to_another_node_within_its_quarantine_while_there_are_others() {
    let shape = small(3);
    let map = |places| wanted(&nodes(places), shape.layout);
    let (mut world, mut planner) =
        World::create(shape, &map([Some(0), Some(0), None, None, None, None]), &[1]);
    let alone = map([Some(0), None, None, None, None, None]);
    world.settle(&mut planner, &alone);
    let other = map([Some(0), None, None, Some(0), None, None]);
    world.settle(&mut planner, &other);
    assert_eq!(world.nodes_size(), 3, "a fresh slot, not that of node 1");
    world.settle(&mut planner, &alone);
    world.wait(QUARANTINE_MS + 1);
    let third = map([Some(0), None, None, None, Some(0), None]);
    let pass = planner.pass(&third, world.now);
    assert_eq!(pass.notes, [], "after the quarantine nothing is worth a note");
    world.apply(&pass.stores, None);
    assert!(!world.active(1), "a copy may have begun before it was filled");
    world.wait(pass.due.unwrap() - world.now);
    world.settle(&mut planner, &third);
    assert!(world.active(1), "the one longest out of use");
}
