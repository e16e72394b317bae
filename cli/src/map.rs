//! `tendmap map`: the whole map.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use tendmap::internals::map::Snapshot;
use tendmap::internals::text::Printable;
use tendmap::map::{ClusterMap, Namespace, Node, NodeId};

use crate::args::Common;
use crate::failure::Failure;
use crate::grid::{Grid, Roster, svg};
use crate::output::{Output, table, write_table};
use crate::replace::{self, Mode};

/// The flags of `tendmap map`.
#[derive(clap::Args, Clone, Debug)]
pub struct Args {
    /// Draw the partitions as an SVG image into this file, - for standard output.
    ///
    /// For each namespace it shows a grid of the partitions in the colours of their
    /// masters, and which node holds how many. The image needs no other file and follows
    /// the reader's choice of light or dark. The file is replaced as a whole or not at
    /// all.
    #[arg(long, value_name = "FILE", conflicts_with = "json", allow_hyphen_values = true,
        value_parser = clap::builder::PathBufValueParser::new())]
    svg: Option<PathBuf>,
}

/// Shows the last published map.
///
/// # Errors
/// [`Failure`].
pub fn run(common: &Common, args: &Args, output: &Output) -> Result<(), Failure> {
    let snapshot = common.look()?.map()?;
    match &args.svg {
        Some(file) if file.as_os_str() == "-" => {
            let mut out = io::stdout().lock();
            out.write_all(as_svg(&snapshot).as_bytes())?;
            out.flush()?;
        }
        Some(file) => write(file, as_svg(&snapshot).as_bytes()).map_err(|error| {
            let told = replace::explained(&error);
            Failure::Failed(format!("can't write {}: {told}", Printable(file.display())))
        })?,
        None => output.answer(|| as_json(&snapshot), |out| as_text(&snapshot, out))?,
    }
    Ok(())
}

/// Writes a file in one step, so that no reader sees a part of it, and a failure leaves
/// the old one. A device or a pipe is written to as it is.
fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() && !found.is_dir() => {
            File::options().write(true).open(path)?.write_all(content)
        }
        _ => replace::file(path, content, Mode::Kept),
    }
}

fn as_svg(snapshot: &Snapshot) -> String {
    let map = &snapshot.map;
    let roster = Roster::of(map);
    let grids: Vec<Grid> =
        namespaces(map).values().map(|namespace| Grid::of(map, namespace, &roster)).collect();
    svg::draw(map, snapshot.sequence, &grids, &roster)
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
