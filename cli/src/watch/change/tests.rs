//! Pairs of looks at a simulated or built map, and what is said about them.

use super::*;
use crate::grid::tests::map_of;
use crate::watch::testing::{healthy, state_of};

fn texts(old: &State, new: &State) -> Vec<String> {
    between(old, new).iter().map(ToString::to_string).collect()
}

fn id(node: usize) -> String {
    format!("BB9{node:012X}")
}

#[test]
fn h145_nothing_is_said_about_what_did_not_change() {
    let (old, mut new) = (healthy(3), healthy(3));
    assert_eq!(texts(&old, &new), [""; 0]);
    // Ages and counters change with every look.
    new.status.heartbeat_age = Some(std::time::Duration::from_millis(700));
    new.status.publications += 1;
    new.status.tends += 5;
    assert_eq!(texts(&old, &new), [""; 0]);
}

#[test]
fn h145_a_takeover_names_both_owners_and_terms() {
    let (old, mut new) = (healthy(3), healthy(3));
    new.status.owner_pid = Some(4711);
    new.status.term = 4;
    assert_eq!(texts(&old, &new), ["takeover: owner 100 -> 4711, term 3 -> 4"]);
    let mut dead = healthy(3);
    dead.status.owner_alive = false;
    let said = texts(&old, &dead);
    assert_eq!(said[0], "owner 100 is gone");
    assert!(said[1].starts_with("unhealthy: there is no live owner"), "{said:?}");
    let said = texts(&dead, &new);
    assert_eq!(said, ["takeover: owner 100 -> 4711, term 3 -> 4", "healthy again"]);
}

#[test]
fn h145_masters_that_move_are_counted_from_node_to_node() {
    let old = healthy(3);
    let mut map = map_of(3, "test");
    let partitions = &mut map.namespaces_mut()[0].partitions;
    for at in 0..214 {
        partitions.set_holder(at * 3, 0, Slot::new(1));
    }
    let new = state_of(map, 9);
    let [first, second] = &texts(&old, &new)[..] else { panic!() };
    assert_eq!(*first, format!("test: 214 masters moved {} -> {}", id(0), id(1)));
    assert_eq!(*second, "test: 214 replica changes");
}

#[test]
fn a_master_that_changes_places_with_its_replica_is_one_event() {
    let old = healthy(3);
    let mut map = map_of(3, "test");
    let partitions = &mut map.namespaces_mut()[0].partitions;
    partitions.set_holder(0, 0, Slot::new(1));
    partitions.set_holder(0, 1, Slot::new(0));
    let said = texts(&old, &state_of(map, 9));
    assert_eq!(said, [format!("test: 1 masters moved {} -> {}", id(0), id(1))]);
}

#[test]
fn h145_holes_appear_and_are_filled() {
    let (old, mut map) = (healthy(3), map_of(3, "test"));
    for at in 0..10 {
        map.namespaces_mut()[0].partitions.set_holder(at * 3, 0, None);
    }
    let new = state_of(map, 9);
    let said = texts(&old, &new);
    let appeared = format!("test: 10 holes appeared, masters were at {}", id(0));
    assert!(said.contains(&appeared), "{said:?}");
    assert!(said.iter().any(|text| text.starts_with("unhealthy: namespace test has 10")));
    let mut filled = healthy(3);
    filled.map.as_mut().unwrap().sequence = 11;
    let said = texts(&new, &filled);
    assert!(said.contains(&format!("test: 10 holes filled by {}", id(0))), "{said:?}");
    assert!(said.contains(&"healthy again".to_owned()), "{said:?}");
}

#[test]
fn h145_nodes_join_leave_move_and_are_upgraded() {
    let old = healthy(3);
    let mut map = map_of(4, "test");
    let slot = |at| Slot::new(at).unwrap();
    map.nodes.relocate(slot(0), "10.9.9.9:3000".parse().unwrap(), None);
    map.nodes.set_build(slot(1), Some("8.1.3.0".parse().unwrap()));
    map.remove_node(slot(2));
    let said = texts(&old, &state_of(map, 9));
    for wanted in [
        format!("node {} moved: 10.0.0.1:3000 -> 10.9.9.9:3000", id(0)),
        format!("node {} upgraded: 8.1.2.0 -> 8.1.3.0", id(1)),
        format!("node {} left", id(2)),
        format!("node {} joined at 10.0.0.4:3000, build 8.1.2.0", id(3)),
    ] {
        assert!(said.contains(&wanted), "{wanted}: {said:?}");
    }
}

#[test]
fn h145_a_segment_that_is_replaced_says_so_and_namespaces_come_and_go() {
    let old = healthy(3);
    let mut new = state_of(map_of(3, "other"), 9);
    new.status.generation = 2;
    let said = texts(&old, &new);
    assert_eq!(
        said,
        [
            "segment replaced: generation 1 -> 2",
            "namespace other added, 2 replicas",
            "namespace test removed"
        ]
    );
}

#[test]
fn h145_steps_of_a_migration_add_up() {
    let event = |number: usize| {
        let mut events = Events::default();
        let name = NamespaceName::new("a#b").unwrap();
        events.count(Weight::Notable, name, number, "masters moved A -> B");
        events.0.remove(0)
    };
    let mut sum = event(3);
    assert!(sum.merge(&event(4)));
    assert_eq!(sum.to_string(), "a#b: 7 masters moved A -> B");
    assert!(!sum.merge(&Event::new(Weight::Plain, "a#b")));
}

#[test]
fn h145_a_partition_is_marked_for_what_changed() {
    let old = healthy(3);
    let mut map = map_of(3, "test");
    let partitions = &mut map.namespaces_mut()[0].partitions;
    partitions.set_holder(0, 0, Slot::new(2));
    partitions.set_holder(3, 1, Slot::new(2));
    partitions.set_holder(6, 0, None);
    let new = state_of(map, 9);
    let (before, after) = (old.map.unwrap(), new.map.unwrap());
    let changes = super::partitions(&before, &after, &after.map.namespaces()[0]);
    assert_eq!(changes.len(), 4096);
    let changed: Vec<_> =
        changes.iter().enumerate().filter(|(_, change)| **change != Change::None).collect();
    assert_eq!(changed, [(0, &Change::NewMaster), (3, &Change::Replica), (6, &Change::NewMaster)]);
}
