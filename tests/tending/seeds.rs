//! How the cluster is found, and found again.

use tendmap::internals::tend::Tender;
use tendmap::map::{ClusterMap, ClusterName};
use tendmap::tend::{AerospikeConfig, ClusterSource, TendError, TendEvent};
use tendmap_testkit::tables::*;

const A: &str = "127.0.0.1:1";
const B: &str = "127.0.0.1:2";

fn seeded(fake: Fake, hosts: &[&str], cluster: Option<&str>) -> Tender<Fake> {
    let mut config = AerospikeConfig::new(hosts.iter().map(|host| host.parse().unwrap()).collect());
    config.cluster_name = cluster.map(|name| ClusterName::new(name).unwrap());
    let mut source = Tender::with_transport(config, fake);
    source.start(ClusterMap::new(SMALL));
    source
}

#[test]
fn h10_a_failed_seeding_says_what_was_wrong_with_each_address() {
    let mut fake = two();
    fake.servers.get_mut(&at(B)).unwrap().set("build", "4.8.0.1");
    let mut source = seeded(fake, &["nowhere:1", "127.0.0.1:9", B], None);
    let Err(error @ TendError::NoSeed { .. }) = tend(&mut source).0 else { panic!() };
    let text = error.to_string();
    for part in ["nowhere:1: no such name", "127.0.0.1:9: can't connect", "127.0.0.1:2: runs build"]
    {
        assert!(text.contains(part), "{text}");
    }
    assert!(source.map().nodes.is_empty());
    // The next pass tries again at once.
    edit(&mut source, B, |b| b.set("build", "8.1.2.0"));
    tend_well(&mut source);
    assert_eq!(ids(source.map()), "A B");
}

#[test]
fn h14_servers_of_another_cluster_are_refused_with_both_names() {
    let mut source = seeded(two(), &[A, B], Some("mine"));
    let wrong =
        TendError::WrongCluster { host: A.into(), found: "lab".into(), wanted: "mine".into() };
    assert_eq!(tend(&mut source).0, Err(wrong));
    // The name in the map counts if no name is configured.
    let mut source = seeded(two(), &[A], None);
    let mut map = ClusterMap::new(SMALL);
    map.cluster_name = Some(ClusterName::new("theirs").unwrap());
    source.start(map);
    assert!(matches!(tend(&mut source).0, Err(TendError::WrongCluster { .. })));
    assert!(source.map().nodes.is_empty());
}

#[test]
fn a_cluster_without_a_name_is_nameless_in_the_map() {
    let mut fake = two();
    for server in fake.servers.values_mut() {
        server.set("cluster-name", "null");
    }
    let mut source = seeded(fake, &[A], None);
    tend_well(&mut source);
    assert_eq!(source.map().cluster_name, None);
}

#[test]
fn servers_that_are_too_old_are_named_so() {
    let mut fake = two();
    for server in fake.servers.values_mut() {
        server.set("build", "4.9.0.2");
    }
    let mut source = seeded(fake, &[A, B], None);
    let old = TendError::TooOld { host: A.into(), found: "4.9.0.2".into(), wanted: "4.9.0.3" };
    assert_eq!(tend(&mut source).0, Err(old));
}

#[test]
fn a_starting_node_is_no_seed() {
    let mut fake = two();
    fake.servers.get_mut(&at(A)).unwrap().set("partition-generation", -1);
    let mut source = seeded(fake, &[A], None);
    let Err(TendError::NoSeed { tried }) = tend(&mut source).0 else { panic!() };
    assert!(tried[0].contains("has not joined"), "{tried:?}");
    let fake = std::mem::take(source.transport_mut());
    let mut source = seeded(fake, &[A, B], None);
    tend_well(&mut source);
    assert_eq!(ids(source.map()), "B", "A is not ready, B is");
}

#[test]
fn an_orphan_is_the_last_resort() {
    let mut fake = two();
    fake.servers.insert(at("127.0.0.1:9"), server("LONE", "127.0.0.1:9", &[0xff]));
    let mut source = seeded(fake, &["127.0.0.1:9", A], None);
    tend_well(&mut source);
    assert_eq!(ids(source.map()), "A B");
    let mut fake = Fake::default();
    fake.servers.insert(at("127.0.0.1:9"), server("LONE", "127.0.0.1:9", &[0xff]));
    let mut source = seeded(fake, &[A, "127.0.0.1:9"], None);
    tend_well(&mut source);
    assert_eq!(owners(source.map(), 0), "LONE".repeat(8));
}

#[test]
fn an_orphan_does_not_take_over_from_nodes_that_may_come_back() {
    let mut fake = two();
    fake.servers.insert(at("127.0.0.1:9"), server("LONE", "127.0.0.1:9", &[0xff]));
    let mut source = seeded(fake, &["127.0.0.1:9", A], None);
    tend_well(&mut source);
    edit(&mut source, A, |a| a.down = true);
    edit(&mut source, B, |b| b.down = true);
    for _ in 0..4 {
        assert!(matches!(tend(&mut source).0, Err(TendError::NoAnswer { nodes: 2, .. })));
        assert_eq!(owners(source.map(), 0), "AAAABBBB", "the map is unchanged");
    }
    let (_, events) = tend_well(&mut source);
    assert_eq!(ids(source.map()), "LONE", "{events:?}");
}

#[test]
fn behind_a_load_balancer_the_nodes_own_address_is_taken() {
    let mut fake = Fake::default();
    let balanced = server("A", "10.0.0.1:3000,10.0.0.2:3000", &[0xff]);
    fake.servers.insert(at("10.9.9.9:3000"), balanced.clone());
    fake.servers.insert(at("10.0.0.1:3000"), server("OTHER", "10.0.0.1:3000", &[0xff]));
    fake.servers.insert(at("10.0.0.2:3000"), balanced.clone());
    let mut source = seeded(fake, &["10.9.9.9"], None);
    tend_well(&mut source);
    let slot = source.map().nodes.slot_of(&node("A")).unwrap();
    assert_eq!(source.map().nodes.get(slot).unwrap().address, at("10.0.0.2:3000"));
    // If none of them answers, the balancer's address is used.
    let mut fake = Fake::default();
    fake.servers.insert(at("10.9.9.9:3000"), balanced);
    let mut source = seeded(fake, &["10.9.9.9"], None);
    tend_well(&mut source);
    let slot = source.map().nodes.slot_of(&node("A")).unwrap();
    assert_eq!(source.map().nodes.get(slot).unwrap().address, at("10.9.9.9:3000"));
}

#[test]
fn h39_a_cluster_whose_addresses_all_changed_is_found_by_name() {
    let mut fake = two();
    fake.names.insert("db".into(), vec![at("127.0.0.1:9"), at(A)]);
    let mut source = seeded(fake, &["db:1"], None);
    tend_well(&mut source);
    let mut servers = std::mem::take(&mut source.transport_mut().servers);
    assert!(matches!(tend(&mut source).0, Err(TendError::NoAnswer { .. })));
    assert_eq!(owners(source.map(), 0), "AAAABBBB");
    // The cluster returns at new addresses, with the very same names and generations.
    let (mut a, mut b) = (servers.remove(&at(A)).unwrap(), servers.remove(&at(B)).unwrap());
    a.list("[B,,[127.0.0.2:2]]");
    b.list("[A,,[127.0.0.2:1]]");
    let fake = source.transport_mut();
    fake.servers.extend([(at("127.0.0.2:1"), a), (at("127.0.0.2:2"), b)]);
    fake.names.insert("db".into(), vec![at("127.0.0.2:1")]);
    let (report, events) = tend_well(&mut source);
    assert!(report.changed);
    assert_eq!(events.iter().filter(|e| matches!(e, TendEvent::NodeMoved { .. })).count(), 2);
    assert_eq!(owners(source.map(), 0), "AAAABBBB");
    assert!(source.map().nodes.iter().all(|(_, node)| node.address.ip() == at("127.0.0.2:1").ip()));
}

#[test]
fn h39_every_address_ever_told_is_a_seed() {
    let mut source = seeded(two(), &[A], None);
    tend_well(&mut source);
    // A is gone for good; B was found through it. A new process has only the
    // published map.
    let map = source.map().clone();
    let mut fake = std::mem::take(source.transport_mut());
    fake.servers.remove(&at(A));
    let mut c = fake.servers.remove(&at(B)).unwrap();
    c.set("node", "C");
    c.list("[D,,[127.0.0.1:4]]");
    fake.servers.insert(at(B), c);
    fake.servers.insert(at("127.0.0.1:4"), {
        let mut d = server("D", "127.0.0.1:4", &[0xf0, 0x0f]);
        d.list("[C,,[127.0.0.1:2]]");
        d
    });
    let mut source = seeded(fake, &["127.0.0.1:7"], None);
    source.start(map);
    tend_well(&mut source);
    assert_eq!(ids(source.map()), "C D");
    assert_eq!(owners(source.map(), 0), "DDDDCCCC");
}

#[test]
fn a_map_to_start_from_is_confirmed_without_seeds() {
    let mut first = seeded(two(), &[A], None);
    tend_well(&mut first);
    let map = first.map().clone();
    let fake = std::mem::take(first.transport_mut());
    let mut source = seeded(fake, &["127.0.0.1:9"], None);
    source.start(map.clone());
    let (report, events) = tend_well(&mut source);
    assert!(events.is_empty() && !report.changed, "{events:?}");
    assert_eq!(*source.map(), map);
}
