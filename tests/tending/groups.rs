//! Whose claims are used if nodes do not list each other, and claims that contradict
//! each other.

use tendmap::internals::tend::Tender;
use tendmap::map::ClusterMap;
use tendmap::tend::{AerospikeConfig, ClusterSource, Condition, TendEvent, TendReport};
use tendmap_testkit::tables::*;

const PLACES: [(&str, &str); 5] = [
    ("A", "127.0.0.1:1"),
    ("B", "127.0.0.1:2"),
    ("C", "127.0.0.1:3"),
    ("D", "127.0.0.1:4"),
    ("E", "127.0.0.1:5"),
];

fn place(name: char) -> (&'static str, &'static str) {
    PLACES[usize::from(name as u8 - b'A')]
}

/// Nodes, each with the partitions of which it is the master. All list each other.
fn cluster(masters: &[(char, u8)]) -> Fake {
    let mut fake = Fake::default();
    for &(name, byte) in masters {
        let (id, address) = place(name);
        fake.servers.insert(at(address), server(id, address, &[byte, 0x00]));
    }
    let all: String = masters.iter().map(|&(name, _)| name).collect();
    let lists: Vec<(char, &str)> = all.chars().map(|name| (name, all.as_str())).collect();
    wire(&mut fake, &lists);
    fake
}

/// Sets the nodes that each of these lists; a node does not list itself.
fn wire(fake: &mut Fake, lists: &[(char, &str)]) {
    for (name, peers) in lists {
        let entry = |peer: char| format!("[{},,[{}]]", place(peer).0, place(peer).1);
        let peers: Vec<String> = peers.chars().filter(|peer| peer != name).map(entry).collect();
        let server = fake.servers.get_mut(&at(place(*name).1)).unwrap();
        let list = peers.join(",");
        if !server.replies["peers-clear-std"].ends_with(&format!(",[{list}]")) {
            server.list(&list);
        }
    }
}

fn source_of(fake: Fake) -> Tender<Fake> {
    let config = AerospikeConfig::new(vec![place('A').1.parse().unwrap()]);
    let mut source = Tender::with_transport(config, fake);
    source.start(ClusterMap::new(tendmap::map::Capacity { max_nodes: 8, ..SMALL }));
    source
}

fn claim(source: &mut Tender<Fake>, name: char, byte: u8) {
    edit(source, place(name).1, |server| {
        server.raise("partition-generation");
        server.claim(0, &[byte, 0x00]);
    });
}

fn contradicting(report: &TendReport) -> u32 {
    report.conditions.count(Condition::ContradictingClaims)
}

#[test]
fn h53_a_node_that_no_other_lists_takes_nothing_from_nodes_that_list_each_other() {
    let mut source = source_of(cluster(&[('A', 0xe0), ('B', 0x1c), ('C', 0x03)]));
    tend_well(&mut source);
    assert_eq!(owners(source.map(), 0), "AAABBBCC");
    // The others no longer hear A, which does not notice: it lists them and claims
    // its old partitions. Even its generation changes.
    wire(source.transport_mut(), &[('B', "BC"), ('C', "BC")]);
    claim(&mut source, 'B', 0x5c);
    claim(&mut source, 'C', 0xa3);
    let (mut all, mut told) = (Vec::new(), Vec::new());
    for pass in 0..12 {
        claim(&mut source, 'A', 0xe0);
        let (report, events) = tend_well(&mut source);
        assert_eq!(owners(source.map(), 0), "CBCBBBCC", "pass {pass}");
        all.push(contradicting(&report));
        told.extend(events);
    }
    assert_eq!(
        all,
        [0, 0, 0, 3, 3, 3, 3, 3, 3, 3, 3, 3],
        "the contradiction is reported after a few passes"
    );
    let nodes = vec![node("A"), node("B"), node("C")];
    assert_eq!(told, [TendEvent::ClaimsContradict { partitions: 3, nodes }], "reported once");
    // The others hear A again.
    wire(source.transport_mut(), &[('B', "ABC"), ('C', "ABC")]);
    claim(&mut source, 'B', 0x1c);
    claim(&mut source, 'C', 0x03);
    let (report, events) = tend_well(&mut source);
    assert_eq!(owners(source.map(), 0), "AAABBBCC");
    assert_eq!((contradicting(&report), &events[..]), (0, &[TendEvent::ClaimsAgree][..]));
    tend_well(&mut source);
    assert_eq!(requests(&mut source), 3, "only the statuses are asked for");
}

#[test]
fn h53_a_process_that_starts_with_the_expelled_node_follows_the_others() {
    let mut fake = cluster(&[('A', 0xe0), ('B', 0x5c), ('C', 0xa3)]);
    wire(&mut fake, &[('B', "BC"), ('C', "BC")]);
    let mut source = source_of(fake);
    for _ in 0..3 {
        tend_well(&mut source);
        assert_eq!(owners(source.map(), 0), "CBCBBBCC");
    }
}

#[test]
fn h53_an_expelled_node_that_lists_and_is_healed_without_a_new_generation_counts_again() {
    let mut source = source_of(cluster(&[('A', 0xe0), ('B', 0x1c), ('C', 0x03)]));
    tend_well(&mut source);
    wire(source.transport_mut(), &[('B', "BC"), ('C', "BC")]);
    claim(&mut source, 'B', 0x5c);
    claim(&mut source, 'C', 0xa3);
    tend_well(&mut source);
    wire(source.transport_mut(), &[('B', "ABC"), ('C', "ABC")]);
    edit(&mut source, place('B').1, |b| b.claim(0, &[0x1c, 0x00]));
    edit(&mut source, place('C').1, |c| c.claim(0, &[0x03, 0x00]));
    tend_well(&mut source);
    tend_well(&mut source);
    assert_eq!(owners(source.map(), 0), "AAABBBCC", "A's generation never changed");
}

#[test]
fn h53_of_a_split_the_larger_part_stands() {
    let all = [('A', 0xc0), ('B', 0x30), ('C', 0x08), ('D', 0x06), ('E', 0x01)];
    let mut source = source_of(cluster(&all));
    tend_well(&mut source);
    let split = [('A', "AB"), ('B', "AB"), ('C', "CDE"), ('D', "CDE"), ('E', "CDE")];
    wire(source.transport_mut(), &split);
    // Each part takes over all partitions.
    for (name, byte) in [('A', 0xf0), ('B', 0x0f), ('C', 0xe0), ('D', 0x1c), ('E', 0x03)] {
        claim(&mut source, name, byte);
    }
    for _ in 0..3 {
        tend_well(&mut source);
        assert_eq!(owners(source.map(), 0), "CCCDDDEE");
        assert_eq!(ids(source.map()), "A B C D E", "the others still list each other");
    }
    // Two nodes of the larger part do not answer for a moment: nothing changes hands.
    for name in ['D', 'E'] {
        edit(&mut source, place(name).1, |server| server.down = true);
    }
    tend_well(&mut source);
    assert_eq!(owners(source.map(), 0), "CCCDDDEE");
    // They are gone, and C no longer lists them: now A and B are the larger part.
    wire(source.transport_mut(), &[('C', "C")]);
    claim(&mut source, 'C', 0xff);
    tend_well(&mut source);
    tend_well(&mut source);
    assert_eq!(owners(source.map(), 0), "AAAABBBB");
}

#[test]
fn h53_equal_parts_leave_each_other_what_they_have() {
    let all = [('A', 0xc0), ('B', 0x30), ('C', 0x0c), ('D', 0x03)];
    let mut source = source_of(cluster(&all));
    tend_well(&mut source);
    let split = [('A', "AB"), ('B', "AB"), ('C', "CD"), ('D', "CD")];
    wire(source.transport_mut(), &split);
    for (name, byte) in [('A', 0xcc), ('B', 0x33), ('C', 0xcc), ('D', 0x33)] {
        claim(&mut source, name, byte);
    }
    let mut last = 0;
    for _ in 0..6 {
        let (report, _) = tend_well(&mut source);
        assert_eq!(owners(source.map(), 0), "AABBCCDD", "entries do not flap");
        last = contradicting(&report);
    }
    assert_eq!(last, 8);
    assert_eq!(requests(&mut source), 4, "only the statuses are asked for");
    // Within a part, entries change hands.
    claim(&mut source, 'A', 0xff);
    claim(&mut source, 'B', 0x00);
    tend_well(&mut source);
    assert_eq!(owners(source.map(), 0), "AAAACCDD");
    // One part is gone: the other gets all, although its replies have not changed.
    for name in ['C', 'D'] {
        edit(&mut source, place(name).1, |server| server.down = true);
    }
    tend_well(&mut source);
    assert_eq!(owners(source.map(), 0), "AAAAAAAA");
    // It returns, and both are one cluster again.
    for name in ['C', 'D'] {
        edit(&mut source, place(name).1, |server| server.down = false);
    }
    wire(source.transport_mut(), &[('A', "ABCD"), ('B', "ABCD"), ('C', "ABCD"), ('D', "ABCD")]);
    for (name, byte) in all {
        claim(&mut source, name, byte);
    }
    let (report, events) = tend_well(&mut source);
    assert_eq!(owners(source.map(), 0), "AABBCCDD");
    assert_eq!(contradicting(&report), 0);
    assert!(!events.iter().any(|e| matches!(e, TendEvent::ClaimsContradict { .. })));
}

#[test]
fn h53_of_two_nodes_that_do_not_list_each_other_neither_takes_the_others() {
    for lists in [[('A', ""), ('B', "")], [('A', "B"), ('B', "")], [('A', ""), ('B', "A")]] {
        let mut source = source_of(cluster(&[('A', 0xf0), ('B', 0x0f)]));
        tend_well(&mut source);
        wire(source.transport_mut(), &lists);
        claim(&mut source, 'A', 0xff);
        claim(&mut source, 'B', 0xff);
        for _ in 0..5 {
            tend_well(&mut source);
            assert_eq!(owners(source.map(), 0), "AAAABBBB", "{lists:?}");
        }
        // The other is gone: no other node claims its partitions.
        edit(&mut source, place('B').1, |b| b.down = true);
        wire(source.transport_mut(), &[('A', "")]);
        tend_well(&mut source);
        assert_eq!(owners(source.map(), 0), "AAAAAAAA", "{lists:?}");
    }
}

#[test]
fn h53_a_later_regime_counts_among_equal_parts() {
    let mut fake = cluster(&[('A', 0xf0), ('B', 0x0f)]);
    for server in fake.servers.values_mut() {
        let byte = if server.replies["node"] == "A" { 0xf0 } else { 0x0f };
        server.claim(4, &[byte, 0x00]);
    }
    let mut source = source_of(fake);
    tend_well(&mut source);
    wire(source.transport_mut(), &[('A', ""), ('B', "")]);
    edit(&mut source, place('B').1, |b| {
        b.raise("partition-generation");
        b.claim(5, &[0xff, 0x00]);
    });
    tend_well(&mut source);
    assert_eq!(owners(source.map(), 0), "BBBBBBBB");
}

#[test]
fn h54_two_masters_that_list_each_other_are_reported_after_a_few_passes() {
    let mut source = source_of(cluster(&[('A', 0xf0), ('B', 0x0f)]));
    tend_well(&mut source);
    claim(&mut source, 'B', 0x1f);
    let mut events = Vec::new();
    let counts: Vec<u32> = (0..6)
        .map(|_| {
            let (report, told) = tend_well(&mut source);
            events.extend(told);
            contradicting(&report)
        })
        .collect();
    assert_eq!(counts, [0, 0, 0, 1, 1, 1]);
    let nodes = vec![node("A"), node("B")];
    assert_eq!(events, [TendEvent::ClaimsContradict { partitions: 1, nodes }]);
    // One of them does not answer: then nothing is contradicted.
    edit(&mut source, place('A').1, |a| a.down = true);
    assert_eq!(contradicting(&tend_well(&mut source).0), 0);
    edit(&mut source, place('A').1, |a| a.down = false);
    claim(&mut source, 'A', 0xe0);
    for _ in 0..5 {
        assert_eq!(contradicting(&tend_well(&mut source).0), 0);
    }
    assert_eq!(owners(source.map(), 0), "AAABBBBB");
}

#[test]
fn h54_partitions_that_migrate_contradict_nothing() {
    let mut source = source_of(cluster(&[('A', 0xff), ('B', 0x00)]));
    tend_well(&mut source);
    // In every pass both nodes claim another partition, because the replies are from
    // different moments.
    for partition in 0..8 {
        let moved = 0xff_u8.checked_shl(7 - partition).unwrap_or(0);
        claim(&mut source, 'B', moved);
        let (report, events) = tend_well(&mut source);
        assert_eq!((contradicting(&report), events.len()), (0, 0));
        claim(&mut source, 'A', !moved);
    }
    tend_well(&mut source);
    assert_eq!(owners(source.map(), 0), "BBBBBBBB");
}

#[test]
fn h54_a_claim_of_a_lower_regime_is_just_late() {
    let mut fake = cluster(&[('A', 0xff), ('B', 0x00)]);
    let servers: Vec<_> = fake.servers.values_mut().collect();
    for (server, regime) in servers.into_iter().zip([9, 8]) {
        server.claim(regime, &[0xff, 0x00]);
    }
    let mut source = source_of(fake);
    for _ in 0..6 {
        assert_eq!(contradicting(&tend_well(&mut source).0), 0);
    }
}
