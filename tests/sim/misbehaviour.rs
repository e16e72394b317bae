//! Nodes that give wrong answers.

use tendmap::sim::{Sim, SimConfig};

use crate::client::{Client, address, id};

#[test]
fn one_command_of_one_node_can_be_answered_with_anything() {
    let sim = Sim::start(SimConfig::fast(2)).unwrap();
    sim.set_reply(1, "peers-clear-std", Some("1,3000,[[")).unwrap();
    let mut client = Client::of(&sim, 1);
    assert_eq!(client.ask("peers-clear-std"), "1,3000,[[");
    assert_eq!(client.ask("build"), "8.1.2.0");
    assert_ne!(Client::of(&sim, 2).ask("peers-clear-std"), "1,3000,[[");
    sim.set_reply(1, "peers-clear-std", None).unwrap();
    assert_eq!(client.peers(), [id(&sim, 2)]);
}

#[test]
fn every_reply_of_a_node_can_be_replaced_header_and_all() {
    let sim = Sim::start(SimConfig::fast(1)).unwrap();
    sim.set_raw_reply(1, Some(&[2, 1, 0, 0, 0, 0, 0, 3, b'x', b'y', b'z'])).unwrap();
    let mut client = Client::of(&sim, 1);
    assert_eq!(client.body("build\n"), "xyz");
    sim.set_raw_reply(1, None).unwrap();
    assert_eq!(client.ask("build"), "8.1.2.0");
}

#[test]
fn a_node_can_be_told_with_further_hosts() {
    let sim = Sim::start(SimConfig::fast(2)).unwrap();
    let mut client = Client::of(&sim, 1);
    let before = client.number("peers-generation");
    sim.set_extra_hosts(2, &["[::1]:4000", "192.0.2.7:3000"]).unwrap();
    let own = address(&sim, 2);
    assert_eq!(client.hosts()[&id(&sim, 2)], format!("[::1]:4000,192.0.2.7,{own}"));
    assert!(client.number("peers-generation") > before);
    let service = Client::of(&sim, 2).ask("service-clear-std");
    assert_eq!(service, format!("[::1]:4000,192.0.2.7:3000,{own}"));
}

#[test]
fn the_cluster_can_change_its_name_or_have_none() {
    let sim = Sim::start(SimConfig::fast(1)).unwrap();
    let mut client = Client::of(&sim, 1);
    sim.set_cluster_name(Some("other")).unwrap();
    assert_eq!(client.ask("cluster-name"), "other");
    sim.set_cluster_name(None).unwrap();
    assert_eq!(client.ask("cluster-name"), "null");
}
