//! Two programs under one key, without a configured name. A program of another
//! cluster is refused before it routes anything.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use tendmap::client::{Client, Config, ConnectError};
use tendmap::route::{Policy, Record};
use tendmap::sim::{Sim, SimConfig};

use crate::tool::{Place, Running, wait_until};

fn sim(name: Option<&str>) -> Sim {
    let mut config = SimConfig::fast(2);
    config.cluster_name = name.map(Into::into);
    Sim::start(config).unwrap()
}

/// Runs a second program with these hosts; returns its exit code and its output.
fn second(place: &Place, hosts: &[String]) -> (i32, String) {
    let mut args = vec!["tend", "--json", "--tend-interval", "100ms"];
    args.extend(hosts.iter().flat_map(|host| ["--host", host]));
    let answer = place.run(&args);
    // The error is a line of JSON, too.
    (answer.code(), (answer.stdout() + &answer.stderr()).replace("\\\"", "\""))
}

/// A program that has connected.
fn tend(place: &Place, hosts: &[String], more: &[&str]) -> Running {
    let mut args = vec!["tend", "--json", "--shm-takeover-threshold", "300s"];
    args.extend(hosts.iter().flat_map(|host| ["--host", host]));
    args.extend(more);
    let mut running = Running::start(&mut place.command(&args));
    running.until("connected");
    running
}

/// Checks that a program with these hosts may join, and stops it again.
fn joins(place: &Place, hosts: &[String]) {
    let mut args = vec!["tend", "--json", "--tend-interval", "100ms"];
    args.extend(hosts.iter().flat_map(|host| ["--host", host]));
    let mut running = Running::start(&mut place.command(&args));
    running.until("connected");
    assert_eq!(running.interrupt(), 0);
}

fn hosts(sim: &Sim) -> Vec<String> {
    sim.seeds().iter().map(ToString::to_string).collect()
}

fn requests(sim: &Sim) -> u64 {
    sim.status().unwrap().nodes.iter().map(|node| node.info_requests).sum()
}

/// Starts a load balancer for a server; returns its address.
fn balancer(to: SocketAddr) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let pump = |mut from: TcpStream, mut to: TcpStream| {
        let mut bytes = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            if to.write_all(&bytes[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Both);
    };
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(to) else { continue };
            let (back, forth) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || pump(client, server));
            std::thread::spawn(move || pump(back, forth));
        }
    });
    address
}

#[test]
fn h51_a_program_of_another_cluster_is_refused_with_both_names() {
    let (place, first, other) = (Place::new(), sim(Some("first")), sim(Some("second")));
    let mut owner = place.tend(&first, &[]);
    let (code, text) = second(&place, &hosts(&other));
    assert_eq!(code, 6, "{text}");
    assert!(text.contains("is of cluster \"first\", wanted \"second\""), "{text}");
    assert!(requests(&other) > 0, "it has asked its own hosts");
    assert!(!text.contains("connected"), "{text}");
    assert_eq!(owner.interrupt(), 0);
}

#[test]
fn h51_clusters_of_one_name_or_none_are_told_apart_by_their_nodes() {
    for name in [Some("lab"), None] {
        let (place, first, other) = (Place::new(), sim(name), sim(name));
        let mut owner = place.tend(&first, &[]);
        let (code, text) = second(&place, &hosts(&other));
        assert_eq!(code, 6, "{text}");
        assert!(text.contains("but the hosts are of"), "{text}");
        assert_eq!(owner.interrupt(), 0);
    }
}

#[test]
fn h51_what_a_dead_owner_left_is_not_taken_over_for_another_cluster() {
    let (place, first, other) = (Place::new(), sim(Some("first")), sim(Some("second")));
    let mut owner = place.tend(&first, &[]);
    owner.child.kill().unwrap();
    owner.child.wait().unwrap();
    let before = requests(&first);
    let (code, text) = second(&place, &hosts(&other));
    assert_eq!(code, 6, "{text}");
    assert_eq!(requests(&first), before, "nor does it tend the first one's nodes");
}

#[test]
fn h51_hosts_that_can_be_compared_without_asking_are_not_asked() {
    let (place, first) = (Place::new(), sim(Some("first")));
    let mut owner = tend(&place, &hosts(&first), &["--tend-interval", "60s"]);
    let before = requests(&first);
    // One of its nodes, by address and by name, among hosts that do not answer.
    let seed = first.seeds()[1];
    joins(&place, &["127.0.0.1:1".into(), seed.to_string()]);
    joins(&place, &[format!("localhost:{}", seed.port()), "127.0.0.1:1".into()]);
    // Exactly the owner's hosts, in another order.
    let mut same = hosts(&first);
    same.reverse();
    joins(&place, &same);
    assert_eq!(requests(&first), before);
    // A load balancer must be asked, because its address is not a node's.
    joins(&place, &[balancer(seed)]);
    assert!(requests(&first) > before);
    assert_eq!(owner.interrupt(), 0);
}

#[test]
fn h51_hosts_that_are_down_prove_nothing_unless_the_owner_has_the_same() {
    let (place, first) = (Place::new(), sim(Some("first")));
    // The owner is configured with a load balancer, the second program with a host
    // that does not answer.
    let balanced = balancer(first.seeds()[0]);
    let args = ["tend", "--json", "--tend-interval", "100ms", "--host", &balanced];
    let mut owner = Running::start(&mut place.command(&args));
    owner.until("connected");
    let nowhere = ["127.0.0.1:1".to_string()];
    let (code, text) = second(&place, &nowhere);
    assert_eq!(code, 6, "{text}");
    assert!(text.contains("configure cluster_name"), "{text}");
    // A configured name decides, and no server is asked.
    let args = ["tend", "--json", "--host", &nowhere[0], "--cluster-name", "first"];
    let mut named = Running::start(&mut place.command(&args));
    named.until("connected");
    assert_eq!(named.interrupt(), 0);
    assert_eq!(owner.interrupt(), 0);
    // The owner's hosts prove the same, even while they are down.
    let args = ["tend", "--json", "--tend-interval", "100ms", "--host", "127.0.0.1:1"];
    let args = [&args[..], &["--cluster-name", "first"]].concat();
    let mut owner = place.tend(&first, &["--host", "127.0.0.1:1"]);
    let mut more = hosts(&first);
    more.push("127.0.0.1:1".into());
    for number in [1, 2] {
        first.freeze(number).unwrap();
    }
    joins(&place, &more);
    let mut named = Running::start(&mut place.command(&args));
    named.until("connected");
    assert_eq!(named.interrupt(), 0);
    assert_eq!(owner.interrupt(), 0);
}

#[test]
fn h51_a_cluster_that_was_renamed_a_moment_ago_lets_its_own_programs_in() {
    let (place, first) = (Place::new(), sim(Some("first")));
    let mut owner = tend(&place, &hosts(&first), &["--tend-interval", "2s"]);
    first.set_cluster_name(Some("renamed")).unwrap();
    joins(&place, &[balancer(first.seeds()[0])]);
    let status = || place.run(&["status", "--json"]).json()["cluster_name"].clone();
    wait_until("the new name", || status() == "renamed");
    owner.until("cluster_renamed");
    assert_eq!(owner.interrupt(), 0);
}

#[test]
fn h51_a_named_program_does_not_join_a_cluster_without_a_name() {
    let (place, first) = (Place::new(), sim(None));
    let mut owner = place.tend(&first, &[]);
    let seed = first.seeds()[0].to_string();
    let answer = place.run(&["tend", "--json", "--host", &seed, "--cluster-name", "mine"]);
    assert_eq!(answer.code(), 6);
    assert!(answer.stderr().contains("wanted \\\"mine\\\""), "{}", answer.stderr());
    assert_eq!(owner.interrupt(), 0);
}

#[test]
fn h51_a_program_that_waits_for_a_first_map_does_not_take_another_clusters() {
    let (place, first, other) = (Place::new(), sim(Some("first")), sim(Some("second")));
    for number in [1, 2] {
        first.kill(number).unwrap();
    }
    // It has created the segment and waits for its cluster.
    let seeds = hosts(&first);
    let args = ["tend", "--json", "--wait", "--tend-interval", "100ms", "--host", &seeds[0]];
    let mut owner = Running::start(&mut place.command(&args));
    owner.until("tend_failed");
    // One client waits in its connect, the other (`--wait`) after it.
    let hosts = hosts(&other);
    let args = ["tend", "--json", "--connect-timeout", "10s", "--host", &hosts[0]];
    let more = [&[][..], &["--wait"]];
    let mut waiting =
        more.map(|more| Running::start(&mut place.command(&[&args[..], more].concat())));
    waiting.iter_mut().for_each(|waits| drop(waits.until("follower")));
    for number in [1, 2] {
        first.start_node(number).unwrap();
    }
    owner.until("connected");
    for mut waits in waiting {
        assert_eq!(waits.end(), 6, "{:?}", waits.heard);
        assert!(waits.heard.iter().all(|told| told["event"] != "connected"));
    }
    assert_eq!(owner.interrupt(), 0);
}

#[test]
fn h51_a_client_that_does_not_wait_routes_nothing_before_it_is_shown_to_belong() {
    for belongs in [false, true] {
        let (place, first, other) = (Place::new(), sim(Some("first")), sim(Some("second")));
        for number in [1, 2] {
            first.kill(number).unwrap();
        }
        let seeds = hosts(&first);
        let args = ["tend", "--json", "--wait", "--tend-interval", "100ms", "--host", &seeds[0]];
        let mut owner = Running::start(&mut place.command(&args));
        owner.until("tend_failed");
        // Attached to the segment before it has a map.
        let seed = if belongs { first.seeds()[1] } else { other.seeds()[0] };
        let mut config = Config::shared(vec![seed.into()], 0xA700_0000);
        config.shm_directory = place.path().into();
        let client = Client::start(config).unwrap();
        let mut router = client.router();
        for number in [1, 2] {
            first.start_node(number).unwrap();
        }
        let mut routed = 0;
        wait_until("a decision", || {
            let found = router.namespace("test").and_then(|namespace| {
                router.route(namespace, Record::new("set", 1), Policy::Sequence).map(|_| ())
            });
            routed += u32::from(found.is_ok());
            if belongs { routed > 0 } else { client.refusal().is_some() }
        });
        if !belongs {
            assert_eq!(routed, 0);
            assert!(client.map().is_err());
            let refusal = client.refusal().unwrap();
            assert!(matches!(refusal, ConnectError::OtherCluster { .. }), "{refusal}");
            wait_until("its end", || client.is_closed());
            assert!(router.namespace("test").is_err());
        }
        drop(client);
        assert_eq!(owner.interrupt(), 0);
    }
}

#[test]
fn h51_a_program_does_not_move_to_the_segment_that_another_one_makes_after_a_removal() {
    let (place, first, other) = (Place::new(), sim(Some("first")), sim(Some("second")));
    let mut owner = place.tend(&first, &[]);
    // While all processes of the first program are stopped, its segment is removed,
    // and the second program creates another one.
    owner.signal(rustix::process::Signal::STOP);
    assert_eq!(place.run(&["rm", "--force"]).code(), 0);
    let mut second = place.tend(&other, &[]);
    owner.signal(rustix::process::Signal::CONT);
    assert_eq!(owner.end(), 6, "{:?}", owner.heard);
    let nodes: Vec<String> = hosts(&other);
    let status = place.run(&["status", "--json"]).json();
    assert_eq!(status["cluster_name"], "second");
    let members = place.run(&["map", "--json"]).json()["nodes"].clone();
    let at = |node: &serde_json::Value| node["address"].as_str().unwrap().to_owned();
    assert!(members.as_array().unwrap().iter().all(|node| nodes.contains(&at(node))));
    assert_eq!(second.interrupt(), 0);
}
