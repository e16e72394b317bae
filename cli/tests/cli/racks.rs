//! Racks, from the servers through an owner's segment to other processes.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tendmap::client::Reader;
use tendmap::map::NamespaceName;
use tendmap::route::{Batch, Digest, Partition, Policy};
use tendmap::sim::{Sim, SimConfig, SimNamespace};

use crate::tool::{PATIENCE, Place, reader, wait_until};

fn sim(nodes: usize, enterprise: bool) -> Sim {
    let mut config = SimConfig::fast(nodes);
    config.enterprise = enterprise;
    config.namespaces = vec![SimNamespace::new("test", 2), SimNamespace::strong("ledger", 2)];
    Sim::start(config).unwrap()
}

/// The rack of each node by its id, as a reader sees it.
fn racks(reader: &Reader, namespace: &str) -> BTreeMap<String, Option<i32>> {
    let map = reader.map().unwrap().map;
    let Some(namespace) = map.namespace(&NamespaceName::new(namespace).unwrap()) else {
        return BTreeMap::new();
    };
    map.nodes.iter().map(|(slot, node)| (node.id.to_string(), namespace.rack(slot))).collect()
}

/// The expected racks, from those by node number.
fn wanted(sim: &Sim, racks: &[Option<i32>]) -> BTreeMap<String, Option<i32>> {
    let nodes = sim.status().unwrap().nodes;
    nodes.into_iter().map(|node| node.node).zip(racks.iter().copied()).collect()
}

fn until(sim: &Sim, reader: &Reader, namespace: &str, wanted_racks: &[Option<i32>]) {
    let wanted = wanted(sim, wanted_racks);
    wait_until(&format!("racks of {namespace}"), || racks(reader, namespace) == wanted);
}

#[test]
fn h34_racks_of_every_node_and_namespace_are_published_and_follow_the_servers() {
    let (place, sim) = (Place::new(), sim(3, true));
    for (number, rack) in [(1, 10), (2, 20), (3, -3)] {
        sim.set_rack(number, "test", rack).unwrap();
    }
    let mut owner = place.tend(&sim, &[]);
    let mut follower = place.tend(&sim, &[]);
    let reader = reader(&place);
    until(&sim, &reader, "test", &[Some(10), Some(20), Some(-3)]);
    until(&sim, &reader, "ledger", &[Some(0), Some(0), Some(0)]);
    // The first map already has the racks, so that no process routes without them.
    assert_eq!(reader.map().unwrap().sequence, 1);

    let map = place.json(&["map", "--json"]);
    let ids: Vec<String> = sim.status().unwrap().nodes.into_iter().map(|node| node.node).collect();
    let listed = json!([
        { "rack": -3, "nodes": [ids[2]] },
        { "rack": 10, "nodes": [ids[0]] },
        { "rack": 20, "nodes": [ids[1]] },
    ]);
    assert_eq!(map["namespaces"]["test"]["racks"], listed);
    assert!(place.run(&["map"]).stdout().contains(&format!("rack -3: {}\n", ids[2])));

    // They change at run time, also under the next owner.
    sim.set_rack(2, "test", 10).unwrap();
    sim.set_rack(2, "ledger", i32::MIN).unwrap();
    until(&sim, &reader, "test", &[Some(10), Some(10), Some(-3)]);
    until(&sim, &reader, "ledger", &[Some(0), Some(i32::MIN), Some(0)]);
    owner.kill();
    follower.until("takeover");
    until(&sim, &reader, "test", &[Some(10), Some(10), Some(-3)]);
    sim.set_rack(1, "test", i32::MAX).unwrap();
    until(&sim, &reader, "test", &[Some(i32::MAX), Some(10), Some(-3)]);

    // A node that leaves removes its rack; a node that joins adds its own.
    sim.remove(3).unwrap();
    let number = sim.add().unwrap();
    sim.set_rack(number, "test", 30).unwrap();
    assert!(sim.settle(PATIENCE));
    until(&sim, &reader, "test", &[Some(i32::MAX), Some(10), Some(30)]);
}

#[test]
fn a_read_goes_to_the_preferred_racks_in_their_order_and_they_change_at_run_time() {
    let (place, sim) = (Place::new(), sim(3, true));
    for number in 1..=3 {
        sim.set_rack(number, "test", number as i32 * 10).unwrap();
    }
    let _owner = place.tend(&sim, &[]);
    let reader = reader(&place);
    let racks = [Some(10), Some(20), Some(30)];
    until(&sim, &reader, "test", &racks);
    let nodes = sim.status().unwrap().nodes;
    let owners = sim.owners("test").unwrap();
    let mut router = reader.router();
    let test = router.namespace("test").unwrap();
    // The first preferred rack that holds a replica; without one, the master.
    let wanted = |preferred: &[usize], partition: usize| {
        let ids = preferred.iter().map(|number| nodes[number - 1].node.as_str());
        let row = &owners[partition];
        let held = ids.into_iter().find(|id| row.iter().any(|it| it.as_str() == *id));
        held.unwrap_or(row[0].as_str()).to_owned()
    };
    let digests: Vec<Digest> = (0..200_i64).map(|key| Digest::of("s", key)).collect();
    let prefer = router.attempt(Policy::PreferRack);
    for preferred in [&[2][..], &[3, 1], &[1, 2, 3], &[]] {
        let ids: Vec<i32> = preferred.iter().map(|&number| number as i32 * 10).collect();
        reader.set_preferred_racks(&ids);
        for partition in 0..4096 {
            let route = router.route(test, Partition(partition), Policy::PreferRack).unwrap();
            assert_eq!(route.id().as_str(), wanted(preferred, partition), "{preferred:?}");
        }
        // The same in a batch of lookups, which has no attempt number.
        let mut pinning = reader.router();
        let pinned = pinning.namespace("test").unwrap();
        reader.set_preferred_racks(&[]);
        pinning.pin(|all| all.select(pinned, 0, &prefer)).unwrap();
        reader.set_preferred_racks(&ids);
        let (_, slot) = pinning.pin(|all| all.select(pinned, 0, &prefer)).unwrap().unwrap();
        assert_eq!(pinning.node(slot).unwrap().id.as_str(), wanted(preferred, 0), "{preferred:?}");
        // The same if a batch is the first call of a router.
        let mut fresh = reader.router();
        let (test, mut batch) = (fresh.namespace("test").unwrap(), Batch::new());
        fresh.route_batch(test, digests.as_slice(), Policy::PreferRack, &mut batch).unwrap();
        for (index, slot) in batch.slots().enumerate() {
            let found = fresh.node(slot.unwrap()).unwrap().id;
            assert_eq!(
                found.as_str(),
                wanted(preferred, digests[index].partition(4096)),
                "{preferred:?}"
            );
        }
    }
    // A router with racks of its own uses these, whatever the reader's racks are.
    router.set_preferred_racks(&[30]);
    reader.set_preferred_racks(&[10]);
    let routed = router.route(test, Partition(0), Policy::PreferRack).unwrap().id();
    assert_eq!(routed.as_str(), wanted(&[3], 0));

    // The servers change a rack. The router sees it.
    sim.set_rack(1, "test", 30).unwrap();
    sim.set_rack(3, "test", 10).unwrap();
    until(&sim, &reader, "test", &[Some(30), Some(20), Some(10)]);
    for partition in 0..4096 {
        let route = router.route(test, Partition(partition), Policy::PreferRack).unwrap();
        assert_eq!(route.id().as_str(), wanted(&[1], partition));
    }

    let route = ["route", "--json", "--namespace", "test", "--int", "7"];
    let partition = place.json(&route)["partition"].as_u64().unwrap() as usize;
    assert!(place.json(&route).get("preferred").is_none());
    let preferring = [&route[..], &["--preferred-racks", "20", "--prefer-rack", "10"]].concat();
    assert_eq!(place.json(&preferring)["preferred"]["node"], wanted(&[2, 3], partition));
    let file = place.path().join("racks.toml");
    std::fs::write(&file, "preferred-racks = [20, 10]\n").unwrap();
    let from_file = [&route[..], &["--config", file.to_str().unwrap()]].concat();
    assert_eq!(place.json(&from_file)["preferred"]["node"], wanted(&[2, 3], partition));
}

#[test]
fn h35_a_community_cluster_has_no_racks_and_that_is_no_failure() {
    let (place, sim) = (Place::new(), sim(2, false));
    let mut owner = place.tend(&sim, &[]);
    let reader = reader(&place);
    let before = place.json(&["status", "--json"])["tends"].as_u64().unwrap();
    wait_until("some passes", || {
        place.json(&["status", "--json"])["tends"].as_u64().unwrap() > before + 3
    });
    assert_eq!(racks(&reader, "test"), wanted(&sim, &[None, None]));
    assert_eq!(place.json(&["map", "--json"])["namespaces"]["test"]["racks"], json!([]));
    let status = place.json(&["status", "--json"]);
    assert_eq!((&status["tend_errors"], &status["healthy"]), (&json!(0), &json!(true)));
    assert_eq!(owner.interrupt(), 0);
    let bad: Vec<&Value> = owner.heard.iter().filter(|told| told["event"] == "bad_reply").collect();
    assert_eq!(bad, [] as [&Value; 0]);
}

#[test]
fn the_console_and_the_flags_of_sim_give_a_cluster_racks() {
    let place = Place::new();
    let flags = ["sim", "--nodes", "2", "--enterprise", "--namespace", "ledger:2:strong"];
    let mut sim = crate::tool::Running::start(&mut place.command(&flags));
    let host = sim.next()["seeds"][0].as_str().unwrap().to_owned();
    assert_eq!(sim.ask("rack 2 ledger 5")["ok"], true);
    assert_eq!(sim.ask("rack 2 nope 5")["ok"], false);
    let found = place.json(&["check", "--json", "--host", &host]);
    let ledger = &found["namespaces"][0];
    assert_eq!((&ledger["name"], &ledger["strong_consistency"]), (&json!("ledger"), &json!(true)));
    assert_eq!(ledger["racks"][1]["rack"], 5);
}
