//! Servers that list without end. What is followed, kept and published is bounded,
//! and good entries stay.

use std::collections::BTreeSet;

use tendmap::internals::tend::Tender;
use tendmap::map::{Capacity, ClusterMap};
use tendmap::tend::{AerospikeConfig, ClusterSource, TendEvent};
use tendmap_testkit::tables::{
    Fake, SMALL, at, column, edit, ids, node, ns, owners, requests, server, tend_well, two,
};

const A: &str = "127.0.0.1:1";
const B: &str = "127.0.0.1:2";

fn id(number: usize) -> String {
    format!("E{number:06}")
}

fn address(number: usize) -> String {
    format!("10.{}.{}.{}:3000", number >> 16, number >> 8 & 255, number & 255)
}

fn entries(numbers: impl Iterator<Item = usize>) -> String {
    let entry = |number| format!("[{},,[{}]]", id(number), address(number));
    numbers.map(entry).collect::<Vec<_>>().join(",")
}

/// A source with a deadline that is long enough on any machine.
fn source(fake: Fake, capacity: Capacity) -> Tender<Fake> {
    let mut config = AerospikeConfig::new(vec![at(A).into()]);
    config.connect_timeout = std::time::Duration::from_secs(600);
    let mut source = Tender::with_transport(config, fake);
    source.start(ClusterMap::new(capacity));
    source
}

fn room(max_nodes: usize) -> Capacity {
    Capacity { max_nodes, ..SMALL }
}

/// Adds servers at those addresses, each with its own list of others.
fn add_servers(fake: &mut Fake, numbers: std::ops::Range<usize>, list: impl Fn(usize) -> String) {
    for number in numbers {
        let mut one = server(&id(number), &address(number), &[0x00, 0x00]);
        one.list(&list(number));
        fake.servers.insert(at(&address(number)), one);
    }
}

fn cut_off(events: &[TendEvent]) -> Vec<(usize, usize, usize)> {
    let cut = |event: &TendEvent| match event {
        &TendEvent::PeersCutOff { listed, followed, ceiling, .. } => {
            Some((listed, followed, ceiling))
        }
        _ => None,
    };
    events.iter().filter_map(cut).collect()
}

fn dialled(source: &mut Tender<Fake>) -> usize {
    let of_flood = |at: &std::net::SocketAddr| at.ip().to_string().starts_with("10.");
    source.transport_mut().asked.iter().filter(|ask| of_flood(&ask.address)).count()
}

#[test]
fn h132_a_flood_of_peers_that_answer_is_followed_as_far_as_the_map_has_room() {
    let mut fake = two();
    add_servers(&mut fake, 0..3000, |number| entries(number + 1..number + 200));
    let mut source = source(fake, room(100));
    tend_well(&mut source);
    assert_eq!(ids(source.map()), "A B");
    edit(&mut source, B, |b| b.list(&format!("[A,,[{A}]],{}", entries(0..100_000))));
    let (report, events) = tend_well(&mut source);
    assert_eq!(source.map().nodes.len(), 100, "all places are taken in one pass");
    assert_eq!(owners(source.map(), 0), "AAAABBBB", "good entries stay");
    assert!(dialled(&mut source) <= 500, "{}", dialled(&mut source));
    let cut = cut_off(&events);
    assert_eq!(cut.len(), 1, "{cut:?}");
    assert!(cut[0].0 >= 99_000 && cut[0].1 <= 1200 && cut[0].2 == 100, "{cut:?}");
    assert!(report.refused >= 98_000, "{}", report.refused);
    assert!(events.len() < 200, "{}", events.len());
    assert!(source.transport_mut().kept <= 100, "no connection is left open for the others");
    let first = source.map().clone();
    for _ in 0..5 {
        edit(&mut source, B, |b| b.raise("peers-generation"));
        let (_, events) = tend_well(&mut source);
        assert_eq!(cut_off(&events), [], "reported once");
        assert!(dialled(&mut source) <= 250, "{}", dialled(&mut source));
        assert_eq!(*source.map(), first, "the same nodes stay");
    }
    tend_well(&mut source);
    tend_well(&mut source);
    assert_eq!(requests(&mut source), 100, "then only the statuses are asked for");
}

#[test]
fn h132_peers_in_another_order_each_time_change_nothing() {
    let mut fake = two();
    add_servers(&mut fake, 0..60, |_| format!("[A,,[{A}]],[B,,[{B}]]"));
    let mut source = source(fake, room(20));
    let mut first = None;
    for round in 0..6 {
        let turned = entries((round * 11..60).chain(0..round * 11));
        edit(&mut source, B, |b| b.list(&format!("{turned},[A,,[{A}]]")));
        let (_, events) = tend_well(&mut source);
        let map = source.map().clone();
        assert_eq!(map.nodes.len(), 20);
        let changes = |event: &&TendEvent| !matches!(event, TendEvent::NodeRefused { .. });
        assert_eq!(events.iter().any(|event| changes(&event)), first.is_none(), "{events:?}");
        assert_eq!(first.get_or_insert(map.clone()), &map);
    }
}

#[test]
fn h132_a_chain_is_followed_a_little_with_each_pass_and_as_far_as_there_is_room() {
    let mut fake = two();
    add_servers(&mut fake, 0..2000, |number| entries(number + 1..number + 2));
    let mut source = source(fake, room(300));
    tend_well(&mut source);
    edit(&mut source, A, |a| a.list(&format!("[B,,[{B}]],{}", entries(0..1))));
    let mut passes = 0;
    while source.map().nodes.len() < 300 {
        let before = source.map().nodes.len();
        tend_well(&mut source);
        let grown = source.map().nodes.len() - before;
        assert!((1..=20).contains(&grown), "{grown} from {before}");
        assert_eq!(owners(source.map(), 0), "AAAABBBB");
        passes += 1;
        assert!(passes < 100);
    }
    for _ in 0..3 {
        tend_well(&mut source);
        assert_eq!(source.map().nodes.len(), 300);
        assert!(dialled(&mut source) <= 700, "{}", dialled(&mut source));
    }
}

#[test]
fn h132_a_newcomer_that_others_list_is_found_beside_a_flood() {
    for hostile in [A, B] {
        let mut source = source(two(), room(50));
        tend_well(&mut source);
        let mut c = server("ZC", "127.0.0.1:3", &[0x80, 0x00]);
        c.list(&format!("[A,,[{A}]],[B,,[{B}]]"));
        source.transport_mut().servers.insert(at("127.0.0.1:3"), c);
        let other = if hostile == A { B } else { A };
        let peer =
            |address| if address == A { format!("[B,,[{B}]]") } else { format!("[A,,[{A}]]") };
        edit(&mut source, hostile, |it| {
            it.list(&format!("{},{}", entries(0..140_000), peer(hostile)));
        });
        edit(&mut source, other, |it| it.list(&format!("{},[ZC,,[127.0.0.1:3]]", peer(other))));
        let (_, events) = tend_well(&mut source);
        assert_eq!(ids(source.map()), "A B ZC", "the hostile node is {hostile}");
        assert_eq!(cut_off(&events).len(), 1);
        let failed = |event: &&TendEvent| matches!(event, TendEvent::NodeFailed { .. });
        assert!(events.iter().filter(failed).count() <= 256);
    }
}

#[test]
fn h132_a_known_node_at_the_end_of_a_flood_stays_and_is_followed_when_it_moves() {
    let mut source = source(two(), room(10));
    tend_well(&mut source);
    let flood = entries(0..50_000);
    edit(&mut source, A, |a| a.list(&format!("{flood},[B,,[{B}]]")));
    edit(&mut source, B, |b| b.claim(0, &[0x00, 0x00]));
    edit(&mut source, A, |a| a.claim(0, &[0xff, 0x00]));
    edit(&mut source, A, |a| a.raise("partition-generation"));
    edit(&mut source, B, |b| b.raise("partition-generation"));
    for _ in 0..3 {
        tend_well(&mut source);
        assert_eq!(ids(source.map()), "A B", "B holds no partition, but is listed");
    }
    let mut moved = server("B", "127.0.0.1:9", &[0x00, 0x00]);
    moved.list(&format!("[A,,[{A}]]"));
    source.transport_mut().servers.remove(&at(B));
    source.transport_mut().servers.insert(at("127.0.0.1:9"), moved);
    edit(&mut source, A, |a| a.list(&format!("{flood},[B,,[127.0.0.1:9]]")));
    tend_well(&mut source);
    let moved = source.map().nodes.iter().find(|(_, it)| it.id == node("B")).unwrap().1;
    assert_eq!(moved.address, at("127.0.0.1:9"));
}

#[test]
fn h132_ids_that_change_with_every_pass_fill_nothing() {
    let mut fake = two();
    add_servers(&mut fake, 0..200, |_| format!("[A,,[{A}]],[B,,[{B}]]"));
    let mut source = source(fake, room(8));
    tend_well(&mut source);
    let mut events_told = 0;
    for pass in 0..60 {
        // Other ids of live servers, thousands of ids at one address, and a server
        // that changes its id every time.
        let own = format!("X{pass}");
        edit(&mut source, &address(0), |it| it.set("node", &own));
        let mut list = entries(1 + pass * 3..4 + pass * 3);
        for number in 0..2000 {
            list += &format!(",[F{pass}x{number},,[10.9.9.9:1]]");
        }
        edit(&mut source, B, |b| b.list(&format!("[A,,[{A}]],[{own},,[{}]],{list}", address(0))));
        let (report, events) = tend_well(&mut source);
        events_told += events.len();
        assert!(source.map().nodes.len() <= 8);
        assert!(source.map().nodes.slots() <= 8);
        assert!(report.refused <= 3000, "{}", report.refused);
        assert_eq!(owners(source.map(), 0), "AAAABBBB");
        assert!(dialled(&mut source) <= 100, "{}", dialled(&mut source));
    }
    assert!(events_told <= 256 + 60 * 20, "{events_told}");
}

#[test]
fn h132_one_peer_with_a_thousand_addresses_or_listed_a_thousand_times_is_one_peer() {
    let mut source = source(two(), room(8));
    tend_well(&mut source);
    let hosts: Vec<String> = (0..250).map(address).collect();
    let once = format!("[E,,[{}]]", hosts.join(","));
    let many: Vec<String> = (0..5000).map(|n| format!("[G,,[{}]]", address(1000 + n))).collect();
    edit(&mut source, B, |b| b.list(&format!("[A,,[{A}]],{once},{}", many.join(","))));
    tend_well(&mut source);
    assert_eq!(ids(source.map()), "A B");
    assert!(dialled(&mut source) <= 512, "{}", dialled(&mut source));
    for _ in 0..3 {
        tend_well(&mut source);
        assert!(dialled(&mut source) <= 512, "{}", dialled(&mut source));
    }
}

#[test]
fn h132_a_node_that_found_no_room_comes_in_when_there_is_some() {
    let mut fake = two();
    add_servers(&mut fake, 0..2, |_| format!("[A,,[{A}]],[B,,[{B}]]"));
    let mut source = source(fake, room(3));
    let all = entries(0..2);
    edit(&mut source, A, |a| a.list(&format!("[B,,[{B}]],{all}")));
    edit(&mut source, B, |b| b.list(&format!("[A,,[{A}]],{all}")));
    tend_well(&mut source);
    let there: BTreeSet<String> = ids(source.map()).split(' ').map(String::from).collect();
    assert_eq!(there.len(), 3);
    let (out, kept) = if there.contains(&id(0)) { (0, 1) } else { (1, 0) };
    source.transport_mut().servers.remove(&at(&address(out)));
    let rest = entries(kept..kept + 1);
    edit(&mut source, A, |a| a.list(&format!("[B,,[{B}]],{rest}")));
    edit(&mut source, B, |b| b.list(&format!("[A,,[{A}]],{rest}")));
    edit(&mut source, &address(kept), |it| it.list(&format!("[A,,[{A}]],[B,,[{B}]]")));
    for _ in 0..3 {
        tend_well(&mut source);
    }
    assert_eq!(ids(source.map()), format!("A B {}", id(kept)));
}

/// A server's claims of `test`, and claims of all partitions of the other namespaces.
fn claims(test: [u8; 2], others: impl Iterator<Item = String>) -> String {
    let all = column(0xff);
    let others: Vec<String> = others.map(|name| format!(";{name}:0,1,{all}")).collect();
    format!("test:0,2,{},{}{}", column(test[0]), column(test[1]), others.concat())
}

fn claim(source: &mut Tender<Fake>, address: &str, text: &str) {
    edit(source, address, |server| {
        server.raise("partition-generation");
        server.set("replicas", text);
    });
}

fn namespaces(source: &Tender<Fake>) -> Vec<String> {
    let mut names: Vec<String> =
        source.map().namespaces().iter().map(|namespace| namespace.name.to_string()).collect();
    names.sort();
    names
}

fn namespaces_cut_off(events: &[TendEvent]) -> usize {
    events.iter().filter(|event| matches!(event, TendEvent::NamespacesCutOff { .. })).count()
}

#[test]
fn h134_a_node_with_a_million_namespaces_keeps_none_of_the_others_out() {
    let capacity = Capacity { max_namespaces: 8, ..SMALL };
    for hostile in [A, B] {
        let mut source = source(two(), capacity);
        tend_well(&mut source);
        let (test, other_test, other) = match hostile {
            A => ([0xf0, 0x0f], [0x0f, 0xf0], B),
            _ => ([0x0f, 0xf0], [0xf0, 0x0f], A),
        };
        let flood = claims(test, (0..65_536).map(|number| format!("a{number}")));
        claim(&mut source, hostile, &flood);
        let (report, events) = tend_well(&mut source);
        assert_eq!(namespaces(&source).len(), 8);
        assert_eq!(namespaces_cut_off(&events), 1);
        let by_it = |event: &TendEvent| match event {
            TendEvent::NamespacesCutOff { by, by_it, .. } => Some((*by, *by_it)),
            _ => None,
        };
        let id = node(if hostile == A { "A" } else { "B" });
        assert_eq!(events.iter().find_map(by_it), Some((id, 65_529)));
        assert_eq!(report.refused, 65_529);
        // The other node has new namespaces after all places have been taken.
        claim(
            &mut source,
            other,
            &claims(other_test, ["x", "y", "z"].map(String::from).into_iter()),
        );
        let (_, events) = tend_well(&mut source);
        for name in ["test", "x", "y", "z"] {
            assert!(source.map().namespace(&ns(name)).is_some(), "{name}: {events:?}");
        }
        assert_eq!((namespaces(&source).len(), namespaces_cut_off(&events)), (8, 0));
        assert_eq!(owners(source.map(), 0), "AAAABBBB");
        // Whatever order it lists them in, the same ones stay.
        let before = namespaces(&source);
        for round in 0..5 {
            let turned = (round..65_536).chain(0..round).map(|number| format!("a{number}"));
            claim(&mut source, hostile, &claims(test, turned));
            let (_, events) = tend_well(&mut source);
            assert_eq!(namespaces(&source), before, "{events:?}");
            assert!(events.len() <= 4, "{events:?}");
        }
        // Other namespaces in every pass do not cost another node a place.
        for round in 0..8 {
            let others = (0..1000).map(|number| format!("b{round}x{number}"));
            claim(&mut source, hostile, &claims(test, others));
            let (_, events) = tend_well(&mut source);
            for name in ["test", "x", "y", "z"] {
                assert!(source.map().namespace(&ns(name)).is_some(), "{name}");
            }
            assert!(events.len() <= 300, "{}", events.len());
        }
        claim(&mut source, hostile, &claims(test, std::iter::empty()));
        for _ in 0..8 {
            tend_well(&mut source);
        }
        let (report, events) = tend_well(&mut source);
        assert_eq!(namespaces(&source), ["test", "x", "y", "z"]);
        assert_eq!((report.refused, events), (0, vec![]));
    }
}

#[test]
fn h134_what_found_no_place_has_it_as_soon_as_there_is_one() {
    let mut source = source(two(), Capacity { max_namespaces: 2, ..SMALL });
    claim(&mut source, A, &claims([0xf0, 0x0f], ["x", "y"].map(String::from).into_iter()));
    let (report, _) = tend_well(&mut source);
    assert_eq!((namespaces(&source), report.refused), (vec!["test".into(), "x".into()], 1));
    let only = |name: &str| claims([0xf0, 0x0f], [name.to_owned()].into_iter());
    claim(&mut source, A, &only("y"));
    for _ in 0..6 {
        tend_well(&mut source);
    }
    assert_eq!(namespaces(&source), ["test", "y"]);
    let owner = source.map().namespace(&ns("y")).unwrap().partitions.holder(0, 0).unwrap();
    assert_eq!(source.map().nodes.get(owner).unwrap().id, node("A"));
}

#[test]
fn h134_a_million_racks_cost_nothing_that_lasts() {
    let mut source = source(two(), SMALL);
    tend_well(&mut source);
    let racks: Vec<String> = (0..300_000).map(|number| format!("n{number:x}:1")).collect();
    for round in 1..4 {
        let text = format!("{};test:{round}", racks.join(";"));
        edit(&mut source, B, |b| {
            b.raise("rebalance-generation");
            b.set("rack-ids", text);
        });
        tend_well(&mut source);
        let slot = source.map().nodes.slot_of(&node("B")).unwrap();
        assert_eq!(source.map().namespace(&ns("test")).unwrap().rack(slot), Some(round));
        assert_eq!(namespaces(&source), ["test"]);
    }
}
