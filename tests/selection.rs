//! Which replica a command goes to, under every policy.

use proptest::prelude::*;
use tendmap::map::Slot;
use tendmap::route::{Attempt, Policy, Starts, select};

const POLICIES: [Policy; 4] = [Policy::Master, Policy::Sequence, Policy::Any, Policy::Random];

/// The nodes of up to 128 replicas, some of them absent.
fn replicas() -> impl Strategy<Value = Vec<Option<Slot>>> {
    let slot = (0..Slot::LIMIT).prop_map(|index| Slot::new(index).expect("below the limit"));
    prop::collection::vec(prop::option::of(slot), 0..=128)
}

fn everywhere(replica: usize) -> Option<Slot> {
    Slot::new(replica)
}

fn policies() -> impl Strategy<Value = Policy> {
    prop::sample::select(&POLICIES)
}

proptest! {
    #[test]
    fn an_absent_node_is_never_chosen(policy in policies(), start: u32, nodes in replicas()) {
        match select(&Attempt::new(policy, start), nodes.len(), |replica| nodes[replica]) {
            Some((replica, slot)) => prop_assert_eq!(nodes[replica], Some(slot)),
            None if policy == Policy::Master => prop_assert_eq!(nodes.first().copied().flatten(), None),
            None => prop_assert!(nodes.iter().all(Option::is_none)),
        }
    }

    #[test]
    fn the_first_present_from_the_start_on_is_chosen(start: u32, nodes in replicas()) {
        let chosen = select(&Attempt::new(Policy::Sequence, start), nodes.len(), |r| nodes[r]);
        let order = (0..nodes.len()).map(|i| (start as usize + i) % nodes.len());
        let expected = order.filter_map(|r| Some((r, nodes[r]?))).next();
        prop_assert_eq!(chosen, expected);
    }

    #[test]
    fn master_is_replica_0_or_none_on_every_try(nodes in replicas(), start: u32, retries in 0..4) {
        let mut attempt = Attempt::new(Policy::Master, start);
        for _ in 0..=retries {
            let chosen = select(&attempt, nodes.len(), |replica| nodes[replica]);
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
        let mut attempt = Starts::with_seed(seed).attempt(policy);
        let present = nodes.iter().flatten().count();
        let mut reached = Vec::new();
        for _ in 0..present {
            let chosen = select(&attempt, nodes.len(), |replica| nodes[replica]);
            let (replica, slot) = chosen.expect("a node is there");
            reached.push(replica);
            attempt.fail(replica, slot);
            prop_assert_eq!(attempt.failed_node(), Some(slot));
        }
        reached.sort_unstable();
        let all: Vec<usize> = (0..nodes.len()).filter(|&r| nodes[r].is_some()).collect();
        prop_assert_eq!(reached, all);
    }

    #[test]
    fn a_shrunken_replication_factor_is_no_error_on_retry(before in 1..64usize, after in 1..64usize) {
        let mut attempt = Attempt::new(Policy::Sequence, before as u32 - 1);
        let (replica, slot) = select(&attempt, before, everywhere).expect("all are there");
        attempt.fail(replica, slot);
        let (replica, _) = select(&attempt, after, everywhere).expect("all are there");
        prop_assert_eq!(replica, before % after);
    }

    #[test]
    fn any_gives_each_replica_exactly_its_turn(seed: u64, rf in 1..=22usize) {
        const ROUNDS: usize = 50;
        let mut starts = Starts::with_seed(seed);
        let mut counts = vec![0; rf];
        for _ in 0..ROUNDS * rf {
            counts[choice(&mut starts, Policy::Any, rf)] += 1;
        }
        prop_assert_eq!(counts, vec![ROUNDS; rf]);
    }
}

fn choice(starts: &mut Starts, policy: Policy, rf: usize) -> usize {
    select(&starts.attempt(policy), rf, everywhere).expect("all are there").0
}

#[test]
fn sequence_starts_at_the_master_every_time() {
    let mut starts = Starts::new();
    assert!((0..100).all(|_| choice(&mut starts, Policy::Sequence, 3) == 0));
}

#[test]
fn random_favours_no_replica() {
    const EACH: usize = 20_000;
    for rf in [1, 2, 3, 5, 7, 16] {
        let mut starts = Starts::with_seed(7);
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
    let mut starts = Starts::with_seed(7);
    let turns = (0..1_000).map(|_| choice(&mut starts, Policy::Random, 2)).collect::<Vec<_>>();
    let repeats = turns.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!((300..700).contains(&repeats), "{repeats} repeats in 999");
}

#[test]
fn a_namespace_without_replicas_has_no_node() {
    for policy in POLICIES {
        assert_eq!(select(&Attempt::new(policy, 0), 0, everywhere), None);
    }
}
