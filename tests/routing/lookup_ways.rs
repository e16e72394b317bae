//! Every way of a lookup returns the same result, errors included: by handle, by
//! name, pinned, pinned to a namespace, and by the rules alone over the published
//! map.

use proptest::prelude::*;
use tendmap::client::Reader;
use tendmap::internals::route::select;
use tendmap::internals::segment::{CreateOutcome, Ownership, create};
use tendmap::map::{Capacity, ClusterMap, Slot};
use tendmap::route::{Attempt, NamespaceHandle, Partition, Policy, RouteError, Router};
use tendmap::segment::Place;
use tendmap_testkit::{directory, node};

const POLICIES: [Policy; 5] =
    [Policy::Master, Policy::Sequence, Policy::Any, Policy::Random, Policy::PreferRack];
const PARTITIONS: usize = 16;
const MAX_REPLICAS: usize = 7;
const RACKS: i32 = 4;

/// The arguments of a lookup, and its answer.
type Answer = Result<(usize, usize), RouteError>;

#[derive(Clone, Debug)]
struct Ask {
    policy: Policy,
    start: u32,
    failed: Option<(usize, usize)>,
    partition: usize,
    namespace: usize,
}

impl Ask {
    fn attempt(&self) -> Attempt {
        let mut attempt = Attempt::new(self.policy, self.start);
        if let Some((replica, slot)) = self.failed {
            attempt.fail(replica, Slot::new(slot).unwrap());
        }
        attempt
    }
}

fn ask() -> impl Strategy<Value = Ask> {
    let start = prop_oneof![Just(0), 0u32..8, any::<u32>()];
    let failed = prop::option::of((0..MAX_REPLICAS, 0usize..9));
    (prop::sample::select(&POLICIES[..]), start, failed, 0..PARTITIONS + 2, 0usize..2).prop_map(
        |(policy, start, failed, partition, namespace)| Ask {
            policy,
            start,
            failed,
            partition,
            namespace,
        },
    )
}

/// A namespace's replication factor, its holders by partition and replica, its racks.
#[derive(Clone, Debug)]
struct Space {
    rf: u8,
    owners: Vec<Vec<Option<usize>>>,
    racks: Vec<Option<i32>>,
    there: bool,
}

fn space() -> impl Strategy<Value = Space> {
    let owner = prop_oneof![1 => Just(None), 4 => (0usize..9).prop_map(Some)];
    let owners = prop::collection::vec(prop::collection::vec(owner, MAX_REPLICAS), PARTITIONS);
    let racks = prop::collection::vec(prop::option::of(0..RACKS), 9);
    let rf = prop_oneof![3 => 1u8..4, 1 => 0u8..9];
    (rf, owners, racks, prop::bool::weighted(0.9)).prop_map(|(rf, owners, racks, there)| Space {
        rf,
        owners,
        racks,
        there,
    })
}

/// Nodes (some slots empty) and two namespaces.
#[derive(Clone, Debug)]
struct World {
    nodes: Vec<bool>,
    spaces: Vec<Space>,
    preferred: Vec<i32>,
    asks: Vec<Ask>,
}

fn world() -> impl Strategy<Value = World> {
    let nodes = prop_oneof![
        3 => Just(vec![true; 9]),
        2 => prop::collection::vec(prop::bool::weighted(0.7), 9),
    ];
    let preferred = prop::collection::vec(0..RACKS + 1, 0..4);
    (nodes, prop::collection::vec(space(), 2), preferred, prop::collection::vec(ask(), 1..40))
        .prop_map(|(nodes, spaces, preferred, asks)| World { nodes, spaces, preferred, asks })
}

const NAMES: [&str; 2] = ["test", "a_namespace_with_a_long_name"];

impl World {
    fn map(&self, capacity: Capacity) -> ClusterMap {
        let mut map = ClusterMap::new(capacity);
        for number in 0..9 {
            map.nodes.insert(node(number)).unwrap();
        }
        for (space, name) in self.spaces.iter().zip(NAMES).filter(|(space, _)| space.there) {
            let namespace = map.namespace_entry(name.parse().unwrap()).unwrap();
            namespace.replication_factor = space.rf;
            for (slot, rack) in (0..).map_while(Slot::new).zip(&space.racks) {
                namespace.set_rack(slot, *rack);
            }
            for (partition, owners) in space.owners.iter().enumerate() {
                for (replica, owner) in owners.iter().enumerate() {
                    namespace.partitions.set_holder(partition, replica, owner.and_then(Slot::new));
                }
            }
        }
        for (slot, _) in self.nodes.iter().enumerate().filter(|(_, there)| !**there) {
            map.remove_node(Slot::new(slot).unwrap());
        }
        map
    }

    /// The answer by the rules alone.
    fn expected(&self, map: &ClusterMap, ask: &Ask) -> Answer {
        if ask.partition >= PARTITIONS {
            let (partition, partitions) = (ask.partition, PARTITIONS);
            return Err(RouteError::OutOfRange { partition, partitions });
        }
        if map.nodes.is_empty() {
            return Err(RouteError::ClusterEmpty);
        }
        let name = NAMES[ask.namespace];
        let Some(namespace) = map.namespace(&name.parse().unwrap()) else {
            let known = map.namespaces().iter().map(|known| known.name.to_string()).collect();
            return Err(RouteError::NamespaceUnknown { name: name.into(), known });
        };
        let present = |replica| {
            let slot = namespace.partitions.holder(ask.partition, replica)?;
            map.nodes.get(slot).map(|_| slot)
        };
        let rank = |slot| {
            let rack = namespace.rack(slot)?;
            self.preferred.iter().position(|&preferred| preferred == rack)
        };
        let chosen = select(&ask.attempt(), namespace.routable_replicas(), present, rank);
        chosen.map(|(replica, slot)| (replica, slot.index())).ok_or(RouteError::NoNode {
            namespace: name.into(),
            partition: ask.partition,
            policy: ask.policy,
        })
    }
}

struct Rig {
    ownership: Box<Ownership>,
    router: Router<usize>,
    handles: Vec<NamespaceHandle>,
    capacity: Capacity,
    _directory: tempfile::TempDir,
}

impl Rig {
    /// Both namespaces exist at first, so that there are handles.
    fn new() -> Rig {
        let directory = directory();
        let place = Place { directory: directory.path().into(), ..Place::of_key(1) };
        let capacity = Capacity {
            max_nodes: 9,
            max_namespaces: 2,
            max_replicas: MAX_REPLICAS,
            partitions: PARTITIONS,
        };
        let Ok(CreateOutcome::Owner(mut ownership)) = create(&place, 1, capacity, None) else {
            panic!()
        };
        let mut first = ClusterMap::new(capacity);
        first.nodes.insert(node(0)).unwrap();
        for name in NAMES {
            first.namespace_entry(name.parse().unwrap()).unwrap();
        }
        ownership.publish(&first).unwrap();
        let reader = Reader::attach(&place).unwrap();
        let port = |node: &tendmap::map::Node| usize::from(node.address.port());
        let mut router = reader.router_with(port);
        let handles = NAMES.iter().map(|name| router.namespace(name).unwrap()).collect();
        Rig { ownership, router, handles, capacity, _directory: directory }
    }

    /// The answers of all ways; they must agree with each other.
    fn answers(&mut self, ask: &Ask) -> Result<Vec<(&'static str, Answer)>, TestCaseError> {
        let (attempt, handle) = (ask.attempt(), self.handles[ask.namespace]);
        let target = Partition(ask.partition);
        let mut answers = Vec::new();
        let router = &mut self.router;
        let found = router.route_attempt(handle, target, &attempt).map(|route| {
            assert_eq!(usize::from(route.address().port()), *route.state());
            assert_eq!(route.partition(), ask.partition);
            (route.replica(), route.slot().index())
        });
        answers.push(("handle", found));
        let found = router.route_attempt(NAMES[ask.namespace], target, &attempt);
        answers.push(("name", found.map(|route| (route.replica(), route.slot().index()))));
        let found = router.pin(|pinned| pinned.select(handle, ask.partition, &attempt));
        answers.push(("pinned", named(found, answers[0].1.clone())));
        let found = router.pin(|pinned| {
            let namespace = pinned.namespace(handle)?;
            let found = namespace.route(target, &attempt)?;
            Ok(found.map(|found| {
                assert_eq!(usize::from(found.node().address.port()), *found.state());
                (found.replica(), found.slot())
            }))
        });
        answers.push(("pinned namespace", named(found, answers[0].1.clone())));
        if ask.policy == Policy::Master {
            let found = router.pin(|pinned| pinned.master(handle, target));
            let found = found.map(|slot| slot.map(|slot| (0, slot)));
            answers.push(("pinned master", named(found, answers[0].1.clone())));
        }
        Ok(answers)
    }
}

/// A pinned lookup says "none" where the other ways give a reason: the reason is
/// taken from them.
fn named(found: Result<Option<(usize, Slot)>, RouteError>, other: Answer) -> Answer {
    match (found?, other) {
        (Some((replica, slot)), _) => Ok((replica, slot.index())),
        (None, Err(reason)) if !matches!(reason, RouteError::OutOfRange { .. }) => Err(reason),
        (None, other) => panic!("none, where another way says {other:?}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn every_way_leads_to_the_same_place(worlds in prop::collection::vec(world(), 1..4)) {
        let mut rig = Rig::new();
        for world in worlds {
            rig.router.set_preferred_racks(&world.preferred);
            let map = world.map(rig.capacity);
            rig.ownership.publish(&map).unwrap();
            for ask in &world.asks {
                let expected = world.expected(&map, ask);
                for (way, found) in rig.answers(ask)? {
                    prop_assert_eq!(&found, &expected, "by {}: {:?}", way, ask);
                }
            }
        }
    }
}

#[test]
fn a_router_with_many_namespaces_finds_each_by_handle_and_by_name() {
    let directory = directory();
    let place = Place { directory: directory.path().into(), ..Place::of_key(1) };
    let capacity = Capacity { max_namespaces: 100, partitions: 4, ..Capacity::DEFAULT };
    let Ok(CreateOutcome::Owner(mut ownership)) = create(&place, 1, capacity, None) else {
        panic!()
    };
    let mut map = ClusterMap::new(capacity);
    for number in 0..16 {
        map.nodes.insert(node(number)).unwrap();
    }
    let name = |number: usize| format!("namespace_{number}");
    for number in 0..100 {
        let namespace = map.namespace_entry(name(number).parse().unwrap()).unwrap();
        namespace.replication_factor = 1;
        for partition in 0..4 {
            namespace.partitions.set_holder(partition, 0, Slot::new((number + partition) % 16));
        }
    }
    ownership.publish(&map).unwrap();
    let mut router = Reader::attach(&place).unwrap().router();
    let handles: Vec<_> = (0..100).map(|n| router.namespace(&name(n)).unwrap()).collect();
    for turn in 0..3 {
        for (number, &handle) in handles.iter().enumerate() {
            let wanted = (number + turn) % 16;
            let target = Partition(turn);
            let route = router.route(handle, target, Policy::Master).unwrap();
            assert_eq!(route.slot().index(), wanted, "{number}");
            let route = router.route(name(number).as_str(), target, Policy::Sequence).unwrap();
            assert_eq!(route.slot().index(), wanted, "{number}");
        }
    }
    let error = router.route("namespace_100", Partition(0), Policy::Master).unwrap_err();
    assert!(matches!(error, RouteError::NamespaceUnknown { .. }), "{error}");
}

/// The racks of the nodes and the preferred racks may both change while a router
/// runs.
#[test]
fn changed_racks_and_preferences_count_at_the_next_lookup() {
    let mut rig = Rig::new();
    let mut map = ClusterMap::new(rig.capacity);
    for number in 0..3 {
        map.nodes.insert(node(number)).unwrap();
    }
    let namespace = map.namespace_entry(NAMES[0].parse().unwrap()).unwrap();
    namespace.replication_factor = 3;
    for replica in 0..3 {
        namespace.set_rack(Slot::new(replica).unwrap(), Some(replica as i32 - 1));
        namespace.partitions.set_holder(5, replica, Slot::new(replica));
    }
    map.namespace_entry(NAMES[1].parse().unwrap()).unwrap();
    rig.ownership.publish(&map).unwrap();
    let replica = |rig: &mut Rig| {
        let route = rig.router.route(rig.handles[0], Partition(5), Policy::PreferRack);
        route.unwrap().replica()
    };
    assert_eq!(replica(&mut rig), 0, "no node is in a preferred rack: replicas in their order");
    rig.router.set_preferred_racks(&[7, 1, -1]);
    assert_eq!(replica(&mut rig), 2, "the first preferred rack that has a node");
    rig.router.set_preferred_racks(&[-1]);
    assert_eq!(replica(&mut rig), 0);
    map.namespaces_mut()[0].set_rack(Slot::new(1).unwrap(), Some(-1));
    map.namespaces_mut()[0].set_rack(Slot::new(0).unwrap(), None);
    rig.ownership.publish(&map).unwrap();
    assert_eq!(replica(&mut rig), 1);
    // The failed node is avoided, and chosen when no other is left.
    let mut attempt = rig.router.attempt(Policy::PreferRack);
    attempt.fail(1, Slot::new(1).unwrap());
    let route = rig.router.route_attempt(rig.handles[0], Partition(5), &attempt).unwrap();
    assert_eq!(route.replica(), 2);
    map.remove_node(Slot::new(0).unwrap());
    map.remove_node(Slot::new(2).unwrap());
    rig.ownership.publish(&map).unwrap();
    let route = rig.router.route_attempt(rig.handles[0], Partition(5), &attempt).unwrap();
    assert_eq!(route.replica(), 1);
}

/// Whatever the bits of a routing word are, a lookup returns an existing node or an
/// error.
#[test]
fn any_routing_word_is_harmless_on_every_way() {
    use std::os::unix::fs::FileExt;
    let mut rig = Rig::new();
    let mut random = fastrand::Rng::with_seed(11);
    let mut map = ClusterMap::new(rig.capacity);
    for number in 0..9 {
        map.nodes.insert(node(number)).unwrap();
    }
    for name in NAMES {
        map.namespace_entry(name.parse().unwrap()).unwrap().replication_factor = 3;
    }
    map.remove_node(Slot::new(4).unwrap());
    rig.ownership.publish(&map).unwrap();
    rig.router.set_preferred_racks(&[1]);
    let segment = rig.ownership.segment().clone();
    let geometry = segment.geometry();
    let file = std::fs::File::options().write(true).open(segment.path().unwrap()).unwrap();
    for round in 0..2000 {
        for frame in 0..2 {
            for partition in 0..PARTITIONS {
                let index = geometry.frame_start(frame) + geometry.routing(0, 0) + partition;
                // In every other round the slots are nearly valid.
                let word = random.u64(..) & if round % 2 == 0 { u64::MAX } else { 0xf_000f_000f };
                file.write_all_at(&word.to_le_bytes(), index as u64 * 8).unwrap();
            }
        }
        for partition in 0..PARTITIONS {
            let policy = *random.choice(&POLICIES).unwrap();
            let failed = random.bool().then(|| (random.usize(..7), random.usize(..9)));
            let start = random.u32(..9);
            let ask = Ask { policy, start, failed, partition, namespace: 0 };
            let answers = rig.answers(&ask).unwrap();
            for (way, found) in &answers {
                assert_eq!(found, &answers[0].1, "by {way}: {ask:?}");
                let Ok((replica, slot)) = found else { continue };
                assert!(*replica < 3 && *slot < 9 && *slot != 4, "{ask:?}: {found:?}");
            }
        }
    }
}
