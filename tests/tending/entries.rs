//! One bad entry of a reply affects only that entry.

use tendmap::internals::tend::Tender;
use tendmap::map::{Capacity, ClusterMap};
use tendmap::tend::{AerospikeConfig, ClusterSource, Condition, TendEvent, TendReport};
use tendmap_testkit::tables::*;

const A: &str = "127.0.0.1:1";
const B: &str = "127.0.0.1:2";
const C: &str = "127.0.0.1:3";

/// Entries of a list of peers that can't be used, because they do not name a node of
/// the cluster.
fn odd_peers() -> Vec<String> {
    [
        "[E1,,[127.0.0.1:0]]",
        "[E1,,[127.0.0.1:65536]]",
        "[E1,,[127.0.0.1:x]]",
        "[E1,,[fe80::1]]",
        "[E1,,[[fe80::1%]:3000]]",
        "[E1,,[[fe80::1%eth0:3000]]",
        "[E1,,[h h]]",
        "[E1,a b,[127.0.0.1:0]]",
        "[,,[127.0.0.1:9]]",
        "[ABCDEFGHIJKLMNOPQRST,,[127.0.0.1:9]]",
        "[E1]",
        "[]",
        "E1",
        "[E1,,[127.0.0.1:9]",
        "[E1,,[127.0.0.1:9]]]",
        "[[E1,,[127.0.0.1:9]]",
    ]
    .into_iter()
    .map(String::from)
    .chain([format!("[E1,,[{}:3000]]", "h".repeat(255))])
    .collect()
}

fn bad(events: &[TendEvent]) -> usize {
    events.iter().filter(|event| matches!(event, TendEvent::BadEntry { .. })).count()
}

fn counted(report: &TendReport) -> u32 {
    report.conditions.count(Condition::BadEntries)
}

/// A third node, C, which A and B list, and an odd entry before, between and behind
/// the others.
fn list(source: &mut Tender<Fake>, odd: &str) {
    let odd = if odd.is_empty() { vec![] } else { vec![odd.to_owned()] };
    let lists = [
        (A, [odd.clone(), vec![format!("[B,,[{B}]]"), format!("[C,,[{C}]]")]].concat()),
        (B, [vec![format!("[A,,[{A}]]")], odd.clone(), vec![format!("[C,,[{C}]]")]].concat()),
    ];
    for (address, list) in lists {
        edit(source, address, |server| server.list(&list.join(",")));
    }
}

fn add_c(source: &mut Tender<Fake>) {
    let mut c = server("C", C, &[0x80, 0x00]);
    c.list(&format!("[A,,[{A}]],[B,,[{B}]]"));
    source.transport_mut().servers.insert(at(C), c);
    edit(source, A, |a| {
        a.raise("partition-generation");
        a.claim(0, &[0x70, 0x0f]);
    });
}

#[test]
fn h57_one_bad_peer_keeps_nobody_else_out() {
    for odd in odd_peers() {
        for from_the_start in [true, false] {
            let mut source = source(two(), SMALL);
            let mut told = 0;
            if !from_the_start {
                told += bad(&tend_well(&mut source).1);
            }
            assert_eq!(told, 0);
            add_c(&mut source);
            list(&mut source, &odd);
            for pass in 0..4 {
                let (report, events) = tend_well(&mut source);
                assert_eq!(ids(source.map()), "A B C", "{odd}: {events:?}");
                assert_eq!(owners(source.map(), 0), "CAAABBBB", "{odd}");
                assert_eq!((report.nodes_ok, report.nodes_failed), (3, 0), "{odd}: {events:?}");
                assert!(counted(&report) > 0, "{odd}");
                assert_eq!(bad(&events) > 0, pass == 0, "{odd}: reported once: {events:?}");
            }
            // Good again, then bad again: it is reported again.
            list(&mut source, "");
            tend_well(&mut source);
            let (report, _) = tend_well(&mut source);
            assert_eq!((counted(&report), requests(&mut source)), (0, 3), "{odd}");
            list(&mut source, &odd);
            assert!(bad(&tend_well(&mut source).1) > 0, "{odd}");
        }
    }
}

#[test]
fn h57_a_bad_entry_is_told_once_though_every_node_lists_it() {
    let mut source = source(two(), SMALL);
    add_c(&mut source);
    list(&mut source, "[E1,,[127.0.0.1:0]]");
    let (report, events) = tend_well(&mut source);
    let wanted = TendEvent::BadEntry {
        id: node("A"),
        what: "peers",
        entry: "E1: 127.0.0.1:0".into(),
        problem: "the port is 0",
    };
    assert!(events.contains(&wanted), "{events:?}");
    assert_eq!((bad(&events), counted(&report)), (1, 1));
}

#[test]
fn h57_a_hundred_thousand_bad_entries_are_counted_and_few_are_told() {
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    let odd: Vec<String> = (0..100_000).map(|n| format!("[E{n},,[127.0.0.1:0]]")).collect();
    edit(&mut source, A, |a| a.list(&format!("{},[B,,[{B}]]", odd.join(","))));
    let (report, events) = tend_well(&mut source);
    // The entries beyond the map's room are not read, only counted.
    assert_eq!((counted(&report), report.refused), (1024, 100_000 - 1024));
    assert!(bad(&events) < 100, "{}", bad(&events));
    assert_eq!(ids(source.map()), "A B");
}

#[test]
fn h57_what_servers_wrote_is_told_without_control_characters() {
    let mut source = source(two(), SMALL);
    edit(&mut source, A, |a| a.list(&format!("[E\u{1b}[31m,,[x\u{7}y:1]],[B,,[{B}]]")));
    let (_, events) = tend_well(&mut source);
    let printable = |event: &TendEvent| match event {
        TendEvent::BadEntry { entry, .. } => entry.bytes().all(|b| matches!(b, b' '..=b'~')),
        _ => true,
    };
    assert!(bad(&events) > 0 && events.iter().all(printable), "{events:?}");
}

#[test]
fn h57_a_known_node_whose_entry_is_bad_stays_listed() {
    for odd in ["[B,,[127.0.0.1:0]]", "[B,a b,[x]]", "[B,,[x]", "[B,x]", "[B,,[]]"] {
        let mut source = source(two(), SMALL);
        tend_well(&mut source);
        edit(&mut source, A, |a| a.list(odd));
        edit(&mut source, B, |b| b.down = true);
        for _ in 0..8 {
            tend_well(&mut source);
            assert_eq!(ids(source.map()), "A B", "{odd}");
        }
    }
}

#[test]
fn h57_a_peer_is_reached_at_those_of_its_addresses_that_are_good() {
    let mut source = source(two(), SMALL);
    edit(&mut source, A, |a| a.list(&format!("[B,,[127.0.0.1:0,{B},h h]],[B,,[127.0.0.1:9]]")));
    tend_well(&mut source);
    assert_eq!(owners(source.map(), 0), "AAAABBBB");
}

#[test]
fn h58_an_address_with_a_scope_is_dialled_with_it() {
    let lo = nix_if("lo");
    let scoped = format!("[fe80::2%{lo}]:3000");
    for told in ["[fe80::2%lo]:3000".to_owned(), scoped.clone(), "[fe80::2%lo]".to_owned()] {
        let mut fake = two();
        let b = fake.servers.remove(&at(B)).unwrap();
        fake.servers.insert(at(&scoped), b);
        fake.servers
            .get_mut(&at(A))
            .unwrap()
            .list(&format!("[B,,[{told}]],[E,,[[fe80::3%no-such-if]:1]]"));
        let mut source = source(fake, SMALL);
        let (report, events) = tend_well(&mut source);
        let unresolved = |event: &TendEvent| match event {
            TendEvent::NodeUnresolved { id, error } => {
                *id == node("E") && error.starts_with("[fe80::3%no-such-if]:1: ")
            }
            _ => false,
        };
        assert_eq!(events.iter().filter(|event| unresolved(event)).count(), 1, "{events:?}");
        assert_eq!(report.conditions.count(Condition::MissingPeers), 1);
        let slot = source.map().nodes.slot_of(&node("B")).unwrap_or_else(|| panic!("{events:?}"));
        assert_eq!(source.map().nodes.get(slot).unwrap().address, at(&scoped));
    }
}

/// The number of an interface, from the kernel's files.
fn nix_if(name: &str) -> String {
    let text = std::fs::read_to_string(format!("/sys/class/net/{name}/ifindex"));
    text.map_or("1".into(), |text| text.trim().to_owned())
}

#[test]
fn h57_a_bad_namespace_costs_the_others_nothing() {
    let (full, none) = (column(0xff), column(0x00));
    for odd in [
        "bar".to_owned(),
        "bar:0,1,!".into(),
        "bar:0,2,".to_owned() + &full,
        format!("bar:0,1,{full},{full}"),
        format!("bar:0,0,{full}"),
        format!("bar:0,300,{full}"),
        format!("bar:4294967296,1,{full}"),
        format!("bar:-1,1,{full}"),
        format!("{}:0,1,{full}", "n".repeat(32)),
        format!(":0,1,{full}"),
        String::new(),
    ] {
        for (before, after) in [("", ";"), (";", "")] {
            let mut source = source(two(), SMALL);
            let test = format!("test:0,2,{},{none}", column(0xf0));
            edit(&mut source, A, |a| {
                a.raise("partition-generation");
                match before {
                    "" => a.set("replicas", format!("{odd}{after}{test}")),
                    _ => a.set("replicas", format!("{test}{before}{odd}")),
                }
            });
            for pass in 0..3 {
                let (report, events) = tend_well(&mut source);
                assert_eq!(owners(source.map(), 0), "AAAABBBB", "{odd}");
                assert_eq!((report.nodes_failed, counted(&report)), (0, 1), "{odd}: {events:?}");
                assert_eq!(bad(&events), usize::from(pass == 0), "{odd}: {events:?}");
            }
            // The same generation, but every entry is good.
            edit(&mut source, A, |a| a.set("replicas", format!("{test};bar:0,1,{full}")));
            let (report, _) = tend_well(&mut source);
            assert_eq!((report.changed, counted(&report)), (true, 0), "{odd}");
            assert_eq!(source.map().namespaces().len(), 2, "{odd}");
            tend_well(&mut source);
            assert_eq!(requests(&mut source), 2, "{odd}: only the statuses are asked for");
        }
    }
}

#[test]
fn h57_a_namespace_that_can_not_be_read_keeps_its_claims_and_others_may_go() {
    let mut source = source(two(), SMALL);
    let bar = format!("bar:0,1,{}", column(0xff));
    edit(&mut source, A, |a| {
        let text = a.replies["replicas"].clone();
        a.set("replicas", format!("{text};{bar}"));
    });
    tend_well(&mut source);
    let before = owners(source.map(), 0);
    // From now on `test` can't be read, and no node lists `bar`.
    edit(&mut source, A, |a| {
        a.raise("partition-generation");
        a.set("replicas", format!("test:0,2,!;foo:0,1,{}", column(0x00)));
    });
    for _ in 0..6 {
        tend_well(&mut source);
        assert_eq!(owners(source.map(), 0), before);
    }
    assert!(source.map().namespace(&ns("bar")).is_none());
}

#[test]
fn h57_regimes_do_not_restart_while_a_claim_can_not_be_read() {
    let mut fake = two();
    for (address, columns) in [(A, [0xf0, 0x0f]), (B, [0x0f, 0xf0])] {
        fake.servers.get_mut(&at(address)).unwrap().claim(9, &columns);
    }
    let mut source = source(fake, SMALL);
    tend_well(&mut source);
    let more = format!(";foo:0,1,{}", column(0x00));
    edit(&mut source, A, |a| {
        a.raise("partition-generation");
        a.set("replicas", format!("test:9,2,!{more}"));
    });
    edit(&mut source, B, |b| {
        b.raise("partition-generation");
        b.claim(8, &[0xff, 0xff]);
    });
    for _ in 0..8 {
        tend_well(&mut source);
        assert_eq!(owners(source.map(), 0), "AAAABBBB");
    }
}

#[test]
fn h57_a_bad_rack_leaves_the_others_and_what_was_known() {
    let mut source = source(two(), Capacity { max_namespaces: 3, ..SMALL });
    edit(&mut source, A, |a| {
        let text = a.replies["replicas"].clone();
        a.set("replicas", format!("{text};bar:0,1,{}", column(0xff)));
        a.set("rack-ids", "test:1;bar:2");
    });
    tend_well(&mut source);
    let racks = |map: &ClusterMap| {
        let slot = map.nodes.slot_of(&node("A")).unwrap();
        ["test", "bar"].map(|name| map.namespace(&ns(name)).unwrap().rack(slot))
    };
    assert_eq!(racks(source.map()), [Some(1), Some(2)]);
    edit(&mut source, A, |a| {
        a.raise("rebalance-generation");
        a.set("rack-ids", "test:9999999999;bar:3");
    });
    for pass in 0..2 {
        let (report, events) = tend_well(&mut source);
        assert_eq!(racks(source.map()), [Some(1), Some(3)]);
        assert_eq!((counted(&report), report.nodes_failed), (1, 0));
        assert_eq!(bad(&events), usize::from(pass == 0), "{events:?}");
    }
    edit(&mut source, A, |a| a.set("rack-ids", "test:4;bar:3"));
    let (report, _) = tend_well(&mut source);
    assert_eq!((racks(source.map()), counted(&report)), ([Some(4), Some(3)], 0));
}

#[test]
fn h57_a_bad_address_of_the_node_itself_keeps_it_a_good_seed() {
    let mut fake = Fake::default();
    fake.servers.insert(at("10.0.0.9:1"), {
        let mut a = server("A", "", &[0xff]);
        a.set("service-clear-std", "h h:1,10.0.0.1:1,10.0.0.2:0");
        a
    });
    let own = fake.servers[&at("10.0.0.9:1")].clone();
    fake.servers.insert(at("10.0.0.1:1"), own);
    let config = AerospikeConfig::new(vec!["10.0.0.9:1".parse().unwrap()]);
    let mut source = Tender::with_transport(config, fake);
    source.start(ClusterMap::new(SMALL));
    let (report, events) = tend_well(&mut source);
    let (_, found) = source.map().nodes.iter().next().unwrap();
    assert_eq!(found.address, at("10.0.0.1:1"), "its own address, behind a balancer");
    assert_eq!((counted(&report), bad(&events)), (2, 2), "{events:?}");
}

#[test]
fn h121_a_reply_full_of_namespaces_or_columns_costs_no_memory_and_no_time_that_lasts() {
    use std::fmt::Write as _;
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    let before = owners(source.map(), 0);
    let good = format!("test:0,2,{},{}", column(0xf0), column(0x0f));
    // A million names that can't be used, 65,536 that can, and the largest number of
    // columns.
    let (mut bad, mut many, mut wide) = (good.clone(), good.clone(), good.clone());
    (0..700_000).for_each(|number| write!(bad, ";{number:x}").unwrap());
    (0..65_536).for_each(|number| write!(many, ";n{number}:0,1,{}", column(0xff)).unwrap());
    write!(wide, ";wide:0,255{}", format!(",{}", column(0xff)).repeat(255)).unwrap();
    for reply in [bad, many, wide] {
        let mut told = 0;
        for round in 0..3 {
            edit(&mut source, "127.0.0.1:1", |server| {
                server.raise("partition-generation");
                server.set("replicas", reply.replace(";n", &format!(";n{round}x")));
            });
            let (_, events) = tend(&mut source);
            told += events.len();
            assert!(source.map().namespaces().len() <= SMALL.max_namespaces);
            assert_eq!(owners(source.map(), 0), before);
        }
        assert!(told <= 256 + 40, "{told} events");
        edit(&mut source, "127.0.0.1:1", |server| {
            server.raise("partition-generation");
            server.set("replicas", &good);
        });
        for _ in 0..8 {
            tend_well(&mut source);
        }
        let (report, events) = tend_well(&mut source);
        assert_eq!((report.nodes_ok, report.refused, events), (2, 0, vec![]));
        assert_eq!(source.map().namespaces().len(), 1);
    }
}
