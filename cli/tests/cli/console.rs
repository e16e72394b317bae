//! `tendmap sim`.

use serde_json::json;
use tendmap::sim::{Sim, SimConfig};

use crate::tool::{Place, Running, wait_until};

#[test]
fn sim_tells_its_seeds_obeys_and_ends_with_its_input() {
    let place = Place::new();
    let mut sim = Running::start(&mut place.command(&[
        "sim",
        "--nodes",
        "3",
        "--namespace",
        "one:1",
        "--namespace",
        "two:2",
        "--cluster-name",
        "mine",
    ]));
    let greeting = sim.next();
    let seeds = greeting["seeds"].as_array().unwrap().clone();
    assert_eq!(seeds.len(), 3);
    assert_eq!(greeting["cluster_name"], "mine");

    let host = seeds[0].as_str().unwrap();
    let args = ["tend", "--json", "--tend-interval", "100ms", "--cluster-name", "mine", "--host"];
    let mut tend = Running::start(&mut place.command(&[&args[..], &[host]].concat()));
    tend.until("connected");
    let map = place.json(&["map", "--json"]);
    assert_eq!(map["namespaces"]["one"]["replication_factor"], 1);
    assert_eq!(map["namespaces"]["two"]["replication_factor"], 2);

    assert_eq!(sim.ask("add"), json!({ "ok": true, "number": 4 }));
    tend.until("node_added");
    for command in ["freeze 2", "thaw 2", "kill 2", "start 2", "move 3 0", "remove 4"] {
        let answer = sim.ask(command);
        assert_eq!(answer["ok"], true, "{command}: {answer}");
    }
    assert_eq!(sim.ask("status")["nodes"].as_array().unwrap().len(), 3);
    assert_eq!(sim.ask("kill 9")["ok"], false);
    assert_eq!(sim.ask("dance")["ok"], false);

    drop(sim.input.take());
    assert_eq!(sim.end(), 0);
    tend.until("tend_failed");
}

#[test]
fn sim_listens_where_it_is_told() {
    // A block of free ports can't be reserved, so several are tried.
    let sim = (0..20).find_map(|turn| {
        let base = 21_000 + 50 * (std::process::id() % 200) as u16 + turn * 2;
        let mut config = SimConfig::fast(2);
        config.base_port = base;
        drop(Sim::start(config).ok()?);
        let place = Place::new();
        let base_port = base.to_string();
        let mut sim =
            Running::start(&mut place.command(&["sim", "--nodes", "2", "--base-port", &base_port]));
        Some((base, sim.next()))
    });
    let (base, greeting) = sim.expect("two free ports");
    let wanted = [base, base + 1].map(|port| format!("127.0.0.1:{port}"));
    assert_eq!(greeting["seeds"], json!(wanted));
}

#[test]
fn workers_of_a_demo_end_with_their_parent() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let host = format!("--host={}", sim.seeds()[0]);
    let mut worker = Running::start(&mut place.command(&["worker", &host]));
    assert_eq!(worker.next()["kind"], "owner");
    wait_until("a report", || worker.next()["lookups"].as_u64().unwrap_or(0) > 0);
    // The same happens when the parent dies.
    drop(worker.input.take());
    assert_eq!(worker.end(), 0);
}

#[test]
fn sim_listens_at_the_ipv6_loopback() {
    if let Err(error) = std::net::TcpListener::bind("[::1]:0") {
        tendmap_testkit::skipped(&format!("this machine has no IPv6 loopback: {error}"));
        return;
    }
    let place = Place::new();
    let mut sim = Running::start(&mut place.command(&["sim", "--nodes", "2", "--ipv6"]));
    let greeting = sim.next();
    let seeds: Vec<&str> =
        greeting["seeds"].as_array().unwrap().iter().map(|seed| seed.as_str().unwrap()).collect();
    assert!(seeds.iter().all(|seed| seed.starts_with("[::1]:")), "{seeds:?}");
    let mut tend = Running::start(&mut place.command(&["tend", "--json", "--host", seeds[0]]));
    tend.until("connected");
    assert_eq!(place.json(&["map", "--json"])["nodes"].as_array().unwrap().len(), 2);
}
