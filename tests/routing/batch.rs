//! A batch routes each key as a single call does.

use std::cell::Cell;

use proptest::prelude::*;
use tendmap::internals::route::{Digests, Lanes};
use tendmap::map::{NamespaceName, Slot};
use tendmap::route::{
    Batch, Digest, InSet, Keys, NamespaceHandle, Policy, Record, RouteError, Router,
};
use tendmap_testkit::add_namespace;

use crate::rig::Rig;

impl Rig {
    /// Empties entries: one replica in every `period`, and all replicas of some
    /// partitions.
    fn punch(&self, rf: usize, period: usize) {
        self.change(|map| {
            let partitions = &mut map.namespaces_mut()[0].partitions;
            for partition in 0..partitions.len() {
                for replica in 0..rf {
                    if (partition * rf + replica).is_multiple_of(period) || partition % 11 == 3 {
                        partitions.set_holder(partition, replica, None);
                    }
                }
            }
        });
    }
}

type Answer = Result<(Slot, usize, usize, u64), RouteError>;

/// The answer of a single call for each record.
fn one_by_one(
    router: &mut Router,
    namespace: NamespaceHandle,
    records: &[Record],
    policy: Policy,
) -> Vec<Answer> {
    let one = |record: &Record| {
        let route = router.route(namespace, *record, policy)?;
        Ok((route.slot(), route.replica(), route.partition(), route.sequence()))
    };
    records.iter().map(one).collect()
}

/// The answer of a batch for each record, by key and by group.
#[track_caller]
fn answers(batch: &mut Batch, records: &[Record]) -> Vec<Answer> {
    assert_eq!(batch.len(), records.len());
    let sequence = batch.sequence();
    let mut answers = Vec::new();
    for (index, record) in records.iter().enumerate() {
        let digest = Digest::of(record.set, record.key);
        assert_eq!(batch.digests()[index], digest);
        answers.push(batch.get(index).unwrap().map(|route| {
            assert_eq!((route.index, route.digest), (index, digest));
            (route.slot, route.replica, route.partition, sequence)
        }));
    }
    let unrouted: Vec<usize> = batch.unrouted().collect();
    let mut grouped = vec![false; records.len()];
    let mut last = None;
    for group in batch.groups() {
        assert!(last < Some(group.slot()), "each node once, in order");
        last = Some(group.slot());
        assert!(!group.indexes().is_empty() && group.indexes().is_sorted());
        assert_eq!(group.keys().count(), group.indexes().len());
        for key in group.keys() {
            let answer = (group.slot(), key.replica, key.partition, sequence);
            assert_eq!(answers[key.index], Ok(answer));
            assert!(!core::mem::replace(&mut grouped[key.index], true), "in two groups");
        }
    }
    for (index, grouped) in grouped.iter().enumerate() {
        assert_ne!(*grouped, unrouted.contains(&index), "key {index}");
        assert_ne!(*grouped, answers[index].is_err(), "key {index}");
    }
    answers
}

#[test]
fn a_batch_answers_as_its_keys_do_one_by_one() {
    for (nodes, rf, period) in [(3, 1, 5), (5, 2, 3), (7, 3, 2), (9, 5, 2), (9, 7, 3)] {
        let rig = Rig::new(nodes, rf);
        rig.punch(rf.into(), period);
        let mut router = rig.client.router();
        let namespace = router.namespace("test").unwrap();
        let text = "x".repeat(300);
        let records: Vec<Record> = (0..3000)
            .map(|n: i64| match n % 3 {
                0 => Record::new("users", n),
                1 => Record::new("", &text.as_bytes()[..n as usize % 300]),
                _ => Record::new("orders", n as f64),
            })
            .collect();
        for policy in [Policy::Master, Policy::Sequence] {
            let wanted = one_by_one(&mut router, namespace, &records, policy);
            assert!(wanted.iter().any(Result::is_err) && wanted.iter().any(Result::is_ok));
            for lanes in Lanes::available() {
                let mut batch = Batch::with_lanes(lanes);
                // Longer, shorter, empty: nothing is left of the batch before.
                for len in [3000, 5, 0, 1, 17, 3000] {
                    router.route_batch(namespace, &records[..len], policy, &mut batch).unwrap();
                    assert_eq!(answers(&mut batch, &records[..len]), wanted[..len], "{lanes}");
                }
            }
        }
    }
}

#[test]
fn keys_take_turns_in_a_batch_as_they_do_one_by_one() {
    let rig = Rig::new(5, 3);
    let mut router = rig.client.router();
    let namespace = router.namespace("test").unwrap();
    let replica = |router: &mut Router| {
        router.route(namespace, Record::new("", 1), Policy::Any).unwrap().replica()
    };
    let before = replica(&mut router);
    let mut batch = Batch::new();
    let keys: Vec<i64> = (0..100).collect();
    router.route_batch(namespace, &InSet::new("", &keys), Policy::Any, &mut batch).unwrap();
    for index in 0..keys.len() {
        assert_eq!(batch.get(index).unwrap().unwrap().replica, (before + 1 + index) % 3);
    }
    assert_eq!(replica(&mut router), (before + 101) % 3);
}

#[test]
fn random_replicas_of_a_batch_are_all_of_them() {
    let rig = Rig::new(5, 3);
    let mut router = rig.client.router();
    let namespace = router.namespace("test").unwrap();
    let mut batch = Batch::new();
    let keys: Vec<i64> = (0..3000).collect();
    router.route_batch(namespace, &InSet::new("", &keys), Policy::Random, &mut batch).unwrap();
    let mut counts = [0; 3];
    (0..keys.len()).for_each(|index| counts[batch.get(index).unwrap().unwrap().replica] += 1);
    // Nine standard deviations around 1,000.
    assert!(counts.iter().all(|count| (750..1250).contains(count)), "{counts:?}");
}

#[test]
fn what_fails_for_every_key_fails_the_batch_with_the_same_error() {
    let rig = Rig::new(3, 2);
    let mut router = rig.client.router();
    let namespace = router.namespace("test").unwrap();
    let mut batch = Batch::new();
    let records = [Record::new("users", 1)];

    let foreign = rig.client.router().namespace("test").unwrap();
    let error = router.route_batch(foreign, &records[..], Policy::Master, &mut batch);
    assert_eq!(error, Err(RouteError::ForeignHandle));
    let error = router.route_batch(foreign, &records[..0], Policy::Master, &mut batch);
    assert_eq!(error, Err(RouteError::ForeignHandle));

    rig.change(|map| add_namespace(map, "other", 2));
    router.route_batch(namespace, &records[..], Policy::Master, &mut batch).unwrap();
    rig.change(|map| assert!(map.remove_namespace(&NamespaceName::new("test").unwrap())));
    let plain = router.route(namespace, records[0], Policy::Master).unwrap_err();
    assert!(matches!(plain, RouteError::NamespaceUnknown { .. }), "{plain}");
    let error = router.route_batch(namespace, &records[..], Policy::Master, &mut batch);
    assert_eq!(error, Err(plain));
    assert!(
        batch.is_empty() && batch.groups().next().is_none(),
        "nothing is left of the batch before"
    );
}

/// Keys whose digests take so long that a publication completes meanwhile.
struct Slow<'a>(&'a dyn Fn(), InSet<'a, i64>);

impl Keys for Slow<'_> {
    fn len(&self) -> usize {
        self.1.len()
    }
}

impl Digests for Slow<'_> {
    fn digest(&self, lanes: Lanes, digests: &mut [Digest]) {
        self.0();
        self.1.digest(lanes, digests);
    }
}

#[test]
fn a_publication_while_digests_are_computed_is_seen_and_repeats_none() {
    let rig = Rig::new(3, 1);
    let mut router = rig.client.router();
    let namespace = router.namespace("test").unwrap();
    let before = rig.client.map().unwrap().sequence;
    let computed = Cell::new(0);
    let publish = || {
        computed.set(computed.get() + 1);
        rig.punch(1, 1);
    };
    let mut batch = Batch::new();
    let keys = Slow(&publish, InSet::new("users", &[1, 2, 3]));
    router.route_batch(namespace, &keys, Policy::Master, &mut batch).unwrap();
    assert_eq!(computed.get(), 1);
    assert!(batch.sequence() > before);
    assert_eq!(batch.unrouted().count(), 3, "the batch is of the later map");
}

#[test]
fn memory_for_a_batch_is_got_beforehand_or_refused() {
    let rig = Rig::new(3, 2);
    let mut router = rig.client.router();
    let test = router.namespace("test").unwrap();
    let mut batch = Batch::new();
    assert!(batch.try_reserve(usize::MAX).is_err());
    batch.try_reserve(100).unwrap();
    let keys: Vec<i64> = (0..100).collect();
    let counted = allocation_counter::measure(|| {
        router.route_batch(test, &InSet::new("s", &keys), Policy::Master, &mut batch).unwrap();
    });
    assert_eq!(counted.count_total, 0, "the memory was reserved");
    assert!(batch.try_reserve(usize::MAX).is_err());
    assert_eq!(batch.len(), 100, "the batch is unchanged");
}

#[test]
fn a_batch_used_again_allocates_nothing() {
    let rig = Rig::new(5, 3);
    let mut router = rig.client.router();
    let namespace = router.namespace("test").unwrap();
    let mut batch = Batch::new();
    let numbers: Vec<i64> = (0..1000).collect();
    let texts: Vec<String> = numbers.iter().map(|n| "long ".repeat(*n as usize % 40)).collect();
    let records: Vec<Record> = texts.iter().map(|text| Record::new("users", text)).collect();
    let mut all = |batch: &mut Batch| {
        for policy in [Policy::Master, Policy::Sequence, Policy::Any, Policy::Random] {
            router.route_batch(namespace, &InSet::new("a", &numbers), policy, batch).unwrap();
            assert_eq!(batch.groups().count(), 5);
            router.route_batch(namespace, &InSet::new("b", &texts), policy, batch).unwrap();
            assert_eq!(batch.groups().count(), 5);
            router.route_batch(namespace, &records[..], policy, batch).unwrap();
            assert_eq!(batch.groups().count(), 5);
        }
    };
    all(&mut batch);
    let steady = allocation_counter::measure(|| all(&mut batch));
    assert_eq!(steady.count_total, 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_keys_and_holes_are_answered_as_one_by_one(
        rf in 1_u8..7,
        period in 1_usize..9,
        integers in prop::collection::vec(any::<i64>(), 0..100),
        texts in prop::collection::vec(".{0,40}", 0..100),
    ) {
        let rig = Rig::new(9, rf);
        rig.punch(rf.into(), period);
        let mut router = rig.client.router();
        let namespace = router.namespace("test").unwrap();
        let integers = integers.iter().map(|key| Record::new("users", *key));
        let records: Vec<Record> =
            integers.chain(texts.iter().map(|key| Record::new("", key))).collect();
        let mut batch = Batch::new();
        for policy in [Policy::Master, Policy::Sequence] {
            let wanted = one_by_one(&mut router, namespace, &records, policy);
            router.route_batch(namespace, &records[..], policy, &mut batch).unwrap();
            prop_assert_eq!(answers(&mut batch, &records), wanted);
        }
    }
}

#[test]
fn a_batch_takes_the_name_of_a_namespace_as_a_single_lookup_does() {
    let rig = Rig::new(3, 2);
    let mut router = rig.client.router();
    let handle = router.namespace("test").unwrap();
    let ids: Vec<i64> = (0..100).collect();
    let keys = InSet::new("users", &ids);
    let (mut by_handle, mut by_name) = (Batch::new(), Batch::new());
    router.route_batch(handle, &keys, Policy::Master, &mut by_handle).unwrap();
    // The second router has not looked this namespace up yet.
    let mut fresh = rig.client.router();
    fresh.route_batch("test", &keys, Policy::Master, &mut by_name).unwrap();
    for index in 0..ids.len() {
        let slot = |batch: &Batch| batch.get(index).unwrap().unwrap().slot;
        assert_eq!(slot(&by_handle), slot(&by_name));
    }
    let unknown = fresh.route_batch("nowhere", &keys, Policy::Master, &mut by_name);
    assert!(matches!(unknown, Err(RouteError::NamespaceUnknown { .. })), "{unknown:?}");
    assert!(by_name.is_empty());
    assert!(by_handle.get(ids.len() - 1).is_some());
    assert!(by_handle.get(ids.len()).is_none() && by_name.get(0).is_none(), "no such key");
}
