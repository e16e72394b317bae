//! A recorded failover of a real cluster, replayed through the logic of a pass.

use std::collections::BTreeMap;
use std::io::Read;

use base64::Engine as _;
use tendmap::internals::tend::Tender;
use tendmap::map::{Capacity, ClusterMap, NamespaceName, NodeId};
use tendmap::tend::{AerospikeConfig, ClusterSource, TendEvent};
use tendmap_testkit::tables::*;

/// The replies of all nodes at one moment; `None` = no answer.
struct Moment {
    time: f64,
    nodes: BTreeMap<String, Option<BTreeMap<String, String>>>,
}

fn moments() -> Vec<Moment> {
    let file = std::fs::File::open(tendmap_testkit::data("failover.jsonl.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let mut moments: Vec<Moment> = Vec::new();
    for line in text.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let Some(node) = line["node"].as_str() else { continue };
        let replies = line["r"].as_object().map(|replies| {
            let pair = |(key, value): (&String, &serde_json::Value)| {
                (key.clone(), value.as_str().unwrap().to_string())
            };
            replies.iter().map(pair).collect()
        });
        let time = line["rel"].as_f64().unwrap();
        let same = |moment: &&mut Moment| (moment.time / 0.2) as u32 == (time / 0.2) as u32;
        match moments.last_mut().filter(same) {
            Some(moment) => drop(moment.nodes.insert(node.into(), replies)),
            None => moments.push(Moment { time, nodes: BTreeMap::from([(node.into(), replies)]) }),
        }
    }
    assert!(moments.iter().all(|moment| moment.nodes.len() == NODES.len()));
    moments
}

const NODES: [(&str, &str, &str); 3] = [
    ("a", "BB9000000003100", "127.0.0.1:3100"),
    ("b", "BB9000000003200", "127.0.0.1:3200"),
    ("c", "BB9000000003300", "127.0.0.1:3300"),
];

fn play(source: &mut Tender<Fake>, moment: &Moment) {
    for (name, _, address) in NODES {
        let server = source.transport_mut().servers.entry(at(address)).or_default();
        match moment.nodes.get(name).cloned().flatten() {
            Some(replies) => {
                server.connection += u64::from(server.down);
                server.down = false;
                server.replies = replies;
                server.set("build", "8.1.2.0");
                server.set("service-clear-std", address);
                server.set("rack-ids", "ERROR:25:enterprise only");
            }
            None => server.down = true,
        }
    }
}

/// The namespace, its replication factor and, for each column, the partitions whose
/// bit is set. This parser is independent of the product's.
fn claims(replicas: &str) -> Vec<(NamespaceName, usize, Vec<Vec<bool>>)> {
    replicas
        .split(';')
        .map(|namespace| {
            let (name, rest) = namespace.split_once(':').unwrap();
            let mut fields = rest.split(',').skip(1);
            let rf = fields.next().unwrap().parse().unwrap();
            let columns = fields.map(|text| {
                let bytes = base64::engine::general_purpose::STANDARD.decode(text).unwrap();
                (0..4096).map(|p| bytes[p / 8] << (p % 8) & 0x80 != 0).collect()
            });
            (ns(name), rf, columns.collect())
        })
        .collect()
}

/// The claims at that moment: namespace, column, partition → node ids.
type Claimed = BTreeMap<(NamespaceName, usize, usize), Vec<NodeId>>;

fn claimed(moment: &Moment) -> (Claimed, BTreeMap<NamespaceName, Vec<usize>>) {
    let (mut all, mut factors) = (Claimed::new(), BTreeMap::<NamespaceName, Vec<usize>>::new());
    for (name, id, _) in NODES {
        let Some(Some(replies)) = moment.nodes.get(name) else { continue };
        if replies["partition-generation"] == "-1" {
            continue;
        }
        for (namespace, rf, columns) in claims(&replies["replicas"]) {
            factors.entry(namespace).or_default().push(rf);
            for (column, bits) in columns.iter().enumerate() {
                for partition in (0..4096).filter(|&p| bits[p]) {
                    let key = (namespace, column, partition);
                    all.entry(key).or_default().push(node(id));
                }
            }
        }
    }
    (all, factors)
}

fn owner(map: &ClusterMap, key: &(NamespaceName, usize, usize)) -> Option<NodeId> {
    let slot = map.namespace(&key.0)?.partitions.holder(key.2, key.1)?;
    Some(map.nodes.get(slot).unwrap().id)
}

#[test]
fn h22_the_map_follows_a_recorded_failover_step_by_step() {
    let moments = moments();
    assert!(moments.len() > 100, "{} moments", moments.len());
    let config = AerospikeConfig::new(vec![at(NODES[0].2).into()]);
    let mut source = Tender::with_transport(config, Fake::default());
    source.start(ClusterMap::new(Capacity::DEFAULT));
    let (mut factors_of_bar, mut happened) = (Vec::new(), Vec::new());
    let mut before: Option<ClusterMap> = None;
    let (mut settled, mut rested) = (0, 0);
    for (step, moment) in moments.iter().enumerate() {
        play(&mut source, moment);
        let (report, events) = tend_well(&mut source);
        let quiet =
            step > 1 && moments[step - 2..step].iter().all(|earlier| earlier.nodes == moment.nodes);
        if quiet && moment.nodes.values().all(Option::is_some) {
            let asked = (report.changed, requests(&mut source));
            assert_eq!(asked, (false, source.map().nodes.len()), "step {step}: it rests");
            rested += 1;
        }
        let map = source.map();
        let here = format!("step {step} at {:.1} s", moment.time);
        let removed = events.iter().any(|event| matches!(event, TendEvent::NodeRemoved { .. }));
        happened.extend(events.into_iter().map(|event| (moment.time, event)));

        // An entry becomes empty only if a node or a column is removed.
        if let Some(before) = &before {
            for namespace in before.namespaces() {
                let now = map.namespace(&namespace.name).expect("namespaces stay");
                for p in 0..4096 {
                    for r in 0..now.routable_replicas() {
                        let lost = namespace.partitions.holder(p, r).is_some()
                            && now.partitions.holder(p, r).is_none();
                        let shrank = now.replication_factor != namespace.replication_factor;
                        assert!(!lost || removed || shrank, "{here}: {} {p} {r}", now.name);
                    }
                }
            }
        }
        // The same replies as before and the same map: it has been checked already.
        if before.as_ref() == Some(map) && moments[step - 1].nodes == moment.nodes {
            continue;
        }
        // Where all replies agree, the map agrees with them.
        let (claimed, factors) = claimed(moment);
        for (name, factors) in &factors {
            let namespace = map.namespace(name).unwrap();
            assert!(factors.contains(&usize::from(namespace.replication_factor)), "{here}");
            if name.as_str() == "bar"
                && factors_of_bar.last() != Some(&namespace.replication_factor)
            {
                factors_of_bar.push(namespace.replication_factor);
            }
        }
        for (key, nodes) in &claimed {
            let known = nodes.iter().any(|id| map.nodes.slot_of(id).is_some());
            let agreed = factors[&key.0].iter().all(|factor| *factor == factors[&key.0][0]);
            if let Some(owner) = owner(map, key).filter(|_| known && agreed) {
                assert!(nodes.contains(&owner), "{here}: {key:?} {owner} of {nodes:?}");
            } else {
                assert!(!known || !agreed, "{here}: {key:?} has no holder, {nodes:?} claim it");
            }
        }
        let total: usize = factors.values().map(|f| f[0] * 4096).sum();
        let all_up = moment.nodes.values().flatten().count() == map.nodes.len();
        if all_up && claimed.len() == total && claimed.values().all(|nodes| nodes.len() == 1) {
            settled += 1;
            for namespace in map.namespaces() {
                assert_eq!(namespace.holes(), 0, "{here}");
            }
        }
        // A starting node does not change the map.
        let starting = |replies: &BTreeMap<String, String>| replies["partition-generation"] == "-1";
        if moment.nodes["c"].as_ref().is_some_and(starting) {
            assert!(map.nodes.slot_of(&node(NODES[2].1)).is_none(), "{here}");
        }
        before = Some(map.clone());
    }
    assert!(rested > 20, "{rested} quiet steps");
    assert!(settled > 3, "{settled} settled steps");
    assert_eq!(factors_of_bar, [3, 2, 3]);
    let c = node(NODES[2].1);
    let time = |wanted: &dyn Fn(&TendEvent) -> bool| {
        let times: Vec<f64> =
            happened.iter().filter(|(_, event)| wanted(event)).map(|(time, _)| *time).collect();
        times
    };
    let removed = time(&|e| matches!(e, TendEvent::NodeRemoved { id, .. } if *id == c));
    let added = time(&|e| matches!(e, TendEvent::NodeAdded { id, .. } if *id == c));
    let failed = time(&|e| matches!(e, TendEvent::NodeFailed { .. }));
    assert!(removed.len() == 1 && (4.5..6.0).contains(&removed[0]), "{removed:?}");
    assert!(added.len() == 2 && (16.5..17.5).contains(&added[1]), "{added:?}");
    assert!(failed.len() == 1 && (3.0..3.5).contains(&failed[0]), "{failed:?}");
    let bad = time(&|e| matches!(e, TendEvent::BadReply { .. }));
    assert!(bad.is_empty(), "{bad:?}");
}
