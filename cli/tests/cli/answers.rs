//! The output of the commands.

use std::fs;

use serde_json::{Value, json};
use tendmap::route::Digest;
use tendmap::sim::{Sim, SimConfig};

use crate::tool::{Place, keys, wait_until};

#[test]
fn route_names_the_nodes_that_hold_a_key() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(3)).unwrap());
    let _owner = place.tend(&sim, &[]);
    let owners = sim.owners("test").unwrap();
    let check = |args: &[&str], digest: Digest| {
        let mut all = vec!["route", "--json", "--namespace", "test"];
        all.extend(args);
        let answer = place.json(&all);
        assert_eq!(keys(&answer), ["digest", "partition", "master", "replicas"]);
        assert_eq!(answer["digest"], digest.to_hex(), "{args:?}");
        assert_eq!(answer["partition"], digest.partition(4096));
        let replicas: Vec<&Value> = answer["replicas"].as_array().unwrap().iter().collect();
        assert_eq!(replicas.len(), 2);
        assert_eq!(replicas[0], &answer["master"]);
        assert_eq!(keys(replicas[0]), ["node", "address"]);
        let ids: Vec<&str> =
            replicas.iter().map(|replica| replica["node"].as_str().unwrap()).collect();
        let wanted = &owners[digest.partition(4096)];
        assert_eq!(ids, wanted.iter().map(AsRef::<str>::as_ref).collect::<Vec<_>>());
    };
    check(&["--int", "-5"], Digest::of("", -5));
    check(&["--set", "demo", "--int", "5"], Digest::of("demo", 5));
    check(&["--set", "demo", "--str", "-x y"], Digest::of("demo", "-x y"));
    check(&["--hex", "00ff"], Digest::of("", &[0u8, 255]));
    check(&["--double", "-1.5"], Digest::of("", -1.5));
    let digest = Digest::of("demo", "haha");
    check(&["--digest", &digest.to_hex()], digest);

    let text = place.run(&["route", "--namespace", "test", "--int", "1"]).stdout();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("digest ") && lines[1].starts_with("partition "), "{text}");
    assert!(lines[3].starts_with("master ") && lines[4].starts_with("1 "), "{text}");
}

#[test]
fn map_tells_every_replica_of_every_partition() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(3)).unwrap());
    let _owner = place.tend(&sim, &[]);
    let map = place.json(&["map", "--json"]);
    assert_eq!(keys(&map), ["sequence", "nodes", "namespaces"]);
    assert!(map["sequence"].as_u64().unwrap() > 0);
    let status = sim.status().unwrap();
    let mut wanted: Vec<Value> = status
        .nodes
        .iter()
        .map(|node| json!({ "node": node.node, "address": node.address, "build": node.build }))
        .collect();
    wanted.sort_by_key(|node| node["node"].to_string());
    assert_eq!(map["nodes"], Value::Array(wanted));
    for (name, factor) in [("test", 2), ("bar", 3)] {
        let namespace = &map["namespaces"][name];
        let names = ["replication_factor", "strong_consistency", "racks", "partitions"];
        assert_eq!(keys(namespace), names);
        assert_eq!(namespace["replication_factor"], factor);
        assert_eq!(namespace["strong_consistency"], false);
        let owners = sim.owners(name).unwrap();
        let ids = |row: &Vec<tendmap::map::NodeId>| -> Value {
            row.iter().map(|id| Value::from(id.as_str())).collect()
        };
        assert_eq!(namespace["partitions"], owners.iter().map(ids).collect::<Value>());
    }
    let text = place.run(&["map"]).stdout();
    assert_eq!(text.lines().filter(|line| line.starts_with("test ")).count(), 4096);
    assert_eq!(text.lines().filter(|line| line.ends_with("8.1.2.0")).count(), 3, "a build a node");
}

#[test]
fn status_has_every_key_with_an_owner_and_without() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(3)).unwrap());
    let mut owner = place.tend(&sim, &["--shm-max-nodes", "20"]);
    let status = place.json(&["status", "--json"]);
    let wanted = [
        "path",
        "bytes",
        "layout_version",
        "cluster_name",
        "term",
        "sequence",
        "owner_pid",
        "owner_alive",
        "heartbeat_age_ms",
        "tended_age_ms",
        "nodes",
        "members",
        "max_nodes",
        "max_namespaces",
        "namespaces",
        "publications",
        "takeovers",
        "refused_nodes",
    ];
    for key in wanted {
        assert!(status.get(key).is_some(), "no {key} in {status}");
    }
    assert_eq!(status["path"], place.segment().to_str().unwrap());
    assert_eq!(status["bytes"], place.segment().metadata().unwrap().len());
    assert_eq!(status["cluster_name"], "tend-sim");
    assert_eq!((&status["term"], &status["takeovers"]), (&json!(1), &json!(0)));
    assert_eq!(status["owner_pid"], owner.pid());
    assert_eq!(status["owner_alive"], true);
    assert!(status["heartbeat_age_ms"].as_u64().unwrap() < 10_000);
    assert_eq!((&status["nodes"], &status["max_nodes"]), (&json!(3), &json!(20)));
    assert_eq!(status["attached"], 1, "the command itself does not count");
    assert_eq!(status["members"].as_array().unwrap().len(), 3);
    let member = &status["members"][0];
    assert_eq!(
        keys(member),
        ["id", "address", "build", "failures", "last_error", "last_error_age_ms"]
    );
    assert_eq!(member["build"], "8.1.2.0");
    assert_eq!((&member["failures"], &member["last_error"]), (&json!(0), &Value::Null));
    let namespace = &status["namespaces"][0];
    let names = ["name", "replication_factor", "routable_replicas", "strong_consistency", "holes"];
    assert_eq!(keys(namespace), names);
    assert_eq!(namespace["holes"], 0);

    owner.kill();
    let orphaned = place.run(&["status", "--json"]);
    assert_eq!(orphaned.code(), 1, "an owner that is dead is not healthy");
    let orphaned = orphaned.json();
    assert_eq!(keys(&orphaned), keys(&status));
    assert_eq!(orphaned["owner_alive"], false);
    let text = place.run(&["status"]).stdout();
    assert!(text.contains("UNHEALTHY: there is no live owner"), "{text}");
    // Commands that only route still work.
    place.json(&["route", "--json", "--namespace", "test", "--int", "1"]);
    place.json(&["map", "--json"]);
}

#[test]
fn permission_to_read_is_enough() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    use std::os::unix::process::CommandExt;
    let place = Place::new();
    if place.path().metadata().unwrap().uid() != 0 {
        eprintln!("not run: only root can become another user");
        return;
    }
    let sim = Sim::start(SimConfig::fast(2)).unwrap();
    let mut owner = place.tend(&sim, &["--shm-mode", "0644"]);
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(place.path(), open.clone()).unwrap();
    let binary = place.path().join("tool");
    // Copied by another process. If this one opened the file for writing, a child
    // that another test forks at that moment would inherit the descriptor, and the
    // file could not be run.
    let copied = std::process::Command::new("cp")
        .args([crate::tool::BINARY.as_ref(), binary.as_path()])
        .status();
    assert!(copied.unwrap().success());
    std::fs::set_permissions(&binary, open).unwrap();
    let as_nobody = |args: &[&str]| {
        let mut command = std::process::Command::new(&binary);
        command.args(args).arg("--shm-directory").arg(place.path());
        command.current_dir("/").uid(65_534).gid(65_534).output().unwrap()
    };
    for (args, orphaned) in [
        (&["status", "--json"][..], 1),
        (&["map", "--json"], 0),
        (&["route", "--namespace", "test", "--int", "1"], 0),
    ] {
        let answer = as_nobody(args);
        assert_eq!(answer.status.code(), Some(0), "{answer:?}");
        if args[0] == "status" {
            owner.kill();
            // A process that may not read the owner's lock relies on the heartbeat.
            wait_until("silence", || as_nobody(args).status.code() == Some(orphaned));
        }
        assert_eq!(as_nobody(args).status.code(), Some(orphaned), "{args:?}");
    }
}

#[test]
fn h104_tables_have_at_most_80_columns() {
    let (place, sim) = (Place::new(), Sim::start(SimConfig::fast(3)).unwrap());
    let _owner = place.tend(&sim, &[]);
    fs::write(place.path().join("tendmap-00000004-v9-g1"), [0; 64]).unwrap();
    let host = sim.seeds()[0].to_string();
    let route = ["route", "--namespace", "test", "--int", "1"];
    let refused = ["check", "--host", "127.0.0.1:1", "--host", &host];
    let lost = ["check", "--host", "a-host-with-a-very-long-name.example.invalid:3000"];
    let cases: [&[&str]; 6] =
        [&["ls"], &["status"], &route, &["check", "--host", &host], &refused, &lost];
    for args in cases {
        let text = place.run(args).stdout();
        assert!(text.lines().count() > 1, "{args:?}: {text}");
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{args:?}: {line}");
        }
    }
}
