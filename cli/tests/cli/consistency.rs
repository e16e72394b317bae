//! Strong consistency and many replicas, from the servers through an owner's
//! segment to other processes.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tendmap::client::Reader;
use tendmap::internals::map::Snapshot;
use tendmap::map::{NamespaceName, NodeId};
use tendmap::route::{Partition, Policy, Router};
use tendmap::sim::{Sim, SimConfig, SimNamespace};

use crate::tool::{PATIENCE, Place, reader, wait_until};

const PARTITIONS: usize = 4096;

fn sim(nodes: usize, namespaces: &[SimNamespace]) -> Sim {
    let mut config = SimConfig::fast(nodes);
    config.namespaces = namespaces.to_vec();
    Sim::start(config).unwrap()
}

/// The nodes of every partition, the master first.
fn rows(snapshot: &Snapshot, name: &str) -> Option<Vec<Vec<NodeId>>> {
    let map = &snapshot.map;
    let namespace = map.namespace(&NamespaceName::new(name).unwrap())?;
    let row = |partition| {
        (0..namespace.routable_replicas())
            .map(|replica| {
                let slot = namespace.partitions.holder(partition, replica)?;
                map.nodes.get(slot).map(|node| node.id)
            })
            .collect()
    };
    (0..PARTITIONS).map(row).collect()
}

/// Waits until the cluster is settled and the segment matches its state of a
/// namespace.
fn converge(sim: &Sim, reader: &Reader, name: &str) {
    assert!(sim.settle(PATIENCE), "{:?}", sim.status());
    let truth = sim.owners(name).unwrap();
    wait_until(&format!("the truth of {name}"), || {
        reader.map().is_ok_and(|snapshot| rows(&snapshot, name).as_ref() == Some(&truth))
    });
}

/// Whether a namespace is strongly consistent, with its lowest and highest regime.
fn regimes(reader: &Reader, name: &str) -> (bool, u32, u32) {
    let snapshot = reader.map().unwrap();
    let namespace = snapshot.map.namespace(&NamespaceName::new(name).unwrap()).unwrap();
    let all = (0..PARTITIONS).map(|partition| namespace.partitions.regime(partition));
    (namespace.strong_consistency, all.clone().min().unwrap(), all.max().unwrap())
}

/// The nodes to which the attempts of a command to a partition go, in order.
fn tries(router: &mut Router, namespace: &str, partition: usize, times: usize) -> Vec<NodeId> {
    let namespace = router.namespace(namespace).unwrap();
    let mut attempt = router.attempt(Policy::Sequence);
    (0..times)
        .map(|_| {
            let route = router.route_attempt(namespace, Partition(partition), &attempt).unwrap();
            let (replica, slot, id) = (route.replica(), route.slot(), route.id());
            attempt.fail(replica, slot);
            id
        })
        .collect()
}

#[test]
fn h20_the_mode_of_a_namespace_changes_under_its_readers() {
    let namespaces = [SimNamespace::new("test", 2), SimNamespace::strong("ledger", 2)];
    let (place, sim) = (Place::new(), sim(3, &namespaces));
    let mut owner = place.tend(&sim, &[]);
    let mut follower = place.tend(&sim, &[]);
    let reader = reader(&place);
    let mut router = reader.router();
    for name in ["test", "ledger"] {
        converge(&sim, &reader, name);
    }
    assert_eq!(regimes(&reader, "test"), (false, 0, 0));
    assert_eq!(regimes(&reader, "ledger"), (true, 1, 1));

    // Regimes rise with the membership.
    sim.kill(3).unwrap();
    converge(&sim, &reader, "ledger");
    sim.start_node(3).unwrap();
    converge(&sim, &reader, "ledger");
    wait_until("a higher regime", || regimes(&reader, "ledger").1 > 1);

    // To strong consistency and back, under a new owner.
    sim.set_strong_consistency("test", true).unwrap();
    wait_until("strong consistency", || regimes(&reader, "test") == (true, 1, 1));
    owner.kill();
    follower.until("takeover");
    assert_eq!(regimes(&reader, "test"), (true, 1, 1));
    sim.set_strong_consistency("test", false).unwrap();
    wait_until("availability", || regimes(&reader, "test") == (false, 0, 0));
    // The earlier regimes do not block later claims.
    sim.kill(2).unwrap();
    converge(&sim, &reader, "test");
    converge(&sim, &reader, "ledger");
    let status = place.json(&["status", "--json"]);
    let strong: Vec<&Value> =
        (0..2).map(|i| &status["namespaces"][i]["strong_consistency"]).collect();
    assert_eq!(strong, [&json!(false), &json!(true)]);
    let truth = sim.owners("test").unwrap();
    for partition in [0, 1, 4095] {
        assert_eq!(tries(&mut router, "test", partition, 2), truth[partition]);
    }
}

#[test]
fn h21_a_rebuilt_namespace_is_accepted_also_by_an_owner_that_inherited_its_regimes() {
    let (place, sim) = (Place::new(), sim(3, &[SimNamespace::strong("ledger", 2)]));
    let mut owner = place.tend(&sim, &[]);
    let mut follower = place.tend(&sim, &[]);
    let reader = reader(&place);
    sim.set_regime("ledger", 50).unwrap();
    wait_until("the regime", || regimes(&reader, "ledger") == (true, 50, 50));

    sim.rebuild_namespace("ledger").unwrap();
    wait_until("the new regime", || regimes(&reader, "ledger") == (true, 1, 1));
    sim.set_regime("ledger", 70).unwrap();
    wait_until("the regime", || regimes(&reader, "ledger") == (true, 70, 70));
    owner.kill();
    sim.rebuild_namespace("ledger").unwrap();
    sim.kill(3).unwrap();
    follower.until("takeover");
    converge(&sim, &reader, "ledger");
    let (strong, _, highest) = regimes(&reader, "ledger");
    assert!(strong && highest < 10, "regime {highest}");
    wait_until("an owner that is well", || place.run(&["status"]).code() == 0);
}

#[test]
fn every_replica_of_a_wide_namespace_is_routable_while_their_number_changes() {
    let (place, sim) = (Place::new(), sim(7, &[SimNamespace::new("wide", 5)]));
    let _owner = place.tend(&sim, &["--shm-max-replicas", "7"]);
    let _follower = place.tend(&sim, &[]);
    let reader = reader(&place);
    let mut router = reader.router();
    for replicas in [5, 2, 7, 1, 4] {
        sim.set_replication_factor("wide", replicas).unwrap();
        converge(&sim, &reader, "wide");
        let truth = sim.owners("wide").unwrap();
        for partition in [0, 77, 4095] {
            let seen = tries(&mut router, "wide", partition, replicas);
            assert_eq!(seen, truth[partition], "{replicas} replicas, partition {partition}");
            assert_eq!(seen.iter().collect::<BTreeSet<_>>().len(), replicas);
        }
        let status = place.json(&["status", "--json"]);
        assert_eq!(status["namespaces"][0]["routable_replicas"], replicas);
        assert_eq!(status["remarks"], json!([]));
    }
    let routed = place.json(&["route", "--json", "--namespace", "wide", "--int", "1"]);
    assert_eq!(routed["replicas"].as_array().unwrap().len(), 4);
}

#[test]
fn h71_a_segment_is_replaced_by_one_with_room_for_more_replicas() {
    let (place, sim) = (Place::new(), sim(5, &[SimNamespace::new("wide", 3)]));
    let mut owner = place.tend(&sim, &["--shm-max-replicas", "1"]);
    let reader = reader(&place);
    converge(&sim, &reader, "wide");
    for replicas in [5, 2, 4] {
        sim.set_replication_factor("wide", replicas).unwrap();
        converge(&sim, &reader, "wide");
    }
    // From 1 to 3 with the first map, before it had connected.
    assert_eq!(owner.until("grown")["max_replicas"], 6);
    let status = place.json(&["status", "--json"]);
    assert_eq!((&status["max_replicas"], &status["generation"]), (&json!(6), &json!(3)));
    assert_eq!(status["namespaces"][0]["routable_replicas"], 4);
    assert_eq!(status["remarks"], json!([]));
    // An existing router continues.
    let mut router = reader.router();
    assert_eq!(tries(&mut router, "wide", 77, 4), sim.owners("wide").unwrap()[77]);
}
