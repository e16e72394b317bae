//! `tendmap check`.

use std::fs;

use serde_json::{Value, json};
use tendmap::sim::{Sim, SimConfig, SimNamespace, SimUser};

use crate::tool::{Answer, Place, keys};

fn check(place: &Place, hosts: &[String], more: &[&str]) -> Answer {
    let mut args = vec!["check"];
    args.extend(hosts.iter().flat_map(|host| ["--host", host]));
    args.extend(more);
    place.run(&args)
}

fn hosts(sim: &Sim) -> Vec<String> {
    sim.seeds().iter().map(ToString::to_string).collect()
}

fn problems(answer: &Answer) -> Vec<String> {
    let json = answer.json();
    json["problems"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().into()).collect()
}

#[test]
fn a_cluster_that_is_well_is_told_in_full_and_left_alone() {
    let mut config = SimConfig::fast(3);
    config.enterprise = true;
    config.namespaces = vec![SimNamespace::new("test", 2), SimNamespace::strong("ledger", 3)];
    let (place, sim) = (Place::new(), Sim::start(config).unwrap());
    sim.set_rack(2, "test", 7).unwrap();
    let answer = check(&place, &hosts(&sim)[..1], &["--json"]);
    assert_eq!(answer.code(), 0, "{} {}", answer.stdout(), answer.stderr());
    let found = answer.json();
    let names = [
        "would_tend",
        "error",
        "cluster_name",
        "security",
        "hosts",
        "nodes",
        "namespaces",
        "problems",
    ];
    assert_eq!(keys(&found), names);
    assert_eq!((&found["would_tend"], &found["error"]), (&json!(true), &Value::Null));
    assert_eq!((&found["cluster_name"], &found["security"]), (&json!("tend-sim"), &json!(false)));
    let status = sim.status().unwrap();
    let nodes = found["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 3, "one seed leads to all");
    for (node, wanted) in nodes.iter().zip(&status.nodes) {
        assert_eq!(
            (&node["node"], &node["address"]),
            (&json!(wanted.node), &json!(wanted.address))
        );
        assert_eq!(node["build"], "8.1.2.0");
        assert_eq!(node["edition"], "Aerospike Enterprise Edition");
        assert_eq!(node["addresses"][0]["addresses"][0]["node"], wanted.node.as_str());
        let rack = if wanted.number == 2 { 7 } else { 0 };
        assert_eq!(node["racks"], json!({ "test": rack, "ledger": 0 }));
    }
    let (test, ledger) = (&found["namespaces"][0], &found["namespaces"][1]);
    assert_eq!((&test["holes"], &test["replication_factor"]), (&json!(0), &json!(2)));
    assert_eq!(test["racks"][1], json!({ "rack": 7, "nodes": [status.nodes[1].node] }));
    assert_eq!(ledger["strong_consistency"], true);

    let text = check(&place, &hosts(&sim), &[]).stdout();
    for wanted in ["tending would work", "Enterprise", "ledger", "0:2, 7:1", "security      off"] {
        assert!(text.contains(wanted), "no {wanted:?} in {text}");
    }
    let open: usize = sim.status().unwrap().nodes.iter().map(|node| node.connections).sum();
    assert_eq!((open, fs::read_dir(place.path()).unwrap().count()), (0, 0), "nothing is left");
}

#[test]
fn what_is_not_well_is_told_with_code_1() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let mut all = hosts(&sim);
    all.push("127.0.0.1:1".into());
    let answer = check(&place, &all, &["--json"]);
    assert_eq!(answer.code(), 1, "{}", answer.stderr());
    assert_eq!(answer.json()["would_tend"], true);
    let told = problems(&answer);
    assert!(told.len() == 1 && told[0].starts_with("host 127.0.0.1:1 "), "{told:?}");
    assert_eq!(answer.json()["nodes"][0]["edition"], "Aerospike Community Edition");
    assert_eq!(answer.json()["nodes"][0]["racks"], Value::Null, "community servers have none");

    sim.set_extra_hosts(2, &["127.0.0.1:1"]).unwrap();
    let answer = check(&place, &hosts(&sim), &["--json"]);
    assert_eq!(answer.code(), 1);
    let told = problems(&answer);
    let node = &sim.status().unwrap().nodes[1].node;
    let wanted = format!("node {node} reports the address 127.0.0.1:1 ");
    assert!(told.iter().any(|told| told.starts_with(&wanted)), "{told:?}");
    assert!(told.iter().all(|told| told.contains("access-address")), "{told:?}");
    let text = check(&place, &hosts(&sim), &[]).stdout();
    assert!(text.contains("PROBLEM: ") && text.contains("with problems"), "{text}");

    // The address of another node.
    let other = hosts(&sim)[0].clone();
    sim.set_extra_hosts(2, &[&other]).unwrap();
    let told = problems(&check(&place, &hosts(&sim), &["--json"]));
    assert!(told.iter().any(|told| told.contains("answers; check its access-address")), "{told:?}");
}

#[test]
fn what_can_not_be_tended_is_told_with_code_6() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    let nobody = check(&place, &["127.0.0.1:1".into()], &["--json"]);
    assert_eq!(nobody.code(), 6);
    let found = nobody.json();
    assert_eq!((&found["would_tend"], &found["nodes"]), (&json!(false), &json!([])));
    assert!(found["error"].as_str().unwrap().contains("127.0.0.1:1"), "{found}");
    assert!(nobody.stderr().contains("tending would not work: "), "{}", nobody.stderr());
    assert_eq!(found["security"], Value::Null);

    let other = check(&place, &hosts(&sim), &["--cluster-name", "other"]);
    assert_eq!(other.code(), 6);
    assert!(other.stderr().contains("\"tend-sim\", wanted \"other\""), "{}", other.stderr());
    assert!(other.stdout().contains("tending would NOT work"), "{}", other.stdout());

    assert_eq!(check(&place, &[], &[]).code(), 2);
    let bad = check(&place, &hosts(&sim), &["--connect-timeout", "0ms"]);
    assert_eq!(bad.code(), 2);
    assert!(bad.stderr().contains("(set by --connect-timeout)"), "{}", bad.stderr());
}

#[test]
fn a_secured_cluster_is_told_as_such_with_a_login_and_without() {
    let mut config = SimConfig::fast(2);
    config.security = true;
    config.users = vec![SimUser::new("keeper", "s3cret")];
    let (place, sim) = (Place::new(), Sim::start(config).unwrap());
    let stranger = check(&place, &hosts(&sim), &["--json"]);
    assert_eq!(stranger.code(), 6);
    assert_eq!(stranger.json()["security"], true);
    assert!(stranger.stderr().contains("set user and password"), "{}", stranger.stderr());
    let wait = ["--connect-timeout", "5s", "--json", "--user", "keeper", "--password"];
    let wrong = check(&place, &hosts(&sim), &[&wait[..], &["guess"]].concat());
    assert_eq!(wrong.code(), 6, "{}", wrong.stdout());
    assert!(!wrong.stderr().contains("guess") && !wrong.stdout().contains("guess"));
    let good = check(&place, &hosts(&sim), &[&wait[..], &["s3cret"]].concat());
    assert_eq!(good.code(), 0, "{}{}", good.stderr(), good.stdout());
    assert_eq!(
        (&good.json()["security"], &good.json()["would_tend"]),
        (&json!(true), &json!(true))
    );
}
