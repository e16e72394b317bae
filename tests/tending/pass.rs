//! What a pass does with replies: generations, claims, bad replies, racks.

use tendmap::internals::tend::Tender;
use tendmap::map::ClusterMap;
use tendmap::tend::{ClusterSource, TendError, TendEvent, Turn};
use tendmap_testkit::tables::*;

const A: &str = "127.0.0.1:1";
const B: &str = "127.0.0.1:2";

/// B gives up every master. Its next reply will say so.
fn yield_all(source: &mut Tender<Fake>) {
    edit(source, B, |b| b.claim(0, &[0x00, 0xff]));
}

#[test]
fn the_first_pass_covers_all_nodes_and_an_idle_one_is_a_request_a_node() {
    let mut source = source(two(), SMALL);
    let (report, events) = tend_well(&mut source);
    assert!(report.changed);
    assert_eq!((report.nodes_ok, report.nodes_failed, report.refused), (2, 0, 0));
    assert_eq!(owners(source.map(), 0), "AAAABBBB");
    assert_eq!(owners(source.map(), 1), "BBBBAAAA");
    assert_eq!(source.map().cluster_name.unwrap().as_str(), "lab");
    assert_eq!(events.len(), 3, "{events:?}");
    for _ in 0..3 {
        let (report, events) = tend_well(&mut source);
        assert!(!report.changed && events.is_empty(), "{events:?}");
        assert_eq!(requests(&mut source), 2);
    }
}

#[test]
fn h25_a_generation_is_recorded_only_after_its_map_was_taken_over() {
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    let good = source.map().clone();
    edit(&mut source, A, |a| {
        a.raise("partition-generation");
        a.claim(0, &[0xff, 0x00]);
        let text = a.replies["replicas"].replace('=', "!");
        a.set("replicas", text);
    });
    for pass in 0..3 {
        let (report, events) = tend_well(&mut source);
        let bad = |event: &TendEvent| matches!(event, TendEvent::BadReply { .. });
        assert_eq!(events.iter().filter(|e| bad(e)).count(), usize::from(pass == 0), "{events:?}");
        assert_eq!((report.changed, report.nodes_failed), (false, 1));
        assert_eq!(*source.map(), good);
        assert_eq!(requests(&mut source), 3, "it is asked again: the generation was not recorded");
    }
    // The very same generation, but a good reply.
    yield_all(&mut source);
    edit(&mut source, A, |a| a.claim(0, &[0xff, 0x00]));
    assert!(tend_well(&mut source).0.changed);
    assert_eq!(owners(source.map(), 0), "AAAAAAAA");
}

#[test]
fn h25_a_bad_list_of_peers_leaves_the_peers_generation_as_it_was() {
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    edit(&mut source, A, |a| {
        a.raise("peers-generation");
        a.set("peers-clear-std", "3,3000,[[B,,[127.0.0.1:2]]");
    });
    for _ in 0..2 {
        tend_well(&mut source);
        assert_eq!(requests(&mut source), 4, "two statuses and two lists of peers");
    }
    edit(&mut source, A, |a| a.set("peers-clear-std", "3,3000,[[B,,[127.0.0.1:2]]]"));
    tend_well(&mut source);
    tend_well(&mut source);
    assert_eq!(requests(&mut source), 2);
}

#[test]
fn h25_a_new_connection_voids_what_was_cached_even_at_the_same_numbers() {
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    // The node restarted between two passes, and its counters reached the very same
    // values.
    edit(&mut source, A, |a| {
        a.connection += 1;
        a.claim(0, &[0xff, 0x00]);
    });
    yield_all(&mut source);
    assert!(tend_well(&mut source).0.changed);
    assert_eq!(owners(source.map(), 0), "AAAAAAAA");
}

#[test]
fn a_generation_that_goes_down_is_a_change() {
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    edit(&mut source, A, |a| {
        a.set("partition-generation", 0);
        a.claim(0, &[0xff, 0x00]);
    });
    yield_all(&mut source);
    tend_well(&mut source);
    assert_eq!(owners(source.map(), 0), "AAAAAAAA");
}

#[test]
fn h36_no_malformed_reply_changes_the_map() {
    let full = column(0xff);
    for bad in [
        String::new(),
        "test".into(),
        "test:0,1,!;bar:0,1,!".into(),
        format!("test:0,2,{full}"),
        format!("test:0,1,{full}{full}"),
        format!("test:0,1,{full}!;test:0,2,{full}"),
        "ERROR:7:unstable cluster".into(),
        "FAIL:whatever".into(),
    ] {
        let mut source = source(two(), SMALL);
        tend_well(&mut source);
        let good = source.map().clone();
        edit(&mut source, A, |a| {
            a.raise("partition-generation");
            a.set("replicas", bad.clone());
        });
        let (report, events) = tend_well(&mut source);
        assert_eq!(*source.map(), good, "{bad}");
        assert_eq!((report.changed, report.nodes_failed), (false, 1), "{bad}");
        assert!(matches!(events[..], [TendEvent::BadReply { .. }]), "{bad}: {events:?}");
    }
}

#[test]
fn h36_a_bad_status_is_told_once_until_it_is_good_again() {
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    let good = source.map().clone();
    edit(&mut source, A, |a| a.set("peers-generation", "x"));
    let told = |events: &[TendEvent]| {
        events.iter().filter(|e| matches!(e, TendEvent::BadReply { .. })).count()
    };
    assert_eq!(told(&tend_well(&mut source).1), 1);
    assert_eq!(told(&tend_well(&mut source).1), 0);
    edit(&mut source, A, |a| a.set("peers-generation", "2"));
    assert_eq!(tend_well(&mut source).0.nodes_failed, 0);
    edit(&mut source, A, |a| a.set("peers-generation", "x"));
    assert_eq!(told(&tend_well(&mut source).1), 1);
    assert_eq!(*source.map(), good);
}

#[test]
fn h38_of_two_masters_the_later_claim_stands() {
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    // B takes over all partitions while A is frozen. A wakes and still believes that
    // it is the master.
    edit(&mut source, B, |b| {
        b.raise("partition-generation");
        b.claim(0, &[0xff, 0x00]);
    });
    for _ in 0..4 {
        tend_well(&mut source);
        let now = owners(source.map(), 0);
        assert!(now == "AAAABBBB" || now == "BBBBBBBB", "{now}");
    }
    edit(&mut source, A, |a| {
        a.raise("partition-generation");
        a.claim(0, &[0x00, 0xff]);
    });
    tend_well(&mut source);
    tend_well(&mut source);
    assert_eq!(owners(source.map(), 0), "BBBBBBBB");
    assert_eq!(owners(source.map(), 1), "AAAAAAAA");
    tend_well(&mut source);
    assert_eq!(requests(&mut source), 2, "only the statuses are asked for");
}

#[test]
fn h20_a_shorter_column_of_one_node_does_not_cost_the_others_their_entries() {
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    // A reports one replica for a moment, and B's generation does not change.
    edit(&mut source, A, |a| {
        a.raise("partition-generation");
        a.claim(0, &[0xf0]);
    });
    tend_well(&mut source);
    edit(&mut source, A, |a| {
        a.raise("partition-generation");
        a.claim(0, &[0xf0, 0x0f]);
    });
    tend_well(&mut source);
    assert_eq!(source.map().namespaces()[0].replication_factor, 2);
    assert_eq!(owners(source.map(), 1), "BBBBAAAA");
}

#[test]
fn h21_lower_regimes_are_accepted_after_some_passes() {
    let mut fake = two();
    for (address, columns) in [(A, [0xf0, 0x0f]), (B, [0x0f, 0xf0])] {
        fake.servers.get_mut(&at(address)).unwrap().claim(9, &columns);
    }
    let mut source = source(fake, SMALL);
    tend_well(&mut source);
    assert!(source.map().namespaces()[0].strong_consistency);
    for (address, columns) in [(A, [0x0f, 0xf0]), (B, [0xf0, 0x0f])] {
        edit(&mut source, address, |server| {
            server.raise("partition-generation");
            server.claim(2, &columns);
        });
    }
    tend_well(&mut source);
    assert_eq!(owners(source.map(), 0), "AAAABBBB", "older claims at first");
    for _ in 0..4 {
        tend_well(&mut source);
    }
    assert_eq!(owners(source.map(), 0), "BBBBAAAA");
    assert_eq!(source.map().namespaces()[0].partitions.regime(0), 2);
    tend_well(&mut source);
    assert_eq!(requests(&mut source), 2, "only the statuses are asked for");
}

#[test]
fn h21_one_node_with_lower_regimes_is_just_late() {
    let mut fake = two();
    fake.servers.get_mut(&at(A)).unwrap().claim(9, &[0xf0, 0x0f]);
    fake.servers.get_mut(&at(B)).unwrap().claim(8, &[0xff, 0xff]);
    let mut source = source(fake, SMALL);
    for _ in 0..8 {
        tend_well(&mut source);
    }
    assert_eq!(owners(source.map(), 0), "AAAA....", "where A claims anything, B is late");
    assert_eq!(source.map().namespaces()[0].partitions.regime(7), 9);
}

#[test]
fn h35_refused_rack_ids_are_no_failure_and_asked_once() {
    let mut source = source(two(), SMALL);
    assert_eq!(tend_well(&mut source).0.nodes_failed, 0);
    let asked = |source: &mut Tender<Fake>| {
        let asked = &source.transport_mut().asked;
        asked.iter().filter(|ask| ask.commands.iter().any(|c| c == "rack-ids")).count()
    };
    assert_eq!(asked(&mut source), 2);
    assert_eq!(tend_well(&mut source).0.nodes_failed, 0);
    assert_eq!(asked(&mut source), 0);
}

#[test]
fn racks_follow_the_rebalance_generation() {
    let mut fake = two();
    fake.servers.get_mut(&at(A)).unwrap().set("rack-ids", "test:-3");
    let mut source = source(fake, SMALL);
    tend_well(&mut source);
    let rack = |map: &ClusterMap, id: &str| {
        map.namespaces()[0].rack(map.nodes.slot_of(&node(id)).unwrap())
    };
    assert_eq!((rack(source.map(), "A"), rack(source.map(), "B")), (Some(-3), None));
    edit(&mut source, B, |b| {
        b.raise("rebalance-generation");
        b.set("rack-ids", "test:7;other:8");
    });
    assert!(tend_well(&mut source).0.changed);
    assert_eq!(rack(source.map(), "B"), Some(7));
    edit(&mut source, A, |a| {
        a.raise("rebalance-generation");
        a.set("rack-ids", "");
    });
    assert!(tend_well(&mut source).0.changed);
    assert_eq!(rack(source.map(), "A"), None);
}

#[test]
fn a_namespace_goes_only_when_all_nodes_have_dropped_it_for_some_passes() {
    let mut source = source(two(), SMALL);
    let other = format!("bar:0,1,{}", column(0xff));
    tend_well(&mut source);
    edit(&mut source, A, |a| {
        a.raise("partition-generation");
        a.set("replicas", &other);
    });
    for _ in 0..6 {
        tend_well(&mut source);
        assert_eq!(source.map().namespaces().len(), 2, "B lists it");
    }
    edit(&mut source, B, |b| {
        b.raise("partition-generation");
        b.set("replicas", &other);
        b.set("replicas", "bar:0,1,!");
    });
    for _ in 0..6 {
        tend_well(&mut source);
        assert_eq!(source.map().namespaces().len(), 2, "B's latest reply is not known");
    }
    edit(&mut source, B, |b| b.set("replicas", &other));
    tend_well(&mut source);
    tend_well(&mut source);
    assert_eq!(source.map().namespaces().len(), 2);
    let (report, events) = tend_well(&mut source);
    assert!(report.changed);
    let gone = TendEvent::NamespaceRemoved { name: ns("test") };
    assert!(events.contains(&gone), "{events:?}");
    assert_eq!(source.map().namespaces().len(), 1);
}

#[test]
fn a_namespace_without_a_place_is_refused_until_there_is_one() {
    let mut fake = two();
    let more = format!(";x:0,1,{0};y:0,1,{0}", column(0xff));
    let a = fake.servers.get_mut(&at(A)).unwrap();
    let text = a.replies["replicas"].clone() + &more;
    a.set("replicas", text);
    let mut source = source(fake, SMALL);
    let (report, events) = tend_well(&mut source);
    let refused = TendEvent::NamespaceRefused { name: ns("y"), capacity: 2 };
    assert!(events.contains(&refused), "{events:?}");
    assert_eq!(report.refused, 1);
    assert_eq!(owners(source.map(), 0), "AAAABBBB");
    let (report, events) = tend_well(&mut source);
    assert_eq!((report.refused, events.len()), (1, 0), "counted again, reported once");
    assert_eq!(requests(&mut source), 2);
}

#[test]
fn a_node_that_believes_it_is_alone_does_not_take_over() {
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    edit(&mut source, A, |a| {
        a.list("");
        a.raise("partition-generation");
        a.claim(0, &[0xff, 0x00]);
    });
    for _ in 0..3 {
        tend_well(&mut source);
        assert_eq!(owners(source.map(), 0), "AAAABBBB");
        assert_eq!(ids(source.map()), "A B");
    }
}

#[test]
fn a_starting_node_changes_nothing() {
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    let good = source.map().clone();
    edit(&mut source, A, |a| {
        a.connection += 1;
        for command in ["peers-generation", "rebalance-generation"] {
            a.set(command, 0);
        }
        a.set("partition-generation", -1);
        a.set("peers-clear-std", "0,3000,[]");
        a.claim(0, &[0x00]);
    });
    // The others are not removed either, although it lists none of them.
    edit(&mut source, B, |b| b.down = true);
    for _ in 0..7 {
        let (report, _) = tend_well(&mut source);
        assert!(!report.changed);
        assert_eq!(*source.map(), good);
    }
}

#[test]
fn a_pass_that_is_interrupted_says_so_and_loses_no_change() {
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    edit(&mut source, A, |a| {
        a.raise("partition-generation");
        a.claim(0, &[0xff, 0x00]);
    });
    /// Stops at the third beat. By then the change is in the map.
    struct Third(usize);
    impl Turn for Third {
        fn beat(&mut self) -> std::ops::ControlFlow<()> {
            self.0 += 1;
            if self.0 >= 3 {
                std::ops::ControlFlow::Break(())
            } else {
                std::ops::ControlFlow::Continue(())
            }
        }
        fn event(&mut self, _: TendEvent) {}
    }
    assert_eq!(source.tend(&mut Third(2)), Err(TendError::Interrupted));
    assert_eq!(owners(source.map(), 0), "AAAABBBB");
    assert_eq!(source.tend(&mut Third(0)), Err(TendError::Interrupted));
    assert!(tend_well(&mut source).0.changed);
}

#[test]
fn a_pass_without_a_usable_reply_names_what_is_wrong_with_it() {
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    for address in [A, B] {
        edit(&mut source, address, |server| server.set("partition-generation", "x"));
    }
    let error = tend(&mut source).0.unwrap_err().to_string();
    assert!(error.contains("unusable reply") && error.contains("\"x\""), "{error}");
    // And it ends with it.
    for address in [A, B] {
        edit(&mut source, address, |server| server.set("partition-generation", "9"));
    }
    tend_well(&mut source);
}
