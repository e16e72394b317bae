//! Addresses of servers: what servers report, and which address is used.

use std::time::{Duration, Instant};

use tendmap::internals::tend::Tender;
use tendmap::map::{Capacity, ClusterMap};
use tendmap::sim::{Sim, SimConfig};
use tendmap::tend::{
    AerospikeConfig, AerospikeSource, ClusterSource, Condition, TendError, TendEvent,
};
use tendmap_testkit::tables::*;

const LONG: Duration = Duration::from_secs(30);

/// A source with that configuration for a table of servers.
fn configured(fake: Fake, config: AerospikeConfig) -> Tender<Fake> {
    let mut source = Tender::with_transport(config, fake);
    source.start(ClusterMap::new(SMALL));
    source
}

fn seeds(hosts: &[&str]) -> AerospikeConfig {
    AerospikeConfig::new(hosts.iter().map(|host| host.parse().unwrap()).collect())
}

fn address_of(source: &Tender<Fake>, id: &str) -> String {
    let slot = source.map().nodes.slot_of(&node(id)).unwrap();
    source.map().nodes.get(slot).unwrap().address.to_string()
}

/// A at 10.0.0.1 and B at 10.0.0.2 report private addresses. They are reached at
/// 203.0.113.1 and .2.
fn behind_nat() -> Fake {
    let mut fake = Fake::default();
    let mut a = server("A", "10.0.0.1:3000", &[0xf0, 0x0f]);
    let mut b = server("B", "10.0.0.2:3000", &[0x0f, 0xf0]);
    a.list("[B,,[10.0.0.2]]");
    b.list("[A,,[10.0.0.1]]");
    fake.servers.insert(at("203.0.113.1:3000"), a);
    fake.servers.insert(at("203.0.113.2:3000"), b);
    fake
}

#[test]
fn private_addresses_are_mapped_to_public_ones_and_seeds_are_not() {
    let mut config = seeds(&["203.0.113.1"]);
    let pairs = [("10.0.0.1", "203.0.113.1"), ("10.0.0.2", "db2"), ("203.0.113.1", "192.0.2.1")];
    config.ip_map = pairs.map(|(told, used)| (told.into(), used.into())).into();
    let mut fake = behind_nat();
    fake.names.insert("db2".into(), vec![at("203.0.113.2:3000")]);
    let mut source = configured(fake, config);
    tend_well(&mut source);
    assert_eq!(address_of(&source, "A"), "203.0.113.1:3000");
    assert_eq!(address_of(&source, "B"), "203.0.113.2:3000");
    assert_eq!(owners(source.map(), 0), "AAAABBBB");
    // Without the address map only the seed can be reached.
    let mut source = configured(behind_nat(), seeds(&["203.0.113.1"]));
    let (_, events) = tend_well(&mut source);
    assert_eq!(ids(source.map()), "A", "{events:?}");
}

#[test]
fn of_several_access_addresses_the_first_that_answers_as_the_node_is_taken() {
    let mut fake = two();
    // No server at the first address, another node at the second, B at the third.
    fake.servers.insert(at("127.0.0.1:8"), server("OTHER", "127.0.0.1:8", &[0xff]));
    edit_in(&mut fake, "127.0.0.1:1", |a| {
        a.list("[B,,[127.0.0.1:7,127.0.0.1:8,127.0.0.1:2]]");
    });
    let mut source = source(fake, SMALL);
    tend_well(&mut source);
    assert_eq!(address_of(&source, "B"), "127.0.0.1:2");
    assert_eq!(ids(source.map()), "A B");
}

#[test]
fn every_address_of_a_name_is_tried() {
    let mut fake = two();
    fake.names.insert("db".into(), vec![at("127.0.0.1:7"), at("[::1]:7"), at("127.0.0.1:1")]);
    fake.names.insert("b".into(), vec![at("127.0.0.1:9"), at("127.0.0.1:2")]);
    edit_in(&mut fake, "127.0.0.1:1", |a| a.list("[B,,[b:2]]"));
    let mut source = configured(fake, seeds(&["db:1"]));
    tend_well(&mut source);
    assert_eq!(owners(source.map(), 0), "AAAABBBB");
    assert_eq!(address_of(&source, "B"), "127.0.0.1:2");
}

#[test]
fn the_default_port_of_the_list_stands_for_a_missing_one() {
    let mut fake = Fake::default();
    let mut a = server("A", "127.0.0.1:1", &[0xf0, 0x0f]);
    a.raise("peers-generation");
    a.set("peers-clear-std", "2,4000,[[B,,[127.0.0.1]],[C,,[[::1]]]]");
    fake.servers.insert(at("127.0.0.1:1"), a);
    for (id, address) in [("B", "127.0.0.1:4000"), ("C", "[::1]:4000")] {
        let mut other = server(id, address, &[0x00, 0xf0]);
        other.list("[A,,[127.0.0.1:1]]");
        fake.servers.insert(at(address), other);
    }
    let mut source = configured(fake, seeds(&["127.0.0.1:1"]));
    tend_well(&mut source);
    assert_eq!(address_of(&source, "B"), "127.0.0.1:4000");
    assert_eq!(address_of(&source, "C"), "[::1]:4000");
}

#[test]
fn a_peer_without_an_address_costs_nobody_anything() {
    let mut fake = two();
    edit_in(&mut fake, "127.0.0.1:1", |a| a.list("[B,,[127.0.0.1:2]],[C,,[]]"));
    let mut source = source(fake, SMALL);
    for _ in 0..3 {
        let (report, events) = tend_well(&mut source);
        let about_c = |event: &TendEvent| format!("{event:?}").contains("\"C\"");
        assert!(!events.iter().any(about_c), "{events:?}");
        assert_eq!((report.nodes_ok, report.nodes_failed), (2, 0));
    }
    assert_eq!(ids(source.map()), "A B");
    assert_eq!(owners(source.map(), 0), "AAAABBBB");
}

#[test]
fn a_node_out_of_the_owners_reach_keeps_its_place_while_others_list_it() {
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    edit(&mut source, "127.0.0.1:2", |b| b.down = true);
    let mut told = 0;
    for _ in 0..20 {
        let (report, events) = tend_well(&mut source);
        assert_eq!((report.nodes_ok, report.nodes_failed), (1, 1));
        told += events.len();
    }
    assert_eq!(told, 1, "the failure is reported once");
    assert_eq!(owners(source.map(), 0), "AAAABBBB");
}

#[test]
fn halves_that_do_not_know_each_other_both_keep_what_is_theirs() {
    let mut fake = two();
    for (id, peer, address) in [("C", "D", "127.0.0.1:3"), ("D", "C", "127.0.0.1:4")] {
        let mut node = server(id, address, &[0x00, 0x00]);
        node.list(&format!("[{peer},,[127.0.0.1:{}]]", if peer == "C" { 3 } else { 4 }));
        fake.servers.insert(at(address), node);
    }
    let whole = "[B,,[127.0.0.1:2]],[C,,[127.0.0.1:3]],[D,,[127.0.0.1:4]]";
    edit_in(&mut fake, "127.0.0.1:1", |a| a.list(whole));
    let mut source = source(fake, SMALL);
    tend_well(&mut source);
    assert_eq!(ids(source.map()), "A B C D");
    // The cluster splits into A and B on one side, C and D on the other.
    edit(&mut source, "127.0.0.1:1", |a| a.list("[B,,[127.0.0.1:2]]"));
    for _ in 0..5 {
        tend_well(&mut source);
    }
    assert_eq!(ids(source.map()), "A B C D", "each half lists its own nodes");
    assert_eq!(owners(source.map(), 0), "AAAABBBB");
}

fn edit_in(fake: &mut Fake, address: &str, change: impl FnOnce(&mut Server)) {
    change(fake.servers.get_mut(&at(address)).unwrap());
}

fn whole(sim: &Sim, config: AerospikeConfig) -> AerospikeSource {
    let mut source = AerospikeSource::new(config);
    source.start(ClusterMap::new(Capacity::DEFAULT));
    let (begun, wanted) = (Instant::now(), sim.status().unwrap().nodes.len());
    loop {
        let result = source.tend(&mut Log::default());
        if result.as_ref().is_ok_and(|report| report.nodes_ok == wanted) {
            return source;
        }
        assert!(begun.elapsed() < LONG, "{result:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn clusters_are_tended_over_ipv6() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        tendmap_testkit::skipped("this machine has no IPv6 loopback");
        return;
    }
    let mut config = SimConfig::fast(3);
    config.ipv6 = true;
    let sim = Sim::start(config).unwrap();
    let source = whole(&sim, AerospikeConfig::new(vec![sim.seeds()[0].into()]));
    assert!(source.map().nodes.iter().all(|(_, node)| node.address.is_ipv6()));
    assert_eq!(source.map().nodes.len(), 3);
    // On most machines localhost has addresses of both kinds.
    let port = sim.seeds()[0].port();
    let mut config = AerospikeConfig::new(vec![format!("[::1]:{port}").parse().unwrap()]);
    config.connect_timeout = Duration::from_secs(5);
    whole(&sim, config);
}

#[test]
fn alternate_addresses_are_used_where_they_are_asked_for() {
    let mut config = SimConfig::fast(3);
    config.alternate_addresses = true;
    let sim = Sim::start(config).unwrap();
    let mut config = AerospikeConfig::new(vec![sim.seeds()[0].into()]);
    config.use_services_alternate = true;
    let source = whole(&sim, config);
    let mut ips: Vec<String> =
        source.map().nodes.iter().map(|(_, node)| node.address.ip().to_string()).collect();
    ips.sort();
    // The seed's alternate address is used as well; the seed was reached at another
    // loopback address.
    assert_eq!(ips, ["127.1.0.1", "127.1.0.2", "127.1.0.3"]);
    let source = whole(&sim, AerospikeConfig::new(vec![sim.seeds()[0].into()]));
    assert!(
        source.map().nodes.iter().all(|(_, node)| node.address.ip().to_string() == "127.0.0.1")
    );
}

/// Nodes A and B. B is listed without an alternate address unless one is given.
fn with_alternates(own: &str, of_b: &str) -> Fake {
    let mut fake = two();
    for (address, id, hosts) in [("127.0.0.1:1", "B", of_b), ("127.0.0.1:2", "A", own)] {
        edit_in(&mut fake, address, |server| {
            server.set("peers-clear-alt", format!("7,3000,[[{id},,[{hosts}]]]"));
            server.set("service-clear-alt", if id == "B" { own } else { of_b });
        });
    }
    fake
}

fn wanting_alternates(fake: Fake) -> Tender<Fake> {
    let mut config = seeds(&["127.0.0.1:1"]);
    config.use_services_alternate = true;
    let mut source = Tender::with_transport(config, fake);
    source.start(ClusterMap::new(SMALL));
    source
}

#[test]
fn h61_a_cluster_without_alternate_addresses_is_an_error_that_names_the_setting() {
    let mut source = wanting_alternates(with_alternates("", ""));
    for _ in 0..2 {
        let (result, _) = tend(&mut source);
        let error = result.unwrap_err();
        assert!(matches!(error, TendError::NoAlternateAddress { peers: 1, .. }), "{error:?}");
        let text = error.to_string();
        assert!(
            text.contains("alternate-access-address") && text.contains("network.service"),
            "{text}"
        );
        assert!(source.map().nodes.is_empty(), "no map of one node is published");
    }
}

#[test]
fn h61_nodes_without_an_alternate_address_are_told_once_and_counted() {
    let without = |events: &[TendEvent]| -> Vec<String> {
        let id = |event: &TendEvent| match event {
            TendEvent::NoAlternateAddress { id, setting } => {
                assert_eq!(*setting, "alternate-access-address");
                Some(id.to_string())
            }
            _ => None,
        };
        events.iter().filter_map(id).collect()
    };
    // A reports none for itself; it is reached at the address that was asked.
    let mut source = wanting_alternates(with_alternates("", "127.0.0.1:2"));
    for pass in 0..3 {
        let (report, events) = tend_well(&mut source);
        assert_eq!(ids(source.map()), "A B");
        assert_eq!(report.conditions.count(Condition::NoAlternateAddress), 1);
        assert_eq!(without(&events), if pass == 0 { vec!["A"] } else { vec![] }, "{events:?}");
    }
    // From now on A does, and B does not.
    for (address, list) in [("127.0.0.1:1", "[B,,[]]"), ("127.0.0.1:2", "[A,,[127.0.0.1:1]]")] {
        edit(&mut source, address, |server| {
            server.raise("peers-generation");
            server.set("peers-clear-alt", format!("8,3000,[{list}]"));
        });
    }
    let (report, events) = tend_well(&mut source);
    assert_eq!(report.conditions.count(Condition::NoAlternateAddress), 1);
    assert_eq!(without(&events), ["B"], "{events:?}");
    assert_eq!(ids(source.map()), "A B", "the map is unchanged");
}

#[test]
fn h61_without_the_setting_nothing_is_said_of_alternate_addresses() {
    let mut source = source(with_alternates("", ""), SMALL);
    let (report, events) = tend_well(&mut source);
    assert_eq!(report.conditions.count(Condition::NoAlternateAddress), 0);
    assert!(!events.iter().any(|event| matches!(event, TendEvent::NoAlternateAddress { .. })));
}

#[test]
fn h62_the_own_address_of_a_seed_on_the_loopback_is_used_where_the_same_node_answers() {
    // Port 9 is A's admin port, port 1 its service port. No server answers at port 7;
    // B answers at port 2.
    for (told, used) in [
        ("127.0.0.1:1", "127.0.0.1:1"),
        ("127.0.0.1:9", "127.0.0.1:9"),
        ("127.0.0.1:7", "127.0.0.1:9"),
        ("127.0.0.1:2", "127.0.0.1:9"),
        ("127.0.0.1:7,127.0.0.1:1", "127.0.0.1:1"),
        ("", "127.0.0.1:9"),
    ] {
        let mut fake = two();
        edit_in(&mut fake, "127.0.0.1:1", |a| a.set("service-clear-std", told));
        let a = fake.servers[&at("127.0.0.1:1")].clone();
        fake.servers.insert(at("127.0.0.1:9"), a);
        let mut source = configured(fake, seeds(&["127.0.0.1:9"]));
        tend_well(&mut source);
        assert_eq!(address_of(&source, "A"), used, "{told}");
        assert_eq!(owners(source.map(), 0), "AAAABBBB");
    }
}
