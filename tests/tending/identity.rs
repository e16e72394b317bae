//! Which cluster a node belongs to: clusters that are renamed, and nodes that join
//! another cluster.

use tendmap::internals::tend::Tender;
use tendmap::map::{ClusterMap, ClusterName};
use tendmap::tend::{AerospikeConfig, ClusterSource, Condition, TendError, TendEvent};
use tendmap_testkit::tables::*;

const A: &str = "127.0.0.1:1";
const B: &str = "127.0.0.1:2";
const C: &str = "127.0.0.1:3";
const D: &str = "127.0.0.1:4";

/// A, B and C, with partitions 0 to 2, 3 to 5, and 6 and 7.
fn three() -> Fake {
    let mut fake = Fake::default();
    for (id, address, columns) in
        [("A", A, [0xe0, 0x03]), ("B", B, [0x1c, 0xe0]), ("C", C, [0x03, 0x1c])]
    {
        fake.servers.insert(at(address), server(id, address, &columns));
    }
    wire(&mut fake, &[("A", A), ("B", B), ("C", C)]);
    fake
}

/// These nodes list each other.
fn wire(fake: &mut Fake, members: &[(&str, &str)]) {
    for (id, address) in members {
        let peers: Vec<String> = members
            .iter()
            .filter(|(other, _)| other != id)
            .map(|(other, address)| format!("[{other},,[{address}]]"))
            .collect();
        fake.servers.get_mut(&at(address)).unwrap().list(&peers.join(","));
    }
}

fn named(fake: Fake, cluster: Option<&str>) -> Tender<Fake> {
    let mut config = AerospikeConfig::new(vec![A.parse().unwrap()]);
    config.cluster_name = cluster.map(|name| ClusterName::new(name).unwrap());
    let mut source = Tender::with_transport(config, fake);
    source.start(ClusterMap::new(SMALL));
    source
}

fn rename(source: &mut Tender<Fake>, addresses: &[&str], name: &str) {
    for address in addresses {
        edit(source, address, |server| server.set("cluster-name", name));
    }
}

fn name(source: &Tender<Fake>) -> String {
    source.map().cluster_name.map_or("null".into(), |name| name.to_string())
}

fn renamed(events: &[TendEvent]) -> Vec<(String, String)> {
    let text = |name: &Option<ClusterName>| name.map_or("null".into(), |name| name.to_string());
    let of = |event: &TendEvent| match event {
        TendEvent::ClusterRenamed { from, to } => Some((text(from), text(to))),
        _ => None,
    };
    events.iter().filter_map(of).collect()
}

fn down(source: &mut Tender<Fake>, address: &str, down: bool) {
    edit(source, address, |server| {
        server.down = down;
        server.connection += 1;
    });
}

#[test]
fn h49_a_renamed_cluster_is_followed_when_a_node_joins_and_all_restart_one_by_one() {
    let mut source = named(three(), None);
    tend_well(&mut source);
    rename(&mut source, &[A, B, C], "new");
    source.transport_mut().servers.insert(at(D), server("D", D, &[0x00, 0x00]));
    rename(&mut source, &[D], "new");
    wire(source.transport_mut(), &[("A", A), ("B", B), ("C", C), ("D", D)]);
    let (report, events) = tend_well(&mut source);
    assert_eq!(renamed(&events), [("lab".into(), "new".into())]);
    assert!(report.changed, "the new name is published");
    assert_eq!(report.conditions.count(Condition::OtherCluster), 0);
    assert_eq!((ids(source.map()).as_str(), name(&source).as_str()), ("A B C D", "new"));
    assert_eq!(owners(source.map(), 0), "AAABBBCC");
    for address in [A, B, C, D] {
        down(&mut source, address, true);
        tend_well(&mut source);
        down(&mut source, address, false);
        let (report, events) = tend_well(&mut source);
        assert_eq!((report.nodes_ok, renamed(&events).len()), (4, 0), "{events:?}");
        assert_eq!(owners(source.map(), 0), "AAABBBCC");
    }
    // A process that starts from the published map.
    let map = source.map().clone();
    let fake = std::mem::take(source.transport_mut());
    let mut next = named(fake, None);
    next.start(map);
    assert_eq!(tend_well(&mut next).1, []);
}

#[test]
fn h49_a_name_given_by_restarting_the_nodes_one_by_one_is_followed() {
    let mut source = named(three(), None);
    tend_well(&mut source);
    // A restarts under another name: it is alone in a cluster of its own.
    rename(&mut source, &[A], "new");
    wire(source.transport_mut(), &[("A", A)]);
    wire(source.transport_mut(), &[("B", B), ("C", C)]);
    down(&mut source, A, false);
    edit(&mut source, B, |b| b.claim(0, &[0xfc, 0x00]));
    for _ in 0..3 {
        tend_well(&mut source);
    }
    assert_eq!((ids(source.map()).as_str(), name(&source).as_str()), ("B C", "lab"));
    assert_eq!(owners(source.map(), 0), "BBBBBBCC");
    // B joins A there: the new cluster has two of three nodes.
    rename(&mut source, &[B], "new");
    down(&mut source, B, false);
    wire(source.transport_mut(), &[("A", A), ("B", B)]);
    edit(&mut source, A, |a| a.claim(0, &[0xff, 0x00]));
    edit(&mut source, B, |b| b.claim(0, &[0x00, 0xff]));
    let mut events = tend_well(&mut source).1;
    events.extend(tend_well(&mut source).1);
    assert_eq!(renamed(&events), [("lab".into(), "new".into())]);
    assert_eq!((ids(source.map()).as_str(), name(&source).as_str()), ("A B", "new"));
    assert_eq!(owners(source.map(), 0), "AAAAAAAA");
    // C follows.
    rename(&mut source, &[C], "new");
    down(&mut source, C, false);
    wire(source.transport_mut(), &[("A", A), ("B", B), ("C", C)]);
    let (_, events) = tend_well(&mut source);
    assert_eq!((ids(source.map()).as_str(), renamed(&events).len()), ("A B C", 0));
}

#[test]
fn h49_a_cluster_that_restarted_whole_under_another_name_is_followed() {
    for back in [&[(A, "A"), (B, "B")][..], &[(B, "B"), (C, "C")][..]] {
        let mut source = named(three(), None);
        tend_well(&mut source);
        for address in [A, B, C] {
            down(&mut source, address, true);
        }
        rename(&mut source, &[A, B, C], "new");
        for _ in 0..7 {
            assert!(tend(&mut source).0.is_err());
        }
        // The first one alone could be a node that moved to another cluster.
        wire(source.transport_mut(), &[(back[0].1, back[0].0)]);
        down(&mut source, back[0].0, false);
        let before = source.map().clone();
        assert!(tend(&mut source).0.is_err(), "one node of three is not enough");
        assert_eq!(*source.map(), before);
        wire(source.transport_mut(), &back.iter().map(|&(at, id)| (id, at)).collect::<Vec<_>>());
        down(&mut source, back[1].0, false);
        let (_, events) = tend_well(&mut source);
        assert_eq!(renamed(&events), [("lab".into(), "new".into())]);
        assert_eq!(name(&source), "new");
    }
}

#[test]
fn h49_a_renamed_cluster_at_other_addresses_is_found_by_its_seeds() {
    // In one pass none of the known nodes can be reached at its address.
    let mut config = AerospikeConfig::new(vec!["db:1".parse().unwrap()]);
    config.connect_timeout = std::time::Duration::from_secs(1);
    let mut fake = three();
    fake.names.insert("db".into(), vec![at(A)]);
    let mut source = Tender::with_transport(config, fake);
    source.start(ClusterMap::new(SMALL));
    tend_well(&mut source);
    let fake = source.transport_mut();
    let moved = [("A", A, "127.0.0.2:1"), ("B", B, "127.0.0.2:2"), ("C", C, "127.0.0.2:3")];
    for (_, old, new) in moved {
        let server = fake.servers.remove(&at(old)).unwrap();
        fake.servers.insert(at(new), server);
    }
    wire(fake, &moved.map(|(id, _, new)| (id, new)));
    fake.names.insert("db".into(), vec![at(moved[0].2)]);
    rename(&mut source, &moved.map(|(.., new)| new), "new");
    let (_, events) = tend_well(&mut source);
    assert_eq!(renamed(&events), [("lab".into(), "new".into())]);
    assert_eq!(owners(source.map(), 0), "AAABBBCC");
}

#[test]
fn h49_names_may_be_given_and_taken_away() {
    let mut fake = three();
    for server in fake.servers.values_mut() {
        server.set("cluster-name", "null");
    }
    let mut source = named(fake, None);
    tend_well(&mut source);
    rename(&mut source, &[A, B, C], "first");
    assert_eq!(renamed(&tend_well(&mut source).1), [("null".into(), "first".into())]);
    rename(&mut source, &[A, B, C], "null");
    assert_eq!(renamed(&tend_well(&mut source).1), [("first".into(), "null".into())]);
    assert_eq!(owners(source.map(), 0), "AAABBBCC");
    assert_eq!(tend_well(&mut source).1, []);
    // A node with a name does not belong to a cluster without one.
    rename(&mut source, &[C], "third");
    tend_well(&mut source);
    tend_well(&mut source);
    assert_eq!(ids(source.map()), "A B");
}

#[test]
fn h49_while_a_name_is_given_node_by_node_nothing_is_lost() {
    let mut source = named(three(), None);
    tend_well(&mut source);
    // A pass runs between the renaming of the first node and that of the others.
    rename(&mut source, &[A], "new");
    let (report, events) = tend_well(&mut source);
    assert_eq!(report.conditions.count(Condition::OtherCluster), 1);
    assert!(matches!(&events[..], [TendEvent::NodeFailed { error, .. }]
        if error == "reports cluster \"new\", wanted \"lab\""));
    assert_eq!(owners(source.map(), 0), "AAABBBCC");
    rename(&mut source, &[B], "new");
    assert_eq!(renamed(&tend_well(&mut source).1), [("lab".into(), "new".into())]);
    rename(&mut source, &[C], "new");
    let (report, events) = tend_well(&mut source);
    assert!(events.contains(&TendEvent::NodeRecovered { id: node("C") }), "{events:?}");
    assert_eq!(report.conditions.count(Condition::OtherCluster), 0);
    assert_eq!(owners(source.map(), 0), "AAABBBCC");
    assert_eq!(ids(source.map()), "A B C");
}

#[test]
fn h50_a_node_that_joins_another_cluster_over_its_connection_counts_no_longer() {
    for configured in [Some("lab"), None] {
        let mut source = named(three(), configured);
        tend_well(&mut source);
        // C is a member of another cluster now, together with a node D, and claims
        // the partitions that it has there. A and B have not noticed yet.
        source.transport_mut().servers.insert(at(D), server("D", D, &[0x0f, 0xf0]));
        rename(&mut source, &[C, D], "other");
        wire(source.transport_mut(), &[("C", C), ("D", D)]);
        edit(&mut source, C, |c| {
            c.raise("partition-generation");
            c.claim(0, &[0xf0, 0x0f]);
        });
        for pass in 0..4 {
            let (report, _) = tend_well(&mut source);
            // A and B list it, so it is still looked for.
            assert_eq!(report.conditions.count(Condition::OtherCluster), 1, "pass {pass}");
            let masters = owners(source.map(), 0);
            let stays = configured.is_none() && pass == 0;
            assert_eq!(masters, if stays { "AAABBBCC" } else { "AAABBB.." });
            assert!(!ids(source.map()).contains('D'), "its peers do not count");
            assert_eq!(name(&source), "lab");
        }
        // They notice.
        wire(source.transport_mut(), &[("A", A), ("B", B)]);
        for (address, columns) in [(A, [0xe2, 0x1d]), (B, [0x1d, 0xe2])] {
            edit(&mut source, address, |server| {
                server.raise("partition-generation");
                server.claim(0, &columns);
            });
        }
        let (report, _) = tend_well(&mut source);
        assert_eq!(owners(source.map(), 0), "AAABBBAB");
        assert_eq!((ids(source.map()).as_str(), report.nodes_failed), ("A B", 0));
        assert_eq!(report.conditions.count(Condition::OtherCluster), 0);
        tend_well(&mut source);
        assert_eq!(requests(&mut source), 2, "C is not asked any more");
        // C returns to its cluster.
        rename(&mut source, &[C], "lab");
        edit(&mut source, C, |c| c.claim(0, &[0x03, 0x1c]));
        wire(source.transport_mut(), &[("A", A), ("B", B), ("C", C)]);
        tend_well(&mut source);
        assert_eq!(ids(source.map()), "A B C");
    }
}

#[test]
fn h50_what_a_node_claims_after_its_status_as_member_of_another_cluster_does_not_count() {
    let mut source = named(three(), Some("lab"));
    tend_well(&mut source);
    let good = source.map().clone();
    edit(&mut source, C, |c| {
        c.raise("partition-generation");
        c.claim(0, &[0xff, 0x00]);
        c.list("[A,,[127.0.0.1:1]],[D,,[127.0.0.1:4]]");
        // Its answers from its second request of the pass on.
        c.later.insert("cluster-name".into(), "other".into());
    });
    tend_well(&mut source);
    assert_eq!(*source.map(), good);
    // Another node, which neither the name nor the connection shows.
    edit(&mut source, C, |c| {
        c.later.clear();
        c.later.insert("node".into(), "X".into());
    });
    tend_well(&mut source);
    assert_eq!(*source.map(), good);
}

#[test]
fn h50_a_node_gone_to_another_cluster_does_not_draw_the_rest_along() {
    let mut source = named(three(), None);
    tend_well(&mut source);
    rename(&mut source, &[C], "other");
    wire(source.transport_mut(), &[("C", C)]);
    wire(source.transport_mut(), &[("A", A), ("B", B)]);
    tend_well(&mut source);
    tend_well(&mut source);
    assert_eq!(ids(source.map()), "A B");
    // The others can't be reached for a while, but this node can.
    down(&mut source, A, true);
    down(&mut source, B, true);
    let good = source.map().clone();
    for _ in 0..8 {
        let error = tend(&mut source).0.unwrap_err();
        assert!(matches!(error, TendError::NoAnswer { .. } | TendError::NoSeed { .. }), "{error}");
        assert_eq!(*source.map(), good);
    }
    down(&mut source, A, false);
    down(&mut source, B, false);
    tend_well(&mut source);
    assert_eq!((ids(source.map()).as_str(), name(&source).as_str()), ("A B", "lab"));
}

#[test]
fn h50_with_a_name_configured_a_renamed_cluster_is_refused_and_the_map_stands() {
    let mut source = named(three(), Some("lab"));
    tend_well(&mut source);
    let good = source.map().clone();
    rename(&mut source, &[A, B, C], "new");
    for _ in 0..7 {
        let error = tend(&mut source).0.unwrap_err();
        assert!(matches!(error, TendError::WrongCluster { .. } | TendError::NoAnswer { .. }));
        assert_eq!(*source.map(), good);
        assert_eq!(source.failed_pass().conditions.count(Condition::OtherCluster), 3);
    }
    // The new name is configured in a process that takes over.
    let fake = std::mem::take(source.transport_mut());
    let mut next = named(fake, Some("new"));
    next.start(good);
    let (_, events) = tend_well(&mut next);
    assert_eq!(renamed(&events), [("lab".into(), "new".into())]);
    assert_eq!((name(&next).as_str(), owners(next.map(), 0).as_str()), ("new", "AAABBBCC"));
}

#[test]
fn h49_the_name_costs_no_request() {
    let mut source = named(three(), None);
    tend_well(&mut source);
    tend_well(&mut source);
    let asked = source.transport_mut().asked.clone();
    assert_eq!(asked.len(), 3);
    assert!(asked.iter().all(|ask| ask.commands.iter().any(|command| command == "cluster-name")));
}
