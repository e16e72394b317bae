//! Recorded replies are parsed correctly; arbitrary bytes never cause a panic.

use base64::Engine as _;
use proptest::collection::vec;
use proptest::prelude::*;
use tendmap::internals::tend::Tender;
use tendmap::internals::wire::info::{
    Reply, parse_cluster_name, parse_generation, parse_node, parse_peers, parse_racks,
    parse_replicas, parse_service,
};
use tendmap::map::{Build, Capacity, ClusterMap};
use tendmap::tend::{AerospikeConfig, ClusterSource};
use tendmap_testkit::tables::{Fake, Log, at, ids, node, ns};

fn capture(folder: &str, command: &str, node: &str) -> Vec<u8> {
    let path = tendmap_testkit::data(folder).join(format!("{command}.{node}.txt"));
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn value(body: &[u8], command: &str) -> Vec<u8> {
    Reply::parse(body, &[command]).unwrap().value(command).unwrap().to_vec()
}

const STEADY: [(&str, &str, &str); 6] = [
    ("steady", "a", "127.0.0.1:3100"),
    ("steady", "b", "127.0.0.1:3200"),
    ("steady", "c", "127.0.0.1:3300"),
    ("steady_abd", "a", "127.0.0.1:3100"),
    ("steady_abd", "b", "127.0.0.1:3200"),
    ("steady_abd", "d", "127.0.0.14:3000"),
];

#[test]
fn recorded_replies_are_read() {
    for (folder, name, address) in STEADY {
        let of = |command: &str| value(&capture(folder, command, name), command);
        let own = parse_node(&of("node")).unwrap();
        for (peers, count) in [("peers-clear-std", 2), ("peers-clear-alt", 2)] {
            let peers = parse_peers(&of(peers)).unwrap();
            assert_eq!(peers.peers.len(), count);
            assert!(peers.peers.iter().all(|peer| peer.id != own && !peer.hosts.is_empty()));
            assert_eq!(peers.generation, parse_generation(&of("peers-generation")).unwrap());
        }
        let (service, bad) = parse_service(&of("service-clear-std"));
        assert!(bad.is_empty());
        assert_eq!(service[0].address(), Some(at(address)));
        assert!(parse_service(&of("service-clear-alt")).1.is_empty());
        let claims = parse_replicas(&of("replicas"), 4096).unwrap().claims;
        assert_eq!(claims.len(), 2);
        assert_eq!((claims[0].namespace, claims[0].columns.len()), (ns("test"), 2));
        assert_eq!((claims[1].namespace, claims[1].columns.len()), (ns("bar"), 3));
        if folder == "steady" {
            assert!(Build::parse(&of("build")).unwrap() >= Build::OLDEST);
            let name = parse_cluster_name(&of("cluster-name")).unwrap().unwrap();
            assert_eq!(name.as_str(), "tend-lab");
        }
    }
    let d = parse_peers(&value(&capture("steady_abd", "peers-clear-std", "a"), "peers-clear-std"));
    let hosts: Vec<_> = d.unwrap().peers[1].hosts.iter().map(ToString::to_string).collect();
    assert_eq!(hosts, ["127.0.0.14:3000", "127.0.0.1:3000"], "the default port is left out");
    let body = capture("steady", "rack-ids", "a");
    let refused = Reply::parse(&body, &["rack-ids"]).unwrap().value("rack-ids").unwrap_err();
    assert!(refused.to_string().contains("enterprise only"), "{refused}");
}

#[test]
fn recorded_clusters_become_whole_maps() {
    for (folder, expected, own) in [
        ("steady", "BB9000000003100 BB9000000003200 BB9000000003300", 0..3),
        ("steady_abd", "BB9000000003100 BB9000000003200 D4", 3..6),
    ] {
        let mut fake = Fake::default();
        for (_, name, address) in &STEADY[own] {
            let server = fake.servers.entry(at(address)).or_default();
            server.set("build", "8.1.2.0");
            server.set("cluster-name", "tend-lab");
            server.set("rebalance-generation", "4");
            for command in [
                "node",
                "partition-generation",
                "peers-generation",
                "peers-clear-std",
                "service-clear-std",
                "replicas",
            ] {
                let value = value(&capture(folder, command, name), command);
                server.set(command, String::from_utf8(value).unwrap());
            }
        }
        let seed = at("127.0.0.1:3200");
        let config = AerospikeConfig::new(vec![seed.into()]);
        let mut source = Tender::with_transport(config, fake);
        source.start(ClusterMap::new(Capacity::DEFAULT));
        source.tend(&mut Log::default()).unwrap();
        let map = source.map();
        assert_eq!(ids(map), expected);
        for (name, factor) in [("test", 2), ("bar", 3)] {
            let namespace = map.namespace(&ns(name)).unwrap();
            assert_eq!(namespace.replication_factor, factor);
            for partition in 0..4096 {
                let owners: std::collections::BTreeSet<_> = (0..usize::from(factor))
                    .map(|r| namespace.partitions.holder(partition, r).unwrap())
                    .collect();
                assert_eq!(owners.len(), usize::from(factor), "{name} {partition}");
            }
        }
        // One bit checked by hand: the first byte of a's masters is 09 = 00001001 (or
        // a9 with d in c's place), so partitions 4 and 7 are a's.
        let a = map.nodes.slot_of(&node("BB9000000003100"));
        let test = &map.namespace(&ns("test")).unwrap().partitions;
        assert_eq!((test.holder(4, 0), test.holder(7, 0)), (a, a));
        assert!(test.holder(5, 0) != a && test.holder(6, 0) != a);
    }
}

/// Bytes that look like parts of a reply.
fn likely() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"[".to_vec()),
        Just(b"]".to_vec()),
        Just(b",".to_vec()),
        Just(b":".to_vec()),
        Just(b";".to_vec()),
        Just(b"3000".to_vec()),
        Just(b"-1".to_vec()),
        Just(b"A1".to_vec()),
        Just(b"::1".to_vec()),
        Just(b"10.0.0.1".to_vec()),
        Just(b"test:0,1".to_vec()),
        Just(b"AA==".to_vec()),
        Just(b"\t".to_vec()),
        Just(b"\n".to_vec()),
        vec(any::<u8>(), 0..3),
    ];
    vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_bytes_make_a_parser_panic(bytes in prop_oneof![vec(any::<u8>(), 0..200), likely()]) {
        let _ = parse_peers(&bytes);
        let _ = parse_service(&bytes);
        let _ = parse_racks(&bytes);
        let _ = parse_replicas(&bytes, 8);
        let _ = parse_replicas(&bytes, 4096);
        let _ = parse_generation(&bytes);
        let _ = parse_node(&bytes);
        let _ = Build::parse(&bytes);
        let _ = parse_cluster_name(&bytes);
        if let Ok(reply) = Reply::parse(&bytes, &["", "node"]) {
            let _ = reply.value("node");
        }
        if let Ok(host) = String::from_utf8_lossy(&bytes).parse::<tendmap::wire::Host>() {
            prop_assert_eq!(host.to_string().parse(), Ok(host));
        }
    }

    #[test]
    fn lists_of_peers_come_back(
        generation in any::<i32>(),
        port in prop::option::of(1..=u16::MAX),
        peers in vec(
            ("[A-F0-9]{1,19}", "([a-z.-]{1,20})?", vec(("[a-z][a-z0-9.-]{0,20}|10\\.0\\.0\\.[1-9]|\\[fe80::[1-9a-f]\\]", prop::option::of(1..=u16::MAX)), 0..4)),
            0..6,
        ),
    ) {
        let text: Vec<String> = peers
            .iter()
            .map(|(id, tls, hosts)| {
                let hosts: Vec<String> = hosts
                    .iter()
                    .map(|(host, port)| port.map_or(host.clone(), |port| format!("{host}:{port}")))
                    .collect();
                format!("[{id},{tls},[{}]]", hosts.join(","))
            })
            .collect();
        let shown = port.map_or(String::new(), |port| port.to_string());
        let text = format!("{generation},{shown},[{}]", text.join(","));
        let parsed = parse_peers(text.as_bytes()).unwrap();
        prop_assert_eq!(parsed.generation, generation);
        prop_assert_eq!(parsed.peers.len(), peers.len());
        for (peer, (id, tls, hosts)) in parsed.peers.iter().zip(&peers) {
            prop_assert_eq!(peer.id.as_str(), id);
            prop_assert_eq!(peer.tls_name.map_or(String::new(), |name| name.to_string()), tls.clone());
            prop_assert_eq!(peer.hosts.len(), hosts.len());
            for (parsed, (name, own)) in peer.hosts.iter().zip(hosts) {
                prop_assert_eq!(parsed.name(), name.trim_matches(['[', ']']));
                prop_assert_eq!(parsed.port(), own.or(port).unwrap_or(3000));
            }
        }
        // A list that is cut short is an error.
        for length in 0..text.len() {
            let cut = parse_peers(&text.as_bytes()[..length]);
            prop_assert!(cut.is_err() || cut.is_ok_and(|peers| !peers.bad.is_empty()));
        }
    }

    #[test]
    fn claims_come_back(regime in any::<u32>(), columns in vec(vec(any::<u8>(), 512), 1..4)) {
        let text: Vec<String> = columns
            .iter()
            .map(|column| base64::engine::general_purpose::STANDARD.encode(column))
            .collect();
        let text = format!("n:{regime},{},{}", columns.len(), text.join(","));
        let claims = parse_replicas(text.as_bytes(), 4096).unwrap().claims;
        prop_assert_eq!(claims[0].regime, regime);
        prop_assert_eq!(claims[0].columns.len(), columns.len());
        for (parsed, bytes) in claims[0].columns.iter().zip(&columns) {
            let set: Vec<usize> =
                (0..4096).filter(|p| bytes[p >> 3] & (0x80 >> (p & 7)) != 0).collect();
            prop_assert_eq!(parsed.partitions().collect::<Vec<_>>(), set);
        }
        prop_assert!(parse_replicas(&text.as_bytes()[..text.len() - 1], 4096).is_err());
    }

    #[test]
    fn racks_come_back(racks in prop::collection::btree_map("[a-z]{1,31}", any::<i32>(), 1..6)) {
        let text: Vec<String> = racks.iter().map(|(name, id)| format!("{name}:{id}")).collect();
        let parsed = parse_racks(text.join(";").as_bytes()).racks;
        let parsed: std::collections::BTreeMap<_, _> =
            parsed.into_iter().map(|(name, id)| (name.to_string(), id)).collect();
        prop_assert_eq!(parsed, racks);
    }
}
