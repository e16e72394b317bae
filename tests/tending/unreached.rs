//! Long lists of peers that can't be reached cost little, and no peer is forgotten.

use std::net::SocketAddr;

use tendmap::internals::tend::Tender;
use tendmap::map::{Capacity, ClusterMap};
use tendmap::tend::{AerospikeConfig, ClusterSource, Condition, TendEvent};
use tendmap_testkit::tables::{
    Fake, Log, SMALL, at, edit, ids, owners, requests, server, tend_well, two,
};

const A: &str = "127.0.0.1:1";
const B: &str = "127.0.0.1:2";
const MANY: usize = 4000;

fn capacity() -> Capacity {
    Capacity { max_nodes: 4096, ..SMALL }
}

fn id(number: usize) -> String {
    format!("E{number:05}")
}

fn address(number: usize) -> String {
    format!("10.0.{}.{}:3000", number / 250, 1 + number % 250)
}

fn entries(numbers: impl Iterator<Item = usize>) -> Vec<String> {
    numbers.map(|number| format!("[{},,[{}]]", id(number), address(number))).collect()
}

/// A source with a deadline that is long enough on any machine.
fn source(fake: Fake, capacity: Capacity) -> Tender<Fake> {
    let mut config = AerospikeConfig::new(vec![at(A).into()]);
    config.connect_timeout = std::time::Duration::from_secs(600);
    let mut source = Tender::with_transport(config, fake);
    source.start(ClusterMap::new(capacity));
    source
}

/// A and B list each other and many others.
fn flooded() -> Tender<Fake> {
    let mut source = source(two(), capacity());
    let others = entries(0..MANY).join(",");
    edit(&mut source, A, |a| a.list(&format!("{others},[B,,[{B}]]")));
    edit(&mut source, B, |b| b.list(&format!("[A,,[{A}]],{others}")));
    source
}

/// How many of these others were asked in the last pass.
fn dialled(source: &mut Tender<Fake>) -> usize {
    let of_many = |address: SocketAddr| address.ip().to_string().starts_with("10.");
    source.transport_mut().asked.iter().filter(|ask| of_many(ask.address)).count()
}

#[test]
fn h60_thousands_of_peers_out_of_reach_cost_a_pass_a_few_tries() {
    let mut source = flooded();
    let (report, events) = tend_well(&mut source);
    assert_eq!(ids(source.map()), "A B");
    assert_eq!(owners(source.map(), 0), "AAAABBBB");
    assert_eq!(dialled(&mut source), MANY, "each once");
    assert_eq!(report.conditions.count(Condition::MissingPeers) as usize, MANY);
    let told = |events: &[TendEvent]| {
        events.iter().filter(|event| matches!(event, TendEvent::NodeFailed { .. })).count()
    };
    assert_eq!(told(&events), 256, "all are counted, 256 are reported");
    let mut all = std::collections::BTreeSet::new();
    let (mut passes, mut all_told) = (0, 0);
    while all.len() < MANY {
        let (report, events) = tend_well(&mut source);
        assert_eq!(report.conditions.count(Condition::MissingPeers) as usize, MANY);
        all_told += told(&events);
        assert!(all_told <= 4 * (passes + 1), "each is reported once, a few at a time");
        let tries = dialled(&mut source);
        assert!((1..=64).contains(&tries), "{tries}");
        assert!(requests(&mut source) <= 2 + tries, "the lists are not asked for again");
        all.extend(
            source
                .transport_mut()
                .asked
                .iter()
                .map(|ask| ask.address)
                .filter(|at| at.ip().to_string().starts_with("10.")),
        );
        passes += 1;
        assert!(passes < 80, "every peer is tried in time");
    }
}

#[test]
fn h60_a_newcomer_among_thousands_is_found_at_once() {
    let mut source = flooded();
    tend_well(&mut source);
    let mut c = server("C", "127.0.0.1:3", &[0x80, 0x00]);
    c.list(&format!("[A,,[{A}]],[B,,[{B}]]"));
    source.transport_mut().servers.insert(at("127.0.0.1:3"), c);
    let others = entries(0..MANY).join(",");
    edit(&mut source, A, |a| a.list(&format!("{others},[B,,[{B}]],[C,,[127.0.0.1:3]]")));
    tend_well(&mut source);
    assert_eq!(ids(source.map()), "A B C");
    assert!(dialled(&mut source) <= 64);
}

#[test]
fn h60_all_that_are_back_are_found_within_the_pass_that_finds_one() {
    let mut source = flooded();
    tend_well(&mut source);
    for number in 0..300 {
        let mut server = server(&id(number), &address(number), &[0x00, 0x00]);
        server.list(&format!("[A,,[{A}]],[B,,[{B}]]"));
        source.transport_mut().servers.insert(at(&address(number)), server);
    }
    let mut passes = 0;
    while source.map().nodes.len() < 302 {
        tend_well(&mut source);
        passes += 1;
        assert!(passes <= 3, "{} nodes", source.map().nodes.len());
    }
}

#[test]
fn h60_a_peer_that_is_starting_is_looked_for_in_every_pass() {
    let mut source = flooded();
    tend_well(&mut source);
    let number = MANY - 1;
    let mut late = server(&id(number), &address(number), &[0x00, 0x00]);
    late.list(&format!("[A,,[{A}]],[B,,[{B}]]"));
    late.set("partition-generation", -1);
    source.transport_mut().servers.insert(at(&address(number)), late);
    let asked = |source: &mut Tender<Fake>| {
        let wanted = at(&address(number));
        source.transport_mut().asked.iter().any(|ask| ask.address == wanted)
    };
    let mut passes = 0;
    loop {
        tend_well(&mut source);
        if asked(&mut source) {
            break;
        }
        passes += 1;
        assert!(passes < 80);
    }
    for _ in 0..3 {
        tend_well(&mut source);
        assert!(asked(&mut source), "it answered and is about to join");
    }
    edit(&mut source, &address(number), |late| late.set("partition-generation", 1));
    tend_well(&mut source);
    assert_eq!(source.map().nodes.len(), 3);
}

#[test]
fn h60_a_peer_that_moves_to_where_it_can_be_reached_is_found_at_once() {
    let mut source = flooded();
    tend_well(&mut source);
    let mut moved = server(&id(7), "127.0.0.1:7", &[0x00, 0x00]);
    moved.list(&format!("[A,,[{A}]],[B,,[{B}]]"));
    source.transport_mut().servers.insert(at("127.0.0.1:7"), moved);
    let mut list = entries(0..MANY);
    list[7] = format!("[{},,[127.0.0.1:7]]", id(7));
    list.push(format!("[B,,[{B}]]"));
    edit(&mut source, A, |a| a.list(&list.join(",")));
    edit(&mut source, B, |b| {
        b.list(&list[..MANY].join(",").replace("10.0.0.8:3000", "127.0.0.1:7"))
    });
    tend_well(&mut source);
    assert_eq!(source.map().nodes.len(), 3);
}

#[test]
fn h60_peers_that_nobody_lists_any_more_are_forgotten() {
    let mut source = flooded();
    tend_well(&mut source);
    edit(&mut source, A, |a| a.list(&format!("[B,,[{B}]]")));
    edit(&mut source, B, |b| b.list(&format!("[A,,[{A}]]")));
    let (report, _) = tend_well(&mut source);
    assert_eq!(report.conditions.count(Condition::MissingPeers), 0);
    tend_well(&mut source);
    assert_eq!(requests(&mut source), 2);
}

#[test]
fn h60_a_chain_of_peers_ends_where_the_map_is_full() {
    let mut fake = two();
    for number in 0..500 {
        let mut link = server(&id(number), &address(number), &[0x00, 0x00]);
        link.list(&format!("[{},,[{}]]", id(number + 1), address(number + 1)));
        fake.servers.insert(at(&address(number)), link);
    }
    let mut source = source(fake, Capacity { max_nodes: 10, ..SMALL });
    edit(&mut source, A, |a| a.list(&format!("[B,,[{B}]],{}", entries(0..1)[0])));
    for _ in 0..3 {
        tend_well(&mut source);
        assert!(dialled(&mut source) < 40, "{}", dialled(&mut source));
        assert_eq!(source.map().nodes.len(), 10);
    }
}

/// Reachable nodes are in the map at once, and the pass beats while it works through
/// the rest.
#[test]
fn h60_a_pass_beats_while_it_works_through_a_list() {
    let mut source = source(two(), capacity());
    let others = entries(0..20_000).join(",");
    edit(&mut source, A, |a| a.list(&format!("[B,,[{B}]],{others}")));
    let mut log = Log::default();
    source.tend(&mut log).unwrap();
    assert_eq!(owners(source.map(), 0), "AAAABBBB");
    assert!(log.beats > 10, "{}", log.beats);
    let mut log = Log { stop: true, ..Log::default() };
    assert!(source.tend(&mut log).is_err(), "the pass ends on request");
}
