//! The builds of the nodes in the map.

use tendmap::internals::tend::Tender;
use tendmap::map::{Build, ClusterMap};
use tendmap::tend::{AerospikeConfig, ClusterSource, Condition, TendEvent};
use tendmap_testkit::tables::*;

const A: &str = "127.0.0.1:1";
const B: &str = "127.0.0.1:2";

/// The builds of the nodes of the map, in the order of their ids; `-` = unknown.
fn builds(map: &ClusterMap) -> String {
    let mut nodes: Vec<_> = map.nodes.iter().map(|(_, node)| (node.id, node.build)).collect();
    nodes.sort_unstable();
    let shown = |build: Option<Build>| build.map_or("-".into(), |build| build.to_string());
    nodes.into_iter().map(|(_, build)| shown(build)).collect::<Vec<_>>().join(" ")
}

fn bad_entries(events: &[TendEvent]) -> Vec<&str> {
    let entry = |event| match event {
        &TendEvent::BadEntry { what: "build", ref entry, .. } => Some(entry.as_str()),
        _ => None,
    };
    events.iter().filter_map(entry).collect()
}

#[test]
fn the_first_map_has_the_builds_and_they_cost_no_request() {
    let mut fake = two();
    fake.servers.get_mut(&at(B)).unwrap().set("build", "7.0.0.26-rc1");
    let mut source = source(fake, SMALL);
    tend_well(&mut source);
    assert_eq!(builds(source.map()), "8.1.2.0 7.0.0.26");
    for _ in 0..3 {
        let (report, events) = tend_well(&mut source);
        assert!(!report.changed && events.is_empty(), "{events:?}");
        assert_eq!(requests(&mut source), 2);
        assert_eq!(builds(source.map()), "8.1.2.0 7.0.0.26");
    }
}

#[test]
fn h137_a_node_that_is_upgraded_in_place_keeps_all_but_its_build() {
    // The node is upgraded between two passes, so that none fails, or during some.
    for misses in [0, 1, 3] {
        let mut source = source(two(), SMALL);
        tend_well(&mut source);
        let before = source.map().clone();
        edit(&mut source, B, |b| b.down = true);
        for _ in 0..misses {
            tend_well(&mut source);
            assert_eq!(*source.map(), before, "the last known map is kept");
        }
        edit(&mut source, B, |b| {
            b.down = false;
            b.connection += 1;
            b.set("build", "8.1.3.1");
        });
        let (report, events) = tend_well(&mut source);
        assert!(report.changed, "the new build is published");
        let [from, to] = ["8.1.2.0", "8.1.3.1"].map(|text| Build::parse(text.as_bytes()).unwrap());
        let upgraded = TendEvent::NodeUpgraded { id: node("B"), from, to };
        assert_eq!(events.iter().filter(|&event| *event == upgraded).count(), 1, "{events:?}");
        assert_eq!(builds(source.map()), "8.1.2.0 8.1.3.1");
        let mut wanted = before;
        let slot = wanted.nodes.slot_of(&node("B")).unwrap();
        wanted.nodes.set_build(slot, Build::parse(b"8.1.3.1"));
        assert_eq!(*source.map(), wanted);
        tend_well(&mut source);
        let (report, events) = tend_well(&mut source);
        assert!(!report.changed && events.is_empty(), "{events:?}");
        assert_eq!(requests(&mut source), 2);
    }
}

#[test]
fn the_next_owner_finds_out_what_the_map_does_not_know() {
    let mut first = source(two(), SMALL);
    tend_well(&mut first);
    let mut map = first.map().clone();
    for (slot, build) in [("A", None), ("B", Build::parse(b"8.1.1"))] {
        let slot = map.nodes.slot_of(&node(slot)).unwrap();
        map.nodes.set_build(slot, build);
    }
    let mut next = Tender::with_transport(AerospikeConfig::new(vec![]), two());
    next.start(map);
    let (report, events) = tend_well(&mut next);
    assert!(report.changed);
    assert_eq!(*next.map(), *first.map());
    let upgraded = |event: &&TendEvent| matches!(event, TendEvent::NodeUpgraded { .. });
    assert_eq!(
        events.iter().filter(upgraded).count(),
        1,
        "only B's upgrade is reported: {events:?}"
    );
}

#[test]
fn a_server_without_the_command_is_a_node_without_a_build() {
    for reply in [None, Some(""), Some("ERROR:4:unrecognized command"), Some("FAIL")] {
        let answer = |server: &mut Server| match reply {
            Some(reply) => server.set("build", reply),
            None => drop(server.replies.remove("build")),
        };
        let mut fake = two();
        answer(fake.servers.get_mut(&at(B)).unwrap());
        let mut source = source(fake, SMALL);
        let (report, events) = tend_well(&mut source);
        assert_eq!((report.nodes_ok, builds(source.map())), (2, "8.1.2.0 -".into()), "{reply:?}");
        assert!(bad_entries(&events).is_empty(), "{events:?}");
        // A known build becomes unknown, which is published.
        edit(&mut source, A, answer);
        let (report, events) = tend_well(&mut source);
        assert!(report.changed && events.is_empty(), "{events:?}");
        assert_eq!(
            (report.nodes_ok, report.nodes_failed, builds(source.map())),
            (2, 0, "- -".into())
        );
        assert_eq!(report.conditions.count(Condition::BadEntries), 0);
        assert_eq!(owners(source.map(), 0), "AAAABBBB");
    }
}

#[test]
fn h57_a_bad_build_costs_a_node_nothing_else() {
    let long = "9".repeat(100_000);
    for bad in ["x", "8.", "8.1.70000", "-8.1", " 8.1.2.0", "\u{1b}[31m8", "8.\u{661}", &long] {
        let mut fake = two();
        fake.servers.get_mut(&at(B)).unwrap().set("build", bad);
        let mut source = source(fake, SMALL);
        let (report, events) = tend_well(&mut source);
        assert_eq!((report.nodes_ok, report.bad_replies), (2, 0), "{bad:?}");
        assert_eq!(bad_entries(&events).len(), 1, "{events:?}");
        assert!(bad_entries(&events)[0].bytes().all(|byte| matches!(byte, b' '..=b'~')));
        assert_eq!(builds(source.map()), "8.1.2.0 -");
        // The same holds for a known node, and each bad build is reported once.
        edit(&mut source, A, |a| a.set("build", bad));
        for changed in [true, false] {
            let (report, events) = tend_well(&mut source);
            assert!(events.is_empty(), "{events:?}");
            assert_eq!((report.nodes_ok, report.changed), (2, changed));
            assert_eq!(report.conditions.count(Condition::BadEntries), 1);
            assert_eq!((builds(source.map()), requests(&mut source)), ("- -".into(), 2));
        }
        assert_eq!(owners(source.map(), 0), "AAAABBBB");
        for server in [A, B] {
            edit(&mut source, server, |server| server.set("build", "8.1.2.0"));
        }
        let (report, _) = tend_well(&mut source);
        assert_eq!((report.conditions.count(Condition::BadEntries), report.changed), (0, true));
        assert_eq!(builds(source.map()), "8.1.2.0 8.1.2.0");
    }
}
