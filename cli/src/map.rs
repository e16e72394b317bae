//! `tendmap map`: the whole map.

use std::collections::BTreeMap;
use std::io::{self, Write};

use serde_json::{Value, json};
use tendmap::internals::map::Snapshot;
use tendmap::map::{ClusterMap, Namespace, Node, NodeId};

use crate::args::Common;
use crate::failure::Failure;
use crate::output::{Output, table, write_table};

/// Shows the last published map.
///
/// # Errors
/// [`Failure`].
pub fn run(common: &Common, output: &Output) -> Result<(), Failure> {
    let snapshot = common.look()?.map()?;
    output.answer(|| as_json(&snapshot), |out| as_text(&snapshot, out))?;
    Ok(())
}

/// The nodes in the order of their ids, so that two maps can be compared line by
/// line.
fn nodes(map: &ClusterMap) -> Vec<&Node> {
    let mut nodes: Vec<&Node> = map.nodes.iter().map(|(_, node)| node).collect();
    nodes.sort_by_key(|node| node.id);
    nodes
}

/// The namespaces in the order of their names.
fn namespaces(map: &ClusterMap) -> BTreeMap<&str, &Namespace> {
    map.namespaces().iter().map(|namespace| (namespace.name.as_str(), namespace)).collect()
}

fn owners<'a>(
    map: &'a ClusterMap,
    namespace: &'a Namespace,
    partition: usize,
) -> impl Iterator<Item = Option<&'a NodeId>> {
    (0..namespace.routable_replicas()).map(move |replica| {
        let slot = namespace.partitions.holder(partition, replica)?;
        map.nodes.get(slot).map(|node| &node.id)
    })
}

/// The racks with the ids of their nodes; empty if the servers report none.
fn racks<'a>(map: &'a ClusterMap, namespace: &Namespace) -> BTreeMap<i32, Vec<&'a str>> {
    let mut racks: BTreeMap<i32, Vec<&str>> = BTreeMap::new();
    for (slot, node) in map.nodes.iter() {
        if let Some(rack) = namespace.rack(slot) {
            racks.entry(rack).or_default().push(node.id.as_str());
        }
    }
    racks.values_mut().for_each(|ids| ids.sort_unstable());
    racks
}

fn as_json(snapshot: &Snapshot) -> Value {
    let map = &snapshot.map;
    let node = |node: &Node| {
        let build = node.build.map(|build| build.to_string());
        json!({ "node": node.id.as_str(), "address": node.address, "build": build })
    };
    let namespace = |namespace: &Namespace| {
        let row = |partition| -> Vec<Option<&str>> {
            owners(map, namespace, partition).map(|id| id.map(NodeId::as_str)).collect()
        };
        json!({
            "replication_factor": namespace.replication_factor,
            "strong_consistency": namespace.strong_consistency,
            "racks": racks(map, namespace).into_iter().map(|(rack, ids)| json!({ "rack": rack, "nodes": ids })).collect::<Value>(),
            "partitions": (0..namespace.partitions.len()).map(row).collect::<Vec<_>>(),
        })
    };
    let namespaces: BTreeMap<&str, Value> =
        namespaces(map).into_iter().map(|(name, found)| (name, namespace(found))).collect();
    json!({
        "sequence": snapshot.sequence,
        "nodes": nodes(map).into_iter().map(node).collect::<Vec<_>>(),
        "namespaces": namespaces,
    })
}

fn as_text(snapshot: &Snapshot, out: &mut dyn Write) -> io::Result<()> {
    let map = &snapshot.map;
    writeln!(out, "sequence {}", snapshot.sequence)?;
    writeln!(out)?;
    let mut listed = table(["node", "address", "build"], &[]);
    for node in nodes(map) {
        let build = node.build.map_or("-".to_owned(), |build| build.to_string());
        listed.add_row([node.id.to_string(), node.address.to_string(), build]);
    }
    write_table(out, &listed)?;
    for (name, namespace) in namespaces(map) {
        let strong = if namespace.strong_consistency { ", strong consistency" } else { "" };
        let factor = namespace.replication_factor;
        writeln!(out, "\nnamespace {name}: replication factor {factor}{strong}")?;
        for (rack, ids) in racks(map, namespace) {
            writeln!(out, "rack {rack}: {}", ids.join(" "))?;
        }
        for partition in 0..namespace.partitions.len() {
            write!(out, "{name} {partition:>5}")?;
            for id in owners(map, namespace, partition) {
                write!(out, "  {}", id.map_or("-", NodeId::as_str))?;
            }
            writeln!(out)?;
        }
    }
    Ok(())
}
