//! Replies have the shape of recorded replies.

use std::collections::BTreeSet;

use tendmap::sim::{Sim, SimConfig};

use crate::client::{Client, address, id, settle, until};

/// The text without everything that is specific to one cluster.
fn shape(text: &str) -> String {
    let mut shape = String::new();
    let part = |byte: char| byte.is_ascii_alphanumeric() || "+/=".contains(byte);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|byte| part(byte) != part(first)).unwrap_or(rest.len());
        let word = &rest[..end];
        rest = &rest[end..];
        let hex = word.chars().all(|byte| byte.is_ascii_hexdigit());
        shape.push_str(match word.len() {
            684 => "<bitmap>",
            15 if word.starts_with("BB9") => "<node>",
            8..=16 if hex => "<key>",
            _ if word.starts_with("sha=") => "<sha>",
            _ if word.chars().all(|byte| byte.is_ascii_digit()) => "<number>",
            _ => word,
        });
    }
    shape
}

#[test]
fn every_recorded_command_is_answered_in_the_recorded_shape() {
    let mut config = SimConfig::fast(3);
    config.cluster_name = Some("tend-lab".into());
    config.alternate_addresses = true;
    let sim = Sim::start(config).unwrap();
    let mut client = Client::of(&sim, 1);
    let mut seen = 0;
    for entry in std::fs::read_dir(tendmap_testkit::data("replies")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        let recorded = std::fs::read_to_string(&path).unwrap();
        let command = recorded.split_once('\t').unwrap().0;
        let reply = client.body(&format!("{command}\n"));
        assert_eq!(shape(&reply), shape(&recorded), "{command}");
        seen += 1;
    }
    assert_eq!(seen, 26);
}

#[test]
fn what_is_no_number_is_worded_as_recorded() {
    let mut config = SimConfig::fast(1);
    config.cluster_name = Some("tend-lab".into());
    let sim = Sim::start(config).unwrap();
    let mut client = Client::of(&sim, 1);
    for command in [
        "build",
        "cluster-name",
        "edition",
        "features",
        "namespaces",
        "partitions",
        "rack-ids",
        "racks:",
        "peers-tls-std",
        "user-agent-set",
        "version",
    ] {
        let file = tendmap_testkit::data(&format!("replies/{}.a.txt", command.replace(':', "_")));
        let recorded = std::fs::read_to_string(&file).unwrap();
        assert_eq!(client.body(&format!("{command}\n")), recorded);
    }
}

#[test]
fn the_default_port_is_left_out_of_peers_lists_only() {
    let sim = Sim::start(SimConfig::fast(3)).unwrap();
    let (second, third) = (address(&sim, 2), address(&sim, 3));
    sim.set_default_port(second.port()).unwrap();
    let mut client = Client::of(&sim, 1);
    let hosts = client.hosts();
    assert_eq!(hosts[&id(&sim, 2)], "127.0.0.1");
    assert_eq!(hosts[&id(&sim, 3)], third.to_string());
    assert_eq!(client.ask("peers-clear-std").split(',').nth(1).unwrap(), second.port().to_string());
    assert_eq!(Client::of(&sim, 2).ask("service-clear-std"), second.to_string());
}

#[test]
fn peers_come_in_any_order() {
    let sim = Sim::start(SimConfig::fast(4)).unwrap();
    let mut client = Client::of(&sim, 1);
    let mut orders = BTreeSet::new();
    until("another order", || {
        sim.set_extra_hosts(2, &[]).unwrap();
        let reply = client.ask("peers-clear-std");
        orders.insert(reply.split_once('[').unwrap().1.to_owned());
        orders.len() >= 3
    });
}

#[test]
fn alternate_addresses_lead_to_the_same_node() {
    let mut config = SimConfig::fast(2);
    config.alternate_addresses = true;
    let sim = Sim::start(config).unwrap();
    let alternate = Client::of(&sim, 2).ask("service-clear-alt");
    assert_ne!(alternate, address(&sim, 2).to_string());
    assert_eq!(Client::connect(alternate.parse().unwrap()).ask("node"), id(&sim, 2));
}

#[test]
fn old_builds_do_not_know_user_agents() {
    let sim = Sim::start(SimConfig::fast(1)).unwrap();
    let mut client = Client::of(&sim, 1);
    assert_eq!(client.ask("user-agent-set:value=MSx0LHg="), "ok");
    sim.set_build("7.0.0.5").unwrap();
    assert_eq!(client.ask("build"), "7.0.0.5");
    assert!(client.ask("user-agent-set:value=MSx0LHg=").starts_with("ERROR:4:"));
}

#[test]
fn each_node_may_have_another_build() {
    let with = |build: &str, nodes| {
        let mut config = SimConfig::fast(nodes);
        config.build = build.into();
        Sim::start(config)
    };
    let sim = with("7.1", 2).unwrap();
    sim.set_node_build(2, "8.1.3.0-rc1").unwrap();
    let builds = || [1, 2].map(|number| Client::of(&sim, number).ask("build"));
    assert_eq!(builds(), ["7.1", "8.1.3.0-rc1"]);
    assert!(Client::of(&sim, 2).ask("version").ends_with(" build 8.1.3.0-rc1"));
    assert_eq!(Client::of(&sim, 2).ask("user-agent-set:value=MSx0LHg="), "ok");
    let status = sim.status().unwrap();
    assert_eq!(status.nodes.iter().map(|node| &*node.build).collect::<Vec<_>>(), builds());
    // A restarted node keeps the build that was installed on it.
    sim.kill(2).unwrap();
    sim.start_node(2).unwrap();
    assert_eq!(builds(), ["7.1", "8.1.3.0-rc1"]);
    sim.set_build("8.1.4.0").unwrap();
    assert_eq!(builds(), ["8.1.4.0", "8.1.4.0"]);
    for bad in ["", "new", "8.1\n", "8.1 2", "70000.1"] {
        let error = sim.set_node_build(1, bad).unwrap_err().to_string();
        assert_eq!(error, format!("build is {bad:?}; wanted a build such as 8.1.2.0"));
        assert!(sim.set_build(bad).is_err());
        assert!(with(bad, 1).is_err());
    }
    assert!(sim.set_node_build(3, "8.1.3.0").is_err());
}

#[test]
fn requests_that_only_name_the_client_are_counted_by_themselves() {
    let sim = Sim::start(SimConfig::fast(1)).unwrap();
    let mut client = Client::of(&sim, 1);
    client.ask("user-agent-set:value=MSx0LHg=");
    client.body("user-agent-set:value=MSx0LHg=\nnode\n");
    client.ask("node");
    let node = &sim.status().unwrap().nodes[0];
    assert_eq!((node.info_requests, node.user_agents), (3, 1));
}

#[test]
fn the_enterprise_edition_tells_racks() {
    let mut config = SimConfig::fast(2);
    config.enterprise = true;
    let sim = Sim::start(config).unwrap();
    let mut client = Client::of(&sim, 2);
    let before = client.number("rebalance-generation");
    sim.set_rack(2, "bar", -7).unwrap();
    assert_eq!(client.ask("rack-ids"), "test:0;bar:-7");
    assert!(client.number("rebalance-generation") > before);
}

#[test]
fn a_cluster_is_stable_only_when_nothing_migrates() {
    let mut config = SimConfig::fast(3);
    config.timings.migration = std::time::Duration::from_millis(1000);
    let sim = Sim::start(config).unwrap();
    let mut client = Client::of(&sim, 1);
    let key = client.ask("cluster-stable:");
    sim.kill(3).unwrap();
    until("migrations", || client.ask("cluster-stable:").starts_with("ERROR:7:"));
    settle(&sim);
    let later = client.ask("cluster-stable:size=2");
    assert_ne!(later, key);
    assert!(client.ask("cluster-stable:size=3").starts_with("ERROR:7:"));
}
