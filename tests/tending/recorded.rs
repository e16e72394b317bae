//! Recordings of a real cluster, replayed: holes, one-way losses, and claims that
//! contradict each other.

use std::collections::BTreeMap;
use std::io::Read;

use base64::Engine as _;
use tendmap::internals::tend::Tender;
use tendmap::map::{Capacity, ClusterMap};
use tendmap::tend::{AerospikeConfig, ClusterSource, TendEvent};
use tendmap_testkit::tables::*;

/// The replies of all nodes at one moment; `None` = no answer.
type Moment = BTreeMap<String, Replies>;

/// A node's answer to each command.
type Replies = Option<BTreeMap<String, String>>;

fn moments(file: &str) -> Vec<Moment> {
    let file = std::fs::File::open(tendmap_testkit::data(&format!("{file}.jsonl.gz"))).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let mut moments: BTreeMap<u32, Moment> = BTreeMap::new();
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let Some(node) = line["node"].as_str() else { continue };
        let replies = line["r"].as_object().map(|replies| {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_string();
            replies.iter().map(|(key, value)| (key.clone(), text(value))).collect()
        });
        let time = (line["rel"].as_f64().unwrap() / 0.2) as u32;
        moments.entry(time).or_default().insert(node.into(), replies);
    }
    // A node without records for a while did not answer. One answer in the wrong
    // fifth of a second does not count.
    let mut last: BTreeMap<&str, (u32, Replies)> = BTreeMap::new();
    for (&time, moment) in &mut moments {
        for (name, _) in NODES {
            match moment.get(name) {
                Some(replies) => drop(last.insert(name, (time, replies.clone()))),
                None => {
                    let known = last.get(name).filter(|(at, _)| time - at <= 2);
                    let replies = known.and_then(|(_, replies)| replies.clone());
                    moment.insert(name.into(), replies);
                }
            }
        }
    }
    moments.into_values().collect()
}

const NODES: [(&str, &str); 3] =
    [("a", "127.0.0.1:3100"), ("b", "127.0.0.1:3200"), ("c", "127.0.0.1:3300")];

/// The nodes answer with the replies of `first` to their first request of the pass,
/// and with those of `later` to all others.
fn play(source: &mut Tender<Fake>, first: &Moment, later: &Moment) {
    for (name, address) in NODES {
        let server = source.transport_mut().servers.entry(at(address)).or_default();
        let (Some(first), Some(later)) = (&first[name], &later[name]) else {
            server.down = true;
            continue;
        };
        server.connection += u64::from(std::mem::take(&mut server.down));
        (server.replies, server.later) = (first.clone(), later.clone());
        server.set("build", "8.1.2.0");
        server.set("service-clear-std", address);
        server.set("rack-ids", "ERROR:25:enterprise only");
    }
}

/// The masters that nodes claim in a namespace, by partition.
fn masters(moment: &Moment, namespace: &str) -> Vec<bool> {
    let mut claimed = vec![false; 4096];
    for replies in
        moment.values().flatten().filter(|replies| replies["partition-generation"] != "-1")
    {
        let mut all = replies["replicas"].split(';');
        let Some(text) = all.find_map(|text| text.strip_prefix(&format!("{namespace}:"))) else {
            continue;
        };
        let column = text.split(',').nth(2).unwrap();
        let bytes = base64::engine::general_purpose::STANDARD.decode(column).unwrap();
        for (partition, claimed) in claimed.iter_mut().enumerate() {
            *claimed |= bytes[partition / 8] << (partition % 8) & 0x80 != 0;
        }
    }
    claimed
}

#[test]
fn h52_no_map_over_recorded_replies_lacks_a_master_that_a_node_claims() {
    for file in ["failover", "freeze_two", "oneway", "rf_change"] {
        let moments = moments(file);
        assert!(moments.len() > 80, "{file}: {}", moments.len());
        // One pass per second, in each phase of it. The answers to later requests are
        // those of 0.6 s later, as after a node that does not answer.
        for phase in 0..5 {
            let config = AerospikeConfig::new(vec![at(NODES[0].1).into()]);
            let mut source = Tender::with_transport(config, Fake::default());
            source.start(ClusterMap::new(Capacity::DEFAULT));
            for step in (phase..moments.len() - 3).step_by(5) {
                let late = moments[step].values().any(Option::is_none);
                let later = &moments[step + if late { 3 } else { 0 }];
                play(&mut source, &moments[step], later);
                tend_well(&mut source);
                for namespace in source.map().namespaces() {
                    let claimed = masters(later, namespace.name.as_str());
                    let holes = (0..4096).filter(|&partition| {
                        claimed[partition] && namespace.partitions.holder(partition, 0).is_none()
                    });
                    assert_eq!(holes.count(), 0, "{file} {phase} {step} {}", namespace.name);
                }
            }
        }
    }
}

#[test]
fn h53_the_map_over_a_recorded_one_way_loss_is_that_of_the_nodes_that_list_each_other() {
    let moments = moments("oneway");
    let config = AerospikeConfig::new(vec![at(NODES[0].1).into()]);
    let mut source = Tender::with_transport(config, Fake::default());
    source.start(ClusterMap::new(Capacity::DEFAULT));
    let (mut expelled, mut events) = (0, Vec::new());
    for (step, moment) in moments.iter().enumerate() {
        play(&mut source, moment, moment);
        events.extend(tend_well(&mut source).1);
        let peers = |name: &str| moment[name].as_ref().unwrap()["peers-clear-std"].as_str();
        if peers("b").contains("AA") || peers("c").contains("AA") {
            continue;
        }
        expelled += 1;
        let slot = source.map().nodes.slot_of(&node("AA"));
        let mut of_both = moment.clone();
        of_both.remove("a");
        for namespace in source.map().namespaces() {
            let claimed = masters(&of_both, namespace.name.as_str());
            for (partition, claimed) in claimed.into_iter().enumerate() {
                let owner = namespace.partitions.holder(partition, 0);
                assert!(!claimed || owner != slot, "step {step}: {} {partition}", namespace.name);
            }
        }
    }
    assert!(expelled > 40, "{expelled}");
    let told = |wanted: fn(&TendEvent) -> bool| events.iter().filter(|event| wanted(event)).count();
    assert_eq!(told(|event| matches!(event, TendEvent::ClaimsContradict { .. })), 1);
    assert_eq!(told(|event| matches!(event, TendEvent::ClaimsAgree)), 1);
}

#[test]
fn h54_recorded_failovers_contradict_nothing_for_long() {
    for file in ["failover", "freeze_two", "rf_change"] {
        let moments = moments(file);
        for step in [1, 5] {
            let config = AerospikeConfig::new(vec![at(NODES[0].1).into()]);
            let mut source = Tender::with_transport(config, Fake::default());
            source.start(ClusterMap::new(Capacity::DEFAULT));
            for moment in moments.iter().step_by(step) {
                play(&mut source, moment, moment);
                let (_, events) = tend_well(&mut source);
                let told = |event: &TendEvent| matches!(event, TendEvent::ClaimsContradict { .. });
                assert!(!events.iter().any(told), "{file} every {step}: {events:?}");
            }
        }
    }
}
