//! Routers over a changing cluster: one process publishes, routers follow.

use tendmap::client::Client;
use tendmap::map::{Build, ClusterMap, NamespaceName, Slot};
use tendmap::route::{Partition, Policy, RouteError};
use tendmap_testkit::{Cluster, add_namespace, config, directory, node};

use crate::rig::Rig;

fn slot(index: usize) -> Slot {
    Slot::new(index).unwrap()
}

#[test]
fn h17_a_node_that_comes_back_elsewhere_is_dialled_there() {
    let rig = Rig::new(3, 2);
    let mut made = 0;
    let mut router = rig.client.router_with(move |_| {
        made += 1;
        made
    });
    let namespace = router.namespace("test").unwrap();
    let route = router.route(namespace, Partition(1), Policy::Master).unwrap();
    let first = *route.state();
    let moved = "127.0.0.9:4000".parse().unwrap();
    rig.change(|map| map.nodes.relocate(slot(1), moved, None));
    let route = router.route(namespace, Partition(1), Policy::Master).unwrap();
    assert_eq!(route.address(), moved);
    assert_ne!(*route.state(), first, "the local state of the old address is gone");
    let other = router.route(namespace, Partition(0), Policy::Master).unwrap();
    assert_eq!(*other.state(), 1, "the local states of the other nodes are kept");
    let all: Vec<_> = router.states().map(|(slot, state)| (slot.index(), *state)).collect();
    assert_eq!(all, [(0, 1), (1, 4), (2, 3)]);
}

#[test]
fn h137_a_known_node_of_another_build_keeps_its_local_state() {
    let rig = Rig::new(3, 2);
    let mut made = 0;
    let mut router = rig.client.router_with(move |_| {
        made += 1;
        made
    });
    let namespace = router.namespace("test").unwrap();
    let before = router.route(namespace, Partition(1), Policy::Master).unwrap().node().build;
    assert_eq!(before, None);
    for text in ["8.1.2.0", "8.1.3.1"] {
        let build = Build::parse(text.as_bytes());
        rig.change(|map| assert!(map.nodes.set_build(slot(1), build)));
        let route = router.route(namespace, Partition(1), Policy::Master).unwrap();
        assert_eq!(route.node().build, build, "the router has the published node");
        let all: Vec<_> = router.states().map(|(slot, state)| (slot.index(), *state)).collect();
        assert_eq!(all, [(0, 1), (1, 2), (2, 3)], "its local state is kept");
    }
}

#[test]
fn local_state_is_not_kept_for_another_tenant_of_a_slot() {
    let rig = Rig::new(2, 1);
    let mut made = 0;
    let mut router = rig.client.router_with(move |_| {
        made += 1;
        made
    });
    let namespace = router.namespace("test").unwrap();
    assert_eq!(*router.route(namespace, Partition(1), Policy::Master).unwrap().state(), 2);
    // The same node leaves and returns between two publications: a new incarnation in
    // the same slot.
    rig.change(|map| {
        map.remove_node(slot(1)).unwrap();
        assert_eq!(map.nodes.insert(node(1)).unwrap(), slot(1));
        add_namespace(map, "test", 1);
    });
    let route = router.route(namespace, Partition(1), Policy::Master).unwrap();
    assert_eq!((route.slot(), route.incarnation()), (slot(1), 2));
    assert_eq!(*route.state(), 3);
}

#[test]
fn h18_a_new_namespace_is_seen_whole() {
    let rig = Rig::new(3, 2);
    let mut router = rig.client.router();
    assert!(router.namespace("late").is_err());
    rig.change(|map| add_namespace(map, "late", 2));
    let late = router.namespace("late").unwrap();
    for partition in 0..4096 {
        router.route(late, Partition(partition), Policy::Master).unwrap();
    }
}

#[test]
fn h20_a_changed_replication_factor_and_mode_are_seen() {
    let rig = Rig::new(3, 1);
    let mut router = rig.client.router();
    let namespace = router.namespace("test").unwrap();
    let mut attempt = router.attempt(Policy::Sequence);
    let (replica, failed) = {
        let route = router.route_attempt(namespace, Partition(0), &attempt).unwrap();
        (route.replica(), route.slot())
    };
    attempt.fail(replica, failed);
    let again = router.route_attempt(namespace, Partition(0), &attempt).unwrap();
    assert_eq!(again.replica(), 0, "there is only one");
    rig.change(|map| {
        add_namespace(map, "test", 3);
        map.namespaces_mut()[0].strong_consistency = true;
    });
    let again = router.route_attempt(namespace, Partition(0), &attempt).unwrap();
    assert_eq!(again.replica(), 1);
    let status = rig.client.status().unwrap();
    assert_eq!(status.namespaces[0].replication_factor, 3);
    assert!(status.namespaces[0].strong_consistency);
}

#[test]
fn h22_entries_of_a_node_that_left_are_gone_with_it() {
    let rig = Rig::new(2, 2);
    let mut router = rig.client.router();
    let namespace = router.namespace("test").unwrap();
    rig.change(|map| {
        map.remove_node(slot(0)).unwrap();
    });
    let error = router.route(namespace, Partition(0), Policy::Master).unwrap_err();
    let wanted =
        RouteError::NoNode { namespace: "test".into(), partition: 0, policy: Policy::Master };
    assert_eq!(error, wanted, "never a random node");
    let route = router.route(namespace, Partition(0), Policy::Sequence).unwrap();
    assert_eq!((route.replica(), route.id()), (1, node(1).id));
    let holes = rig.client.status().unwrap().namespaces[0].holes;
    assert_eq!(holes, 2048, "h40: status shows them");
}

#[test]
fn h42_a_dropped_namespaces_slot_is_not_read_for_another() {
    let rig = Rig::new(3, 1);
    let mut router = rig.client.router();
    let test = router.namespace("test").unwrap();
    rig.change(|map| {
        let name = NamespaceName::new("test").unwrap();
        assert!(map.remove_namespace(&name));
        add_namespace(map, "other", 1);
    });
    let error = router.route(test, Partition(0), Policy::Master).unwrap_err();
    let known = vec!["other".to_owned()];
    assert_eq!(error, RouteError::NamespaceUnknown { name: "test".into(), known });
    // It returns, now behind the other one: the old handle finds it there.
    rig.change(|map| {
        add_namespace(map, "test", 1);
        let namespace = &mut map.namespaces_mut()[1];
        namespace.partitions.set_holder(0, 0, Some(slot(2)));
    });
    let route = router.route(test, Partition(0), Policy::Master).unwrap();
    assert_eq!(route.id(), node(2).id);
}

#[test]
fn an_empty_cluster_is_named() {
    let rig = Rig::new(1, 1);
    let mut router = rig.client.router();
    let namespace = router.namespace("test").unwrap();
    rig.change(|map| {
        map.remove_node(slot(0));
    });
    let error = router.route(namespace, Partition(0), Policy::Any).unwrap_err();
    assert_eq!(error, RouteError::ClusterEmpty);
}

#[test]
fn replicas_beyond_three_are_routed() {
    let directory = directory();
    let cluster = Cluster::new(7, 1);
    let mut config = config(&directory);
    config.shm_max_replicas = 5;
    let wide = tendmap::map::Capacity { max_replicas: 5, ..Default::default() };
    cluster.change(|map| {
        *map = ClusterMap::new(wide);
        for number in 0..7 {
            map.nodes.insert(node(number)).unwrap();
        }
        add_namespace(map, "test", 5);
    });
    let client = Client::connect_with(config, cluster.source()).unwrap();
    let mut router = client.router();
    let namespace = router.namespace("test").unwrap();
    let mut attempt = router.attempt(Policy::Sequence);
    for expected in [2, 3, 4, 5, 6, 2] {
        let (replica, failed) = {
            let route = router.route_attempt(namespace, Partition(2), &attempt).unwrap();
            assert_eq!(route.id(), node(expected).id);
            (route.replica(), route.slot())
        };
        attempt.fail(replica, failed);
    }
}

#[test]
fn pinned_lookups_are_of_one_publication() {
    let rig = Rig::new(4, 2);
    let mut router = rig.client.router();
    let namespace = router.namespace("test").unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Every publication moves the whole table on by one node.
            for turn in 1..=20 {
                rig.change(|map| {
                    for partition in 0..4096 {
                        let owner = Some(slot((partition + turn) % 4));
                        map.namespaces_mut()[0].partitions.set_holder(partition, 0, owner);
                    }
                });
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        let mut sequences = std::collections::BTreeSet::new();
        while !stop.load(std::sync::atomic::Ordering::Relaxed) {
            let (sequence, turns) = router
                .pin(|pinned| {
                    let mut turns = std::collections::BTreeSet::new();
                    for partition in 0..4096 {
                        let master = pinned.master(namespace, Partition(partition))?.unwrap();
                        turns.insert((master.index() + 4096 - partition % 4) % 4);
                    }
                    Ok((pinned.sequence(), turns))
                })
                .unwrap();
            assert_eq!(turns.len(), 1, "publication {sequence} is whole");
            sequences.insert(sequence);
        }
        assert!(sequences.len() > 3, "saw {sequences:?}");
    });
}

/// Ten thousand nodes, one after another, in sixteen slots: each publication replaces
/// all sixteen, and a router routes by every publication.
#[test]
fn h16_replaced_nodes_do_not_use_the_table_up() {
    use tendmap::client::Reader;
    use tendmap::internals::segment::{CreateOutcome, create};
    use tendmap::map::Capacity;
    use tendmap::segment::Place;

    let directory = directory();
    let place = Place { directory: directory.path().into(), ..Place::of_key(1) };
    let CreateOutcome::Owner(mut owner) = create(&place, 1, Capacity::DEFAULT, None).unwrap()
    else {
        panic!("the directory was empty");
    };
    assert_eq!(Capacity::DEFAULT.max_nodes, 16);
    let mut map = ClusterMap::new(Capacity::DEFAULT);
    let mut routing = None;
    for round in 0..=625_u16 {
        for index in 0..16 {
            map.remove_node(slot(index));
            let fresh = node(16 * round + index as u16);
            assert_eq!(map.nodes.insert(fresh).unwrap(), slot(index));
        }
        add_namespace(&mut map, "test", 1);
        owner.publish(&map).unwrap().expect("all nodes are new");
        let (router, namespace) = routing.get_or_insert_with(|| {
            let mut router = Reader::attach(&place).unwrap().router_with(|node| node.id);
            let namespace = router.namespace("test").unwrap();
            (router, namespace)
        });
        for index in 0..16 {
            let route = router.route(*namespace, Partition(index), Policy::Master).unwrap();
            let wanted = node(16 * round + index as u16);
            assert_eq!((route.id(), route.address()), (wanted.id, wanted.address));
            assert_eq!(*route.state(), wanted.id, "the local state belongs to the new node");
            assert_eq!(u64::from(route.incarnation()), u64::from(round) + 1);
        }
    }
    assert_eq!(owner.segment().identity().generation, 1, "nothing had to grow");
}

/// The successor starts with the very sequence that the router saw last, with other
/// nodes at other offsets.
#[test]
fn a_router_that_moves_to_a_successor_reads_everything_anew() {
    use tendmap::client::Reader;
    use tendmap::internals::segment::{Carryover, CreateOutcome, create};
    use tendmap::map::Capacity;
    use tendmap::segment::Place;

    let directory = directory();
    let place = Place { directory: directory.path().into(), ..Place::of_key(1) };
    let owner =
        |generation, capacity, inherited| match create(&place, generation, capacity, inherited) {
            Ok(CreateOutcome::Owner(ownership)) => ownership,
            other => panic!("{other:?}"),
        };
    let map = |first: u16, capacity| {
        let mut map = ClusterMap::new(capacity);
        for number in first..first + 3 {
            map.nodes.insert(node(number)).unwrap();
        }
        add_namespace(&mut map, "test", 1);
        map
    };
    let mut old = owner(1, Capacity::DEFAULT, None);
    old.publish(&map(0, Capacity::DEFAULT)).unwrap();
    let mut router = Reader::attach(&place).unwrap().router();
    let namespace = router.namespace("test").unwrap();
    let route = router.route(namespace, Partition(1), Policy::Master).unwrap();
    assert_eq!((route.id(), route.sequence()), (node(1).id, 1));

    let larger = Capacity { max_nodes: 99, ..Capacity::DEFAULT };
    let other = map(50, larger);
    let inherited = Carryover { sequence: 1, table_generation: 0, map: &other };
    let _new = owner(2, larger, Some(inherited));
    old.retire().unwrap();
    let route = router.route(namespace, Partition(1), Policy::Master).unwrap();
    assert_eq!((route.id(), route.sequence()), (node(51).id, 1));
}

/// A segment that was removed by force is followed by an empty one until the cluster
/// has been tended again.
#[test]
fn a_router_goes_on_with_a_retired_map_until_its_successor_has_one() {
    use tendmap::client::Reader;
    use tendmap::internals::segment::{CreateOutcome, create};
    use tendmap::map::Capacity;
    use tendmap::segment::Place;

    let directory = directory();
    let place = Place { directory: directory.path().into(), ..Place::of_key(1) };
    let owner = |generation| match create(&place, generation, Capacity::DEFAULT, None) {
        Ok(CreateOutcome::Owner(ownership)) => ownership,
        other => panic!("{other:?}"),
    };
    let mut map = ClusterMap::new(Capacity::DEFAULT);
    map.nodes.insert(node(7)).unwrap();
    add_namespace(&mut map, "test", 1);
    let mut old = owner(1);
    old.publish(&map).unwrap();
    let mut router = Reader::attach(&place).unwrap().router();
    let namespace = router.namespace("test").unwrap();
    let mut new = owner(2);
    old.retire().unwrap();
    for _ in 0..3 {
        let route = router.route(namespace, Partition(1), Policy::Master).unwrap();
        assert_eq!(
            route.id(),
            node(7).id,
            "the map of the retired segment, because the new one is empty"
        );
    }
    map.nodes.relocate(slot(0), "127.0.0.9:4000".parse().unwrap(), None);
    new.publish(&map).unwrap();
    let route = router.route(namespace, Partition(1), Policy::Master).unwrap();
    assert_eq!(route.address(), "127.0.0.9:4000".parse().unwrap());
}
