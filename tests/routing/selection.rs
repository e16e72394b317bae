//! Which replica is chosen, under every policy.

use proptest::prelude::*;
use tendmap::internals::route::{ReplicaRotation, select};
use tendmap::map::Slot;
use tendmap::route::{Attempt, Policy, ReadMode};

const POLICIES: [Policy; 5] =
    [Policy::Master, Policy::Sequence, Policy::Any, Policy::Random, Policy::PreferRack];

/// The nodes of up to 128 replicas, some of them absent.
fn replicas() -> impl Strategy<Value = Vec<Option<Slot>>> {
    let slot = (0..Slot::LIMIT).prop_map(|index| Slot::new(index).expect("below the limit"));
    prop::collection::vec(prop::option::of(slot), 0..=128)
}

fn everywhere(replica: usize) -> Option<Slot> {
    Slot::new(replica)
}

fn nowhere(_: Slot) -> Option<usize> {
    None
}

fn policies() -> impl Strategy<Value = Policy> {
    prop::sample::select(&POLICIES)
}

proptest! {
    #[test]
    fn an_absent_node_is_never_chosen(policy in policies(), start: u32, nodes in replicas()) {
        match select(&Attempt::new(policy, start), nodes.len(), |replica| nodes[replica], nowhere) {
            Some((replica, slot)) => prop_assert_eq!(nodes[replica], Some(slot)),
            None if policy == Policy::Master => prop_assert_eq!(nodes.first().copied().flatten(), None),
            None => prop_assert!(nodes.iter().all(Option::is_none)),
        }
    }

    #[test]
    fn the_first_present_from_the_start_on_is_chosen(start: u32, nodes in replicas()) {
        let chosen = select(&Attempt::new(Policy::Sequence, start), nodes.len(), |r| nodes[r], nowhere);
        let order = (0..nodes.len()).map(|i| (start as usize + i) % nodes.len());
        let expected = order.filter_map(|r| Some((r, nodes[r]?))).next();
        prop_assert_eq!(chosen, expected);
    }

    #[test]
    fn master_is_replica_0_or_none_on_every_try(nodes in replicas(), start: u32, retries in 0..4) {
        let mut attempt = Attempt::new(Policy::Master, start);
        for _ in 0..=retries {
            let chosen = select(&attempt, nodes.len(), |replica| nodes[replica], nowhere);
            let master = nodes.first().copied().flatten();
            prop_assert_eq!(chosen, master.map(|slot| (0, slot)));
            let Some((replica, slot)) = chosen else { break };
            attempt.fail(replica, slot);
        }
    }

    #[test]
    fn retries_reach_every_node_that_is_there(
        policy in policies().prop_filter("has retries elsewhere", |&p| p != Policy::Master),
        seed: u64,
        nodes in replicas(),
    ) {
        let mut attempt = ReplicaRotation::with_seed(seed).attempt(policy);
        let present = nodes.iter().flatten().count();
        let mut reached = Vec::new();
        for _ in 0..present {
            let chosen = select(&attempt, nodes.len(), |replica| nodes[replica], nowhere);
            let (replica, slot) = chosen.expect("a node is there");
            reached.push((replica, slot));
            attempt.fail(replica, slot);
            prop_assert_eq!(attempt.failed_node(), Some(slot));
        }
        reached.sort_unstable();
        let mut all: Vec<_> = (0..).zip(&nodes).filter_map(|(r, &n)| Some((r, n?))).collect();
        if policy == Policy::PreferRack {
            // A failed node is not tried again as the next replica, which it may also
            // be during a migration.
            for replicas in [&mut reached, &mut all] {
                replicas.sort_unstable_by_key(|&(_, slot)| slot);
                replicas.dedup_by_key(|&mut (_, slot)| slot);
                replicas.iter_mut().for_each(|(replica, _)| *replica = 0);
            }
        }
        prop_assert_eq!(reached, all);
    }

    #[test]
    fn a_shrunken_replication_factor_is_no_error_on_retry(before in 1..64usize, after in 1..64usize) {
        let mut attempt = Attempt::new(Policy::Sequence, before as u32 - 1);
        let (replica, slot) = select(&attempt, before, everywhere, nowhere).expect("all are there");
        attempt.fail(replica, slot);
        let (replica, _) = select(&attempt, after, everywhere, nowhere).expect("all are there");
        prop_assert_eq!(replica, before % after);
    }

    #[test]
    fn any_gives_each_replica_exactly_its_turn(seed: u64, rf in 1..=22usize) {
        const ROUNDS: usize = 50;
        let mut starts = ReplicaRotation::with_seed(seed);
        let mut counts = vec![0; rf];
        for _ in 0..ROUNDS * rf {
            counts[choice(&mut starts, Policy::Any, rf)] += 1;
        }
        prop_assert_eq!(counts, vec![ROUNDS; rf]);
    }
}

fn choice(starts: &mut ReplicaRotation, policy: Policy, rf: usize) -> usize {
    select(&starts.attempt(policy), rf, everywhere, nowhere).expect("all are there").0
}

#[test]
fn sequence_starts_at_the_master_every_time() {
    let mut starts = ReplicaRotation::new();
    assert!((0..100).all(|_| choice(&mut starts, Policy::Sequence, 3) == 0));
}

#[test]
fn random_favours_no_replica() {
    const EACH: usize = 20_000;
    for rf in [1, 2, 3, 5, 7, 16] {
        let mut starts = ReplicaRotation::with_seed(7);
        let mut counts = vec![0usize; rf];
        for _ in 0..EACH * rf {
            counts[choice(&mut starts, Policy::Random, rf)] += 1;
        }
        // The standard deviation is below sqrt(EACH) = 141; ten of them.
        assert!(counts.iter().all(|count| count.abs_diff(EACH) < 1_414), "RF {rf}: {counts:?}");
    }
}

#[test]
fn random_is_not_a_rotation() {
    let mut starts = ReplicaRotation::with_seed(7);
    let turns = (0..1_000).map(|_| choice(&mut starts, Policy::Random, 2)).collect::<Vec<_>>();
    let repeats = turns.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!((300..700).contains(&repeats), "{repeats} repeats in 999");
}

#[test]
fn a_namespace_without_replicas_has_no_node() {
    for policy in POLICIES {
        assert_eq!(select(&Attempt::new(policy, 0), 0, everywhere, nowhere), None);
    }
}

/// The definition, word by word: for each preferred rack in order, the replicas from
/// the index on, a node in that rack other than the failed one; otherwise the first
/// node that exists and did not fail; otherwise the failed one; otherwise none.
fn by_the_letter(
    start: usize,
    failed: Option<Slot>,
    nodes: &[Option<Slot>],
    racks: usize,
    rank: impl Fn(Slot) -> Option<usize>,
) -> Option<(usize, Slot)> {
    let order: Vec<(usize, Slot)> = (0..nodes.len())
        .map(|i| (start + i) % nodes.len())
        .filter_map(|replica| Some((replica, nodes[replica]?)))
        .collect();
    for rack in 0..racks {
        for &(replica, slot) in &order {
            if rank(slot) == Some(rack) && failed != Some(slot) {
                return Some((replica, slot));
            }
        }
    }
    let sound = order.iter().find(|(_, slot)| failed != Some(*slot));
    sound.or(order.first()).copied()
}

proptest! {
    #[test]
    fn prefer_rack_keeps_to_the_letter_of_the_rule(
        start in 0usize..9,
        failed in prop::option::of(0usize..6),
        nodes in prop::collection::vec(prop::option::of(0usize..6), 1..9),
        ranks in prop::collection::vec(prop::option::of(0usize..3), 6),
    ) {
        let nodes: Vec<_> = nodes.into_iter().map(|node| node.and_then(Slot::new)).collect();
        let failed = failed.and_then(Slot::new);
        let rank = |slot: Slot| ranks[slot.index()];
        let mut attempt = Attempt::new(Policy::PreferRack, start as u32);
        if let Some(failed) = failed {
            attempt.fail((start + nodes.len() * 9 - 1) % nodes.len(), failed);
        }
        let chosen = select(&attempt, nodes.len(), |replica| nodes[replica], rank);
        prop_assert_eq!(chosen, by_the_letter(start, failed, &nodes, 3, rank));
    }

    #[test]
    fn only_strong_consistency_changes_a_policy(policy in policies(), mode in prop::sample::select(vec![
        ReadMode::Session, ReadMode::Linearize, ReadMode::AllowReplica, ReadMode::AllowUnavailable,
    ])) {
        prop_assert_eq!(policy.for_read(mode, false), policy);
        let wanted = match mode {
            ReadMode::Session => Policy::Master,
            ReadMode::Linearize if policy == Policy::PreferRack => Policy::Sequence,
            _ => policy,
        };
        prop_assert_eq!(policy.for_read(mode, true), wanted);
    }
}
