//! Nodes that join, move and leave, that do not fit into the map, or that answer as
//! another node.

use tendmap::internals::tend::Tender;
use tendmap::tend::{ClusterSource, TendEvent};
use tendmap_testkit::tables::*;

const A: &str = "127.0.0.1:1";
const B: &str = "127.0.0.1:2";
const C: &str = "127.0.0.1:3";

/// Another node joins at that address. A and B list it, and it takes the first
/// partition over from A.
fn join(source: &mut Tender<Fake>, id: &str, address: &str) {
    let mut c = server(id, address, &[0x80, 0x00]);
    c.list("[A,,[127.0.0.1:1]],[B,,[127.0.0.1:2]]");
    source.transport_mut().servers.insert(at(address), c);
    edit(source, A, |a| {
        a.list(&format!("[B,,[{B}]],[{id},,[{address}]]"));
        a.raise("partition-generation");
        a.claim(0, &[0x70, 0x0f]);
    });
    edit(source, B, |b| b.list(&format!("[A,,[{A}]],[{id},,[{address}]]")));
}

#[test]
fn a_node_joins_and_leaves() {
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    join(&mut source, "C", C);
    let (_, events) = tend_well(&mut source);
    assert_eq!(events, [TendEvent::NodeAdded { id: node("C"), address: at(C) }]);
    assert_eq!(owners(source.map(), 0), "CAAABBBB");
    source.transport_mut().servers.remove(&at(C));
    let (report, events) = tend_well(&mut source);
    assert!(matches!(events[..], [TendEvent::NodeFailed { .. }]), "{events:?}");
    assert_eq!((report.changed, report.nodes_ok, report.nodes_failed), (false, 2, 1));
    for _ in 0..9 {
        tend_well(&mut source);
        assert_eq!(ids(source.map()), "A B C", "the others still list it");
    }
    edit(&mut source, A, |a| a.list(&format!("[B,,[{B}]]")));
    tend_well(&mut source);
    assert_eq!(ids(source.map()), "A B C", "B still lists it");
    edit(&mut source, B, |b| b.list(&format!("[A,,[{A}]]")));
    let (report, _) = tend_well(&mut source);
    assert!(report.changed);
    assert_eq!(ids(source.map()), "A B");
    assert_eq!(owners(source.map(), 0), ".AAABBBB", "h22: its entries are empty");
}

#[test]
fn a_node_that_recovers_is_told_and_read_anew() {
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    edit(&mut source, B, |b| b.down = true);
    tend_well(&mut source);
    edit(&mut source, B, |b| {
        b.down = false;
        b.claim(0, &[0xff, 0x00]);
    });
    edit(&mut source, A, |a| a.claim(0, &[0x00, 0xff]));
    let (_, events) = tend_well(&mut source);
    assert_eq!(events, [TendEvent::NodeRecovered { id: node("B") }]);
    assert_eq!(owners(source.map(), 0), "BBBBBBBB", "read again in spite of the same generations");
}

#[test]
fn h17_a_node_that_comes_back_elsewhere_is_relocated() {
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    let slot = source.map().nodes.slot_of(&node("B")).unwrap();
    let mut b = source.transport_mut().servers.remove(&at(B)).unwrap();
    tend_well(&mut source);
    // At first its old address is still listed.
    b.set("service-clear-std", "127.0.0.1:22");
    source.transport_mut().servers.insert(at("127.0.0.1:22"), b);
    tend_well(&mut source);
    assert_eq!(source.map().nodes.get(slot).unwrap().address, at(B));
    edit(&mut source, A, |a| a.list("[B,,[127.0.0.1:22]]"));
    let (report, events) = tend_well(&mut source);
    let moved = TendEvent::NodeMoved { id: node("B"), from: at(B), to: at("127.0.0.1:22") };
    assert!(report.changed && events.contains(&moved), "{events:?}");
    assert_eq!(source.map().nodes.get(slot).unwrap().address, at("127.0.0.1:22"));
    assert_eq!(owners(source.map(), 0), "AAAABBBB");
    let (report, _) = tend_well(&mut source);
    assert_eq!((report.nodes_ok, requests(&mut source)), (2, 2));
}

#[test]
fn another_node_at_the_address_means_that_the_node_is_gone() {
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    edit(&mut source, B, |b| {
        b.connection += 1;
        b.set("node", "X");
        b.claim(0, &[0x0f, 0x00]);
    });
    edit(&mut source, A, |a| a.list(&format!("[X,,[{B}]]")));
    let (_, events) = tend_well(&mut source);
    assert!(
        matches!(events[0], TendEvent::NodeRemoved { id, .. } if id == node("B")),
        "{events:?}"
    );
    assert_eq!(ids(source.map()), "A X");
    assert_eq!(owners(source.map(), 0), "AAAAXXXX");
    tend_well(&mut source);
    assert_eq!(requests(&mut source), 2);
}

#[test]
fn two_nodes_that_swap_addresses_are_found_again() {
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    let mut a = source.transport_mut().servers.remove(&at(A)).unwrap();
    let mut b = source.transport_mut().servers.remove(&at(B)).unwrap();
    (a.connection, b.connection) = (1, 1);
    a.list(&format!("[B,,[{A}]]"));
    b.list(&format!("[A,,[{B}]]"));
    source.transport_mut().servers.extend([(at(A), b), (at(B), a)]);
    tend_well(&mut source);
    assert_eq!(owners(source.map(), 0), "AAAABBBB");
    let a = source.map().nodes.slot_of(&node("A")).unwrap();
    assert_eq!(source.map().nodes.get(a).unwrap().address, at(B));
}

#[test]
fn h37_bad_lists_of_peers_make_no_duplicates() {
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    join(&mut source, "C", C);
    // C twice, A itself, and E at C's address.
    edit(&mut source, A, |a| {
        a.list(&format!("[B,,[{B}]],[C,,[{C}]],[C,,[127.0.0.1:9]],[A,,[{A}]],[E,,[{C}]]"));
    });
    for pass in 0..3 {
        let (report, events) = tend_well(&mut source);
        assert_eq!(ids(source.map()), "A B C");
        assert_eq!(source.map().nodes.len(), 3);
        assert_eq!(report.refused, 0);
        let told = events.iter().filter(|e| matches!(e, TendEvent::NodeFailed { .. })).count();
        assert_eq!(told, usize::from(pass == 0), "E is reported once: {events:?}");
        let looked = |ask: &&tendmap::internals::tend::transport::Ask| {
            ask.address == at(C)
                && ask.commands.iter().any(|command| command == "service-clear-std")
        };
        let looked = source.transport_mut().asked.iter().filter(looked).count();
        assert!(looked > 0, "E is looked for in every pass");
    }
    edit(&mut source, A, |a| a.list(&format!("[B,,[{B}]],[C,,[{C}]]")));
    tend_well(&mut source);
    tend_well(&mut source);
    assert_eq!(requests(&mut source), 3);
}

#[test]
fn h15_a_surplus_node_is_refused_and_nothing_else_changes() {
    let capacity = tendmap::map::Capacity { max_nodes: 2, ..SMALL };
    let mut source = source(two(), capacity);
    tend_well(&mut source);
    let good = source.map().clone();
    join(&mut source, "C", C);
    let (report, events) = tend_well(&mut source);
    assert_eq!(events, [TendEvent::NodeRefused { id: node("C"), capacity: 2 }]);
    assert_eq!((report.refused, report.changed), (1, false));
    assert_eq!(*source.map(), good);
    let (report, events) = tend_well(&mut source);
    assert_eq!((report.refused, events.len()), (1, 0), "counted again, reported once");
    assert_eq!(requests(&mut source), 2, "its list is not asked for again");
}

#[test]
fn h16_replaced_nodes_do_not_use_up_the_table() {
    let mut source = source(two(), tendmap::map::Capacity { max_nodes: 3, ..SMALL });
    tend_well(&mut source);
    for round in 0..50 {
        let (id, address) = (format!("C{round}"), format!("127.0.1.{}:3000", round + 1));
        join(&mut source, &id, &address);
        let (report, _) = tend_well(&mut source);
        assert_eq!(report.refused, 0);
        assert_eq!(ids(source.map()), format!("A B {id}"));
        source.transport_mut().servers.remove(&at(&address));
    }
}

#[test]
fn a_starting_peer_is_awaited_without_a_word() {
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    join(&mut source, "C", C);
    edit(&mut source, C, |c| c.set("partition-generation", -1));
    for _ in 0..2 {
        let (report, events) = tend_well(&mut source);
        assert!(events.is_empty() && !report.changed, "{events:?}");
    }
    edit(&mut source, C, |c| c.set("partition-generation", 1));
    tend_well(&mut source);
    assert_eq!(ids(source.map()), "A B C");
}

#[test]
fn a_node_of_another_cluster_is_not_taken_in() {
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    join(&mut source, "C", C);
    edit(&mut source, C, |c| c.set("cluster-name", "other"));
    tend_well(&mut source);
    assert_eq!(ids(source.map()), "A B");
}
