//! `tendmap c-client map`: what a segment of official clients holds.

use std::io::{self, Write};

use serde_json::{Map, Value, json};
use tendmap::internals::c_client::diagnosis::{
    Candidate, LookError, NodeSlot, Picture, Table, look,
};
use tendmap::internals::text::Printable;

use super::{failure, name};
use crate::failure::Failure;
use crate::output::{Output, table, write_table};

/// Shows nodes and partitions.
///
/// # Errors
/// [`Failure`].
pub fn run(segment: Candidate, output: &Output) -> Result<(), Failure> {
    let (picture, _) = look(segment.id).map_err(|error| match error {
        LookError::Gone => Failure::NotFound(name(&segment) + " is gone"),
        error => failure(&segment, error),
    })?;
    if let Some(error) = picture.error {
        return Err(Failure::Corrupt(format!("{}: {error}", name(&segment))));
    }
    output.answer(|| as_json(&segment, &picture), |out| as_text(&segment, &picture, out))?;
    Ok(())
}

/// The nodes of a segment as JSON.
pub fn nodes_json(picture: &Picture) -> Vec<Value> {
    let node = |(slot, node): (usize, &NodeSlot)| {
        json!({
            "slot": slot,
            "node": node.name,
            "address": node.address,
            "tls_name": Some(&node.tls_name).filter(|name| !name.is_empty()),
            "active": node.active,
            "rack": node.rack,
            "build": node.build.map(|build| build.to_string()),
        })
    };
    picture.nodes.iter().enumerate().map(node).collect()
}

/// The nodes of a segment as a table.
///
/// # Errors
/// What the system says.
pub fn write_nodes(picture: &Picture, out: &mut dyn Write) -> io::Result<()> {
    let header = ["slot", "node", "address", "active", "rack", "build"];
    let mut shown = table(header, &[0, 4]);
    for (slot, node) in picture.nodes.iter().enumerate() {
        shown.add_row([
            slot.to_string(),
            Printable(&node.name).to_string(),
            node.address.map_or_else(|| "-".to_owned(), |address| address.to_string()),
            if node.active { "yes" } else { "no" }.to_owned(),
            if node.rack == -1 { "by namespace".to_owned() } else { node.rack.to_string() },
            node.build.map_or_else(|| "-".to_owned(), |build| build.to_string()),
        ]);
    }
    write_table(out, &shown)
}

/// How many partitions each active node has as their master, and as a later replica.
fn counts<'a>(picture: &'a Picture, table: &Table) -> Vec<(&'a NodeSlot, usize, usize)> {
    let of = |slot: usize| {
        let entry = slot as u32 + 1;
        let masters = table.holders.iter().filter(|holders| holders[0] == entry).count();
        let replicas = table.holders.iter().filter(|holders| holders[1..].contains(&entry)).count();
        (masters, replicas)
    };
    let active = picture.nodes.iter().enumerate().filter(|(_, node)| node.active);
    active.map(|(slot, node)| (node, of(slot).0, of(slot).1)).collect()
}

/// The holders of a partition: as many as there are replicas.
fn holders<'a>(
    picture: &'a Picture,
    table: &Table,
    entries: &[u32; 3],
) -> impl Iterator<Item = Option<&'a str>> {
    let room = picture.layout.map_or(3, |layout| layout.replicas());
    let replicas = table.replicas.map_or(room, |size| room.min(usize::from(size)));
    let last = entries.iter().rposition(|&entry| entry != 0).map_or(0, |at| at + 1);
    entries
        .iter()
        .take(replicas.max(last))
        .map(|&entry| picture.holder(entry).map(|node| node.name.as_str()))
        .collect::<Vec<_>>()
        .into_iter()
}

fn as_json(segment: &Candidate, picture: &Picture) -> Value {
    let namespace = |table: &Table| {
        let count = |(node, masters, replicas): (&NodeSlot, usize, usize)| json!({ "node": node.name, "masters": masters, "replicas": replicas });
        let row = |entries| holders(picture, table, entries).collect::<Vec<_>>();
        json!({
            "replication_factor": table.replicas,
            "strong_consistency": table.strong,
            "nodes": counts(picture, table).into_iter().map(count).collect::<Vec<_>>(),
            "partitions": table.holders.iter().map(row).collect::<Vec<_>>(),
        })
    };
    let namespaces: Map<String, Value> =
        picture.tables.iter().map(|table| (table.name.clone(), namespace(table))).collect();
    json!({
        "key": segment.key,
        "layout": picture.layout.map(|layout| layout.to_string()),
        "nodes_gen": picture.header.nodes_gen,
        "nodes": nodes_json(picture),
        "namespaces": namespaces,
    })
}

fn as_text(segment: &Candidate, picture: &Picture, out: &mut dyn Write) -> io::Result<()> {
    let layout = picture.layout.map_or_else(|| "-".to_owned(), |layout| layout.to_string());
    writeln!(out, "{}, layout {layout}\n", name(segment))?;
    write_nodes(picture, out)?;
    for found in &picture.tables {
        let name = Printable(&found.name);
        let strong = if found.strong { ", strong consistency" } else { "" };
        let factor = found.replicas.map_or_else(|| "-".to_owned(), |size| size.to_string());
        writeln!(out, "\nnamespace {name}: replication factor {factor}{strong}")?;
        let mut shown = table(["node", "masters", "replicas"], &[1, 2]);
        for (node, masters, replicas) in counts(picture, found) {
            let name = Printable(&node.name).to_string();
            shown.add_row([name, masters.to_string(), replicas.to_string()]);
        }
        write_table(out, &shown)?;
        for (partition, entries) in found.holders.iter().enumerate() {
            write!(out, "{name} {partition:>5}")?;
            for holder in holders(picture, found, entries) {
                write!(out, "  {}", Printable(holder.unwrap_or("-")))?;
            }
            writeln!(out)?;
        }
    }
    Ok(())
}
