//! What a forked child inherits, and what it must not take over from its parent.

use std::io::{Read, Write};

use tendmap::route::{Attempt, Batch, InSet, NamespaceHandle, Partition, Policy, Router, Starts};

use super::{Host, Test};
use crate::common::Cluster;
use crate::common::forked::forked;

/// All of them fork, and so need a process of their own.
pub fn tests() -> Vec<Test> {
    vec![
        ("h90_siblings_choose_differently_from_their_first_batch_on", first_batch),
        ("h90_siblings_choose_differently_from_their_first_attempt_on", first_attempt),
        ("h90_a_child_that_pins_first_chooses_for_itself", first_pin),
    ]
}

/// What the calling process and two children of it answer.
fn siblings(mut answer: impl FnMut() -> String) -> Vec<String> {
    let mut answers = Vec::new();
    for _ in 0..2 {
        let mut told = String::new();
        forked(
            |parent| parent.write_all(answer().as_bytes()).unwrap(),
            |child| {
                child.read_to_string(&mut told).unwrap();
            },
        );
        answers.push(told);
    }
    answers.push(answer());
    answers
}

#[track_caller]
fn assert_all_differ(what: &str, mut answers: Vec<String>) {
    let all = answers.len();
    answers.sort_unstable();
    answers.dedup();
    assert_eq!(answers.len(), all, "{what}: a parent and its children chose alike: {answers:?}");
}

const KEYS: i64 = 256;

/// The replicas that a batch chooses, as digits.
fn batch(router: &mut Router, namespace: NamespaceHandle, policy: Policy) -> String {
    let (keys, mut batch): (Vec<i64>, _) = ((0..KEYS).collect(), Batch::new());
    router.route_batch(namespace, &InSet::new("set", &keys), policy, &mut batch).unwrap();
    (0..KEYS as usize).map(|index| batch.get(index).unwrap().replica.to_string()).collect()
}

/// A batch undid the new beginning that its own look at the map had made: all
/// children then followed one sequence for good.
fn first_batch(host: &Host) {
    let client = host.client(&Cluster::new(3, 3));
    for policy in [Policy::Random, Policy::Any] {
        let mut router = client.router();
        // The handle is the parent's: asking for one would notice the fork.
        let namespace = router.namespace("test").unwrap();
        batch(&mut router, namespace, policy);
        // Three ways of turns are soon used up: what follows the batch tells more.
        let answers = siblings(|| {
            let replicas = batch(&mut router, namespace, policy);
            let replicas = if policy == Policy::Random { replicas.as_str() } else { "" };
            format!("{replicas} {:?}", router.attempt(policy))
        });
        assert_all_differ("after a batch", answers);
    }
}

/// The first choice is drawn before the lookup that notices the fork.
fn first_attempt(host: &Host) {
    let client = host.client(&Cluster::new(3, 3));
    for policy in [Policy::Random, Policy::Any] {
        let mut router = client.router();
        let namespace = router.namespace("test").unwrap();
        router.route(namespace, Partition(0), policy).unwrap();
        assert_all_differ("an attempt", siblings(|| format!("{:?}", router.attempt(policy))));
        // Of a router that has never been used before the fork.
        let mut router = client.router();
        assert_all_differ("a first attempt", siblings(|| format!("{:?}", router.attempt(policy))));
        // The same of starts that belong to no router.
        let mut starts = Starts::new();
        starts.attempt(policy);
        assert_all_differ("starts", siblings(|| format!("{:?}", starts.attempt(policy))));
        let starts = starts.clone();
        assert_all_differ("a clone", siblings(|| format!("{:?}", starts.clone().attempt(policy))));
    }
}

fn first_pin(host: &Host) {
    let client = host.client(&Cluster::new(3, 3));
    for policy in [Policy::Random, Policy::Any] {
        let mut router = client.router();
        let namespace = router.namespace("test").unwrap();
        let answers = siblings(|| {
            let attempt = Attempt::new(Policy::Sequence, 0);
            router.pin(|pinned| pinned.select(namespace, 0, &attempt)).unwrap();
            format!("{:?}", router.attempt(policy))
        });
        assert_all_differ("after a pin", answers);
    }
}
