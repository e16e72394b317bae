//! No map lacks a master that a node claims. The holes of every map that would be
//! published are counted.

use tendmap::internals::tend::Tender;
use tendmap::tend::{AerospikeSource, ClusterSource, TendEvent};
use tendmap_testkit::tables::*;

const A: &str = "127.0.0.1:1";
const B: &str = "127.0.0.1:2";
const C: &str = "127.0.0.1:3";

/// A, B and C, with partitions 0 to 2, 3 to 5, and 6 and 7.
fn three() -> Fake {
    let mut fake = Fake::default();
    for (id, address, byte) in [("A", A, 0xe0), ("B", B, 0x1c), ("C", C, 0x03)] {
        let mut server = server(id, address, &[byte, 0x00]);
        let peers = [("A", A), ("B", B), ("C", C)].into_iter().filter(|peer| peer.0 != id);
        let peers: Vec<String> = peers.map(|(id, at)| format!("[{id},,[{at}]]")).collect();
        server.list(&peers.join(","));
        fake.servers.insert(at(address), server);
    }
    fake
}

/// Sets what a node answers from its second request of the pass on: it has noticed
/// that others are gone, lists only these peers, and has taken over.
fn notices(source: &mut Tender<Fake>, address: &str, peers: &str, byte: u8) {
    edit(source, address, |server| {
        let mut after = server.clone();
        after.list(peers);
        after.raise("partition-generation");
        after.claim(0, &[byte, 0x00]);
        server.later = after.replies;
    });
}

fn adopt_later(source: &mut Tender<Fake>) {
    for server in source.transport_mut().servers.values_mut() {
        let later = std::mem::take(&mut server.later);
        server.replies.extend(later);
    }
}

#[test]
fn h52_the_pass_that_removes_a_node_has_its_partitions_from_the_others() {
    let mut source = source(three(), SMALL);
    tend_well(&mut source);
    // C is frozen. While the pass waits for it, the others notice. Their status in
    // this pass is from before.
    edit(&mut source, C, |c| c.down = true);
    tend_well(&mut source);
    notices(&mut source, A, &format!("[B,,[{B}]]"), 0xe1);
    notices(&mut source, B, &format!("[A,,[{A}]]"), 0x1e);
    let (_, events) = tend_well(&mut source);
    assert!(events.iter().any(|e| matches!(e, TendEvent::NodeRemoved { .. })), "{events:?}");
    assert_eq!((ids(source.map()).as_str(), owners(source.map(), 0).as_str()), ("A B", "AAABBBBA"));
    adopt_later(&mut source);
    tend_well(&mut source);
    assert_eq!(requests(&mut source), 2, "only the statuses are asked for");
}

#[test]
fn h52_when_two_of_three_freeze_the_third_has_all_at_once() {
    let mut source = source(three(), SMALL);
    tend_well(&mut source);
    for address in [B, C] {
        edit(&mut source, address, |server| server.down = true);
    }
    notices(&mut source, A, "", 0xff);
    tend_well(&mut source);
    assert_eq!((ids(source.map()).as_str(), owners(source.map(), 0).as_str()), ("A", "AAAAAAAA"));
}

#[test]
fn h52_a_cluster_that_shrinks_node_by_node_has_no_holes() {
    let mut source = source(three(), SMALL);
    tend_well(&mut source);
    source.transport_mut().servers.remove(&at(C));
    notices(&mut source, A, &format!("[B,,[{B}]]"), 0xe1);
    notices(&mut source, B, &format!("[A,,[{A}]]"), 0x1e);
    tend_well(&mut source);
    assert_eq!(owners(source.map(), 0), "AAABBBBA");
    adopt_later(&mut source);
    source.transport_mut().servers.remove(&at(B));
    notices(&mut source, A, "", 0xff);
    tend_well(&mut source);
    assert_eq!((ids(source.map()).as_str(), owners(source.map(), 0).as_str()), ("A", "AAAAAAAA"));
}

#[test]
fn h52_a_removal_waits_for_those_that_answer_and_could_not_be_read() {
    let mut source = source(three(), SMALL);
    tend_well(&mut source);
    edit(&mut source, C, |c| c.down = true);
    notices(&mut source, A, &format!("[B,,[{B}]]"), 0xe1);
    notices(&mut source, B, &format!("[A,,[{A}]]"), 0x1e);
    // B's claims can't be read in this pass.
    edit(&mut source, B, |b| drop(b.later.insert("replicas".into(), "ERROR:4:no".into())));
    tend_well(&mut source);
    assert_eq!(owners(source.map(), 0), "AAABBBCA", "no other node claims C's last partition yet");
    edit(&mut source, B, |b| drop(b.later.remove("replicas")));
    adopt_later(&mut source);
    edit(&mut source, B, |b| b.claim(0, &[0x1e, 0x00]));
    tend_well(&mut source);
    assert_eq!((ids(source.map()).as_str(), owners(source.map(), 0).as_str()), ("A B", "AAABBBBA"));
}

#[test]
fn h52_a_removal_is_put_off_for_a_few_passes_only() {
    let mut source = source(three(), SMALL);
    tend_well(&mut source);
    edit(&mut source, C, |c| c.down = true);
    edit(&mut source, A, |a| a.list(&format!("[B,,[{B}]]")));
    edit(&mut source, B, |b| {
        b.list(&format!("[A,,[{A}]]"));
        b.set("replicas", "ERROR:4:no");
    });
    for _ in 0..3 {
        tend_well(&mut source);
        assert_eq!(ids(source.map()), "A B C");
    }
    tend_well(&mut source);
    assert_eq!(ids(source.map()), "A B");
}

#[test]
fn h52_what_survivors_claim_in_a_lower_regime_is_better_than_nothing() {
    let mut fake = three();
    for (address, regime, byte) in [(A, 7, 0xe0), (B, 7, 0x1c), (C, 9, 0x03)] {
        fake.servers.get_mut(&at(address)).unwrap().claim(regime, &[byte, 0x00]);
    }
    let mut source = source(fake, SMALL);
    tend_well(&mut source);
    edit(&mut source, C, |c| c.down = true);
    for (address, peers, byte) in
        [(A, format!("[B,,[{B}]]"), 0xe1), (B, format!("[A,,[{A}]]"), 0x1e)]
    {
        edit(&mut source, address, |server| {
            server.list(&peers);
            server.raise("partition-generation");
            server.claim(8, &[byte, 0x00]);
        });
    }
    tend_well(&mut source);
    assert_eq!(owners(source.map(), 0), "AAABBBBA");
}

#[test]
fn h56_a_node_replaced_at_its_address_leaves_no_holes() {
    let mut source = source(three(), SMALL);
    tend_well(&mut source);
    // Another node of the cluster answers at C's address. A and B have not noticed.
    let mut x = server("X", C, &[0x03, 0x00]);
    x.connection = 9;
    x.list(&format!("[A,,[{A}]],[B,,[{B}]]"));
    x.set("partition-generation", -1);
    source.transport_mut().servers.insert(at(C), x);
    for _ in 0..2 {
        tend_well(&mut source);
        assert_eq!(owners(source.map(), 0), "AAABBBCC", "no other node claims them");
    }
    // It has joined, and B lists it first.
    edit(&mut source, C, |x| x.set("partition-generation", 1));
    edit(&mut source, B, |b| b.list(&format!("[A,,[{A}]],[X,,[{C}]]")));
    tend_well(&mut source);
    assert_eq!(
        (ids(source.map()).as_str(), owners(source.map(), 0).as_str()),
        ("A B X", "AAABBBXX")
    );
}

#[test]
fn h56_a_node_replaced_at_its_address_goes_when_the_others_have_taken_over() {
    let mut source = source(three(), SMALL);
    tend_well(&mut source);
    let mut x = server("X", C, &[0x00, 0x00]);
    x.connection = 9;
    x.set("partition-generation", -1);
    source.transport_mut().servers.insert(at(C), x);
    tend_well(&mut source);
    notices(&mut source, A, &format!("[B,,[{B}]]"), 0xe1);
    notices(&mut source, B, &format!("[A,,[{A}]]"), 0x1e);
    tend_well(&mut source);
    assert_eq!((ids(source.map()).as_str(), owners(source.map(), 0).as_str()), ("A B", "AAABBBBA"));
    // It is removed even if it is listed for ever.
    let mut source = tendmap_testkit::tables::source(three(), SMALL);
    tend_well(&mut source);
    source.transport_mut().servers.insert(at(C), server("X", C, &[0x00, 0x00]));
    for _ in 0..4 {
        tend_well(&mut source);
        assert_eq!(ids(source.map()), "A B C");
    }
    tend_well(&mut source);
    assert_eq!(ids(source.map()), "A B");
}

#[test]
fn h52_the_first_map_is_whole_although_connections_break() {
    let mut fake = three();
    for server in fake.servers.values_mut() {
        server.reconnects = true;
    }
    let mut source = source(fake, SMALL);
    for _ in 0..3 {
        tend_well(&mut source);
        assert_eq!(owners(source.map(), 0), "AAABBBCC");
    }
}

#[cfg(feature = "sim")]
mod simulated {
    use std::time::{Duration, Instant};

    use super::*;
    use tendmap::map::{Capacity, ClusterMap};
    use tendmap::sim::{Sim, SimConfig};
    use tendmap::tend::AerospikeConfig;

    const LONG: Duration = Duration::from_secs(60);

    /// Tends until these nodes are gone. No map on the way has a hole as long as the
    /// others answer.
    fn follow(sim: &Sim, source: &mut AerospikeSource, live: usize, what: &str) {
        let begun = Instant::now();
        while source.map().nodes.len() != live || !sim.settle(Duration::ZERO) {
            assert!(begun.elapsed() < LONG, "{what}: {:?}", ids(source.map()));
            let mut log = Log::default();
            let Ok(report) = source.tend(&mut log) else { continue };
            let holes: usize = source.map().namespaces().iter().map(|name| name.holes()).sum();
            // If one of the others does not answer in time, no node claims its part.
            // The same holds if the cluster has given a part of the first frozen node
            // to the second and has not noticed yet.
            let heirs = what != "two frozen nodes" || report.nodes_failed == 0;
            if report.nodes_ok >= live && heirs {
                assert_eq!(holes, 0, "{what}: {report:?}, {:?}", log.events);
            }
        }
    }

    #[test]
    fn h52_no_map_of_a_simulated_cluster_has_a_hole() {
        for timeout in [40, 200] {
            let sim = Sim::start(SimConfig::fast(4)).unwrap();
            let mut config = AerospikeConfig::new(vec![sim.seeds()[0].into()]);
            config.connect_timeout = Duration::from_millis(timeout);
            let mut source = AerospikeSource::new(config);
            source.start(ClusterMap::new(Capacity { max_nodes: 16, ..Capacity::DEFAULT }));
            follow(&sim, &mut source, 4, "start");
            for round in 0..4 {
                sim.freeze(2 + round % 3).unwrap();
                follow(&sim, &mut source, 3, "a frozen node");
                sim.thaw(2 + round % 3).unwrap();
                follow(&sim, &mut source, 4, "it wakes");
            }
            sim.freeze(3).unwrap();
            sim.freeze(4).unwrap();
            follow(&sim, &mut source, 2, "two frozen nodes");
            sim.thaw(3).unwrap();
            sim.thaw(4).unwrap();
            follow(&sim, &mut source, 4, "they wake");
            for left in [3, 2, 1] {
                sim.stop_clean(left + 1).unwrap();
                follow(&sim, &mut source, left, "a cluster that shrinks");
            }
        }
    }
}
