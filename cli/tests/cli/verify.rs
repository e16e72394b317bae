//! `tendmap verify`.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tendmap::map::NodeId;
use tendmap::sim::{Sim, SimConfig, SimNamespace, SimUser};

use crate::tool::{Answer, Place, Running, keys, wait_until};
use tendmap_testkit::authority::{Authority, NAME};

const SETTLED: Duration = Duration::from_secs(20);

fn verify(place: &Place, sim: &Sim, more: &[&str]) -> Answer {
    let hosts: Vec<String> = sim.seeds().iter().map(ToString::to_string).collect();
    place.run(&[&["verify", "--hosts", &hosts.join(",")], more].concat())
}

/// The differing partitions of namespace `test`, by replica.
fn differing(json: &Value) -> BTreeSet<(u64, u64)> {
    let groups = json["differences"].as_array().unwrap().iter();
    let groups = groups.filter(|group| group["namespace"] == "test");
    let of = |group: &Value| -> Vec<(u64, u64)> {
        let partitions = group["partitions"].as_array().unwrap();
        assert_eq!(group["count"], partitions.len());
        let replica = group["replica"].as_u64().unwrap();
        partitions.iter().map(|it| (replica, it.as_u64().unwrap())).collect()
    };
    groups.flat_map(of).collect()
}

/// The replicas of partitions whose holders differ.
fn changed(before: &[Vec<NodeId>], after: &[Vec<NodeId>]) -> BTreeSet<(u64, u64)> {
    let mut changed = BTreeSet::new();
    for (partition, (before, after)) in before.iter().zip(after).enumerate() {
        for replica in (0..2).filter(|&replica| before.get(replica) != after.get(replica)) {
            changed.insert((replica as u64, partition as u64));
        }
    }
    changed
}

#[test]
fn a_map_that_agrees_with_every_node_is_0_and_nothing_is_written() {
    let mut config = SimConfig::fast(3);
    config.namespaces = vec![SimNamespace::new("test", 2), SimNamespace::strong("ledger", 3)];
    let (place, sim) = (Place::new(), Sim::start(config).unwrap());
    let missing = verify(&place, &sim, &[]);
    assert_eq!(missing.code(), 3, "{}", missing.stderr());
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "nothing is created");
    let mut owner = place.tend(&sim, &[]);
    let answer = verify(&place, &sim, &["--json"]);
    assert_eq!(answer.code(), 0, "{}{}", answer.stdout(), answer.stderr());
    let found = answer.json();
    let names = [
        "agrees",
        "key",
        "cluster_name",
        "sequence",
        "tended_age_ms",
        "nodes",
        "namespaces",
        "differences",
        "groups_left_out",
        "holes",
        "problems",
        "moving",
    ];
    assert_eq!(keys(&found), names);
    assert_eq!((&found["agrees"], &found["cluster_name"]), (&json!(true), &json!("tend-sim")));
    let wanted = json!([
        { "name": "test", "compared": 8192, "differences": 0, "unverified": 0, "holes": 0 },
        { "name": "ledger", "compared": 12_288, "differences": 0, "unverified": 0, "holes": 0 },
    ]);
    assert_eq!(found["namespaces"], wanted);
    let nodes = found["nodes"].as_array().unwrap();
    let answers = |node: &Value| node["in_map"] == true && node["in_cluster"] == true;
    assert!(nodes.len() == 3 && nodes.iter().all(answers), "{nodes:?}");
    let text = verify(&place, &sim, &[]).stdout();
    assert!(text.contains("3 of 3 nodes answered") && text.ends_with("agrees with the cluster\n"));
    // One seed leads to all nodes, and no connection is left.
    let seed = sim.seeds()[0].to_string();
    assert_eq!(place.json(&["verify", "--json", "--hosts", &seed])["nodes"], found["nodes"]);
    assert_eq!(place.json(&["status", "--json"])["attached"], 1);
    assert_eq!(owner.interrupt(), 0);
    wait_until("no connections", || {
        sim.status().unwrap().nodes.iter().all(|node| node.connections == 0)
    });
}

#[test]
fn h147_a_map_that_stays_behind_is_1_with_the_partitions_that_moved() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(3)).unwrap());
    let owner = place.tend(&sim, &[]);
    assert!(sim.settle(SETTLED));
    assert_eq!(verify(&place, &sim, &[]).code(), 0);
    let before = sim.owners("test").unwrap();
    owner.signal(Signal::STOP);
    let added = sim.add().unwrap();
    assert!(sim.settle(SETTLED));
    let after = sim.owners("test").unwrap();
    let answer = verify(&place, &sim, &["--json"]);
    assert_eq!(answer.code(), 1, "{}", answer.stderr());
    let found = answer.json();
    assert_eq!(differing(&found), changed(&before, &after));
    assert!(!differing(&found).is_empty());
    assert_eq!((&found["moving"], &found["agrees"]), (&json!(0), &json!(false)));
    let newcomer = sim.status().unwrap().nodes[added - 1].node.clone();
    let problems = found["problems"].to_string();
    assert!(problems.contains(&format!("{newcomer} at ")), "{problems}");
    assert!(problems.contains("is in the cluster, and not in the map"), "{problems}");
    let text = verify(&place, &sim, &[]);
    let text = text.stdout().split_whitespace().collect::<Vec<_>>().join(" ");
    let holder = before[differing(&found).first().unwrap().1 as usize][0];
    assert!(text.contains(&format!("test master {holder} {newcomer} ")), "{text}");
    assert!(text.ends_with("the map and the cluster DIFFER"), "{text}");
    // The owner goes on, and catches up.
    owner.signal(Signal::CONT);
    wait_until("the map agrees", || verify(&place, &sim, &[]).code() == 0);
}

#[test]
fn h148_a_rebalance_that_goes_on_is_no_difference() {
    let mut config = SimConfig::fast(4);
    config.timings.migration = Duration::from_millis(1500);
    let (place, sim) = (Place::new(), Sim::start(config).unwrap());
    let _owner = place.tend(&sim, &[]);
    for round in 0..2 {
        sim.add().unwrap();
        if round > 0 {
            sim.kill(2).unwrap();
        }
        let mut looks = 0;
        while looks < 3 || !sim.settle(Duration::ZERO) {
            let answer = verify(&place, &sim, &["--json"]);
            assert_eq!(answer.code(), 0, "{}", answer.stdout());
            looks += 1;
        }
    }
}

#[test]
fn a_node_that_does_not_answer_is_1_and_named() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(3)).unwrap());
    let mut owner = place.tend(&sim, &[]);
    owner.kill();
    let node = sim.status().unwrap().nodes[1].node.clone();
    // Its reply is not one of a node, and the others still list it.
    sim.set_reply(2, "replicas", Some("ERROR:4:broken")).unwrap();
    let answer = verify(&place, &sim, &["--json"]);
    let found = answer.json();
    assert_eq!(answer.code(), 1, "{found}");
    let problems = found["problems"].as_array().unwrap();
    let wanted = format!("node {node} at {} gave no answer: ", sim.seeds()[1]);
    assert!(problems.len() == 1 && problems[0].as_str().unwrap().starts_with(&wanted), "{found}");
    // What only that node holds can't be compared, and is no difference.
    assert_eq!(found["differences"], json!([]));
    assert!(found["namespaces"][0]["unverified"].as_u64() > Some(0), "{found}");
    sim.set_reply(2, "replicas", None).unwrap();
    assert_eq!(verify(&place, &sim, &[]).code(), 0);
    // One that accepts connections and says nothing.
    sim.set_raw_reply(2, Some(b"")).unwrap();
    let answer = verify(&place, &sim, &["--json", "--connect-timeout", "300ms"]);
    let problems = answer.json()["problems"].to_string();
    assert_eq!(answer.code(), 1, "{problems}");
    assert!(problems.contains(&*node) && problems.contains("gave no answer"), "{problems}");
}

#[test]
fn a_node_that_has_left_and_a_hole_are_1() {
    let mut config = SimConfig::fast(3);
    config.namespaces = vec![SimNamespace::new("test", 1)];
    let (place, sim) = (Place::new(), Sim::start(config).unwrap());
    let mut owner = place.tend(&sim, &[]);
    assert!(sim.settle(SETTLED));
    owner.kill();
    let node = sim.status().unwrap().nodes[2].node.clone();
    sim.kill(3).unwrap();
    assert!(sim.settle(SETTLED));
    let found = verify(&place, &sim, &["--json"]);
    assert_eq!(found.code(), 1);
    let problems = found.json()["problems"].to_string();
    let wanted = "is in the map, and not in the cluster: ";
    assert!(problems.contains(&*node) && problems.contains(wanted), "{problems}");
    let moved = differing(&found.json());
    assert!(!moved.is_empty());
    // A claim with the bits of its masters removed: a hole, which the owner publishes.
    let place = Place::new();
    let none = format!("test:0,1,{}", "A".repeat(683) + "=");
    sim.set_reply(1, "replicas", Some(&none)).unwrap();
    sim.set_reply(2, "replicas", Some(&none)).unwrap();
    let _owner = place.tend(&sim, &[]);
    let found = verify(&place, &sim, &["--json"]);
    assert_eq!(found.code(), 1, "{}", found.stderr());
    let found = found.json();
    assert_eq!((&found["holes"][0]["count"], &found["differences"]), (&json!(4096), &json!([])));
    let text = verify(&place, &sim, &[]).stdout();
    assert!(text.contains("HOLES:") && text.contains("4,096 partitions"), "{text}");
}

#[test]
fn namespaces_and_replication_factors_are_compared() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(2)).unwrap());
    place.tend(&sim, &[]).kill();
    sim.add_namespace(SimNamespace::new("more", 1)).unwrap();
    sim.set_replication_factor("test", 1).unwrap();
    assert!(sim.settle(SETTLED));
    let problems = |answer: &Answer| {
        assert_eq!(answer.code(), 1, "{}", answer.stderr());
        answer.json()["problems"].as_array().unwrap().clone()
    };
    let told = problems(&verify(&place, &sim, &["--json"]));
    let wanted = [
        "namespace more is in the cluster, and not in the map",
        "namespace test: the replication factor is 2 in the map, and 1 according to the nodes",
    ];
    assert_eq!(told, wanted);
    sim.remove_namespace("test").unwrap();
    assert!(sim.settle(SETTLED));
    let told = problems(&verify(&place, &sim, &["--json"]));
    assert_eq!(told[1], "namespace test is in the map, and no node that answers has it");
}

#[test]
fn h149_the_map_of_another_cluster_is_an_error_and_no_list_of_differences() {
    let mut config = SimConfig::fast(2);
    config.cluster_name = Some("elsewhere".into());
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(3)).unwrap());
    let other = Sim::start(config).unwrap();
    let _owner = place.tend(&sim, &[]);
    let refused = verify(&place, &other, &["--json"]);
    assert_eq!((refused.code(), refused.stdout().as_str()), (6, ""));
    let message = refused.error()["message"].to_string();
    for wanted in ["elsewhere", "tend-sim", "no node of it is in the map", "shm_key"] {
        assert!(message.contains(wanted), "no {wanted} in {message}");
    }
    let nobody = place.run(&["verify", "--hosts", "127.0.0.1:1"]);
    assert_eq!(nobody.code(), 6);
    assert!(nobody.stderr().contains("the cluster can't be asked"), "{}", nobody.stderr());
    assert_eq!(place.run(&["verify"]).code(), 2);
    let wrong = verify(&place, &sim, &["--cluster-name", "elsewhere"]);
    assert_eq!(wrong.code(), 6, "{}", wrong.stdout());
}

#[test]
fn a_secured_cluster_is_verified_with_the_login() {
    let mut config = SimConfig::fast(2);
    config.security = true;
    config.users = vec![SimUser::new("keeper", "s3cret")];
    let (place, sim) = (Place::new(), Sim::start(config).unwrap());
    let login = ["--user", "keeper", "--password", "s3cret"];
    let _owner = place.tend(&sim, &login);
    let stranger = verify(&place, &sim, &[]);
    assert_eq!(stranger.code(), 6);
    assert!(stranger.stderr().contains("set user and password"), "{}", stranger.stderr());
    let good = verify(&place, &sim, &login);
    assert_eq!(good.code(), 0, "{}{}", good.stdout(), good.stderr());
}

#[test]
fn a_cluster_is_verified_over_tls_also_where_only_logins_use_it() {
    let authority = Authority::new();
    let mut config = SimConfig::fast(3);
    config.tls = Some(authority.nodes());
    config.security = true;
    config.users = vec![SimUser::new("keeper", "s3cret")];
    let (place, sim) = (Place::new(), Sim::start(config).unwrap());
    let seed = format!("127.0.0.1:{NAME}:{}", sim.tls_seeds()[0].port());
    let cafile = authority.path("ca.pem");
    let tls = ["--tls-cafile", cafile.to_str().unwrap(), "--user", "keeper"];
    let run = |command: &str, more: &[&str]| {
        let args = [&[command, "--hosts", &seed][..], &tls, more].concat();
        let mut command = place.command(&args);
        command.env("TENDMAP_PASSWORD", "s3cret");
        command
    };
    for more in [&[][..], &["--tls-for-login-only"]] {
        let mut owner = Running::start(&mut run("tend", &[more, &["--json"]].concat()));
        owner.until("connected");
        let good = Answer(run("verify", &[more, &["--json"]].concat()).output().unwrap());
        assert_eq!(good.code(), 0, "{more:?}: {}{}", good.stdout(), good.stderr());
        assert_eq!(good.json()["nodes"].as_array().unwrap().len(), 3);
        // A node that only the map has is not sent a login without a check of its name.
        owner.kill();
        sim.kill(3).unwrap();
        assert!(sim.settle(SETTLED));
        let gone = Answer(run("verify", &[more, &["--json"]].concat()).output().unwrap());
        let problems = gone.json()["problems"].to_string();
        assert!(problems.contains("is in the map, and not in the cluster: "), "{problems}");
        sim.start_node(3).unwrap();
        assert!(sim.settle(SETTLED));
        assert_eq!(place.run(&["rm", "--force"]).code(), 0);
    }
    let plain = verify(&place, &sim, &[]);
    assert_eq!(plain.code(), 3, "no segment is left: {}", plain.stderr());
}
