//! `tendmap c-client status`: what official clients do on this host.

use std::io::{self, Write};

use serde_json::{Map, Value, json};
use tendmap::internals::c_client::Header;
use tendmap::internals::c_client::diagnosis::{
    ClientLayout, Diagnosis, Evidence, HeldLock, Options, OwnerState, Picture, Problem, diagnose,
};
use tendmap::internals::text::Printable;

use super::map::{nodes_json, write_nodes};
use super::{client_json, name};
use crate::args::Common;
use crate::duration::show;
use crate::failure::Failure;
use crate::ls::user;
use crate::output::{Output, grouped, table, write_table};

/// Diagnoses the segments of this host, or that of the key.
///
/// # Errors
/// [`Failure::Unhealthy`] after the answer, if something is wrong with one of them.
pub fn run(
    common: &Common,
    key: Option<u32>,
    client_max_nodes: usize,
    output: &Output,
) -> Result<(), Failure> {
    let directory = common.place().directory;
    let options = Options { key, directory: &directory, client_max_nodes };
    let mut own = Value::Null;
    let found = diagnose(&options, || match read_own_map(common) {
        Ok(found) => {
            own = json!({
                "key": common.place().key,
                "sequence": found.sequence,
                "nodes": found.map.nodes.len(),
            });
            Some(found.map)
        }
        Err(Failure::NotFound(_)) => None,
        Err(error) => {
            own = json!({ "key": common.place().key, "error": error.to_string() });
            None
        }
    });
    let found =
        found.map_err(|error| Failure::Failed(format!("can't look up the key: {error}")))?;
    if let (Some(key), []) = (key, &found[..]) {
        // It says the same as all commands that need a segment.
        super::segment(key)?;
    }
    output.answer(|| as_json(&found, &own), |out| as_text(&found, &own, out))?;
    match found.iter().all(|found| found.problems.is_empty()) {
        true => Ok(()),
        false => Err(Failure::Unhealthy),
    }
}

fn read_own_map(common: &Common) -> Result<tendmap::internals::map::Snapshot, Failure> {
    Ok(common.look()?.map()?)
}

/// A problem as a whole sentence, with what this command line can do about it: the
/// library's texts know nothing of that.
fn sentence(found: &Diagnosis, problem: &Problem) -> String {
    let (name, key) = (name(&found.segment), found.segment.key);
    let advice = match problem {
        Problem::Shape { .. } | Problem::NotReady { .. } if key != 0 => {
            format!(" (`tendmap c-client rm {key:#010x}`)")
        }
        Problem::OwnerGone { .. } | Problem::OwnerReplaced { .. } | Problem::MirrorGone
            if key != 0 =>
        {
            format!(" (`tendmap c-client release {key:#010x}`)")
        }
        Problem::TakeOverLock | Problem::SlotWriter { .. } | Problem::SlotReaders { .. } => {
            " (`tendmap tend --c-client` runs a mirror)".to_owned()
        }
        Problem::TooManyNodes { .. } => {
            " (--client-max-nodes, if they have more already)".to_owned()
        }
        _ => String::new(),
    };
    format!("{name} {problem}{advice}")
}

fn owner_text(state: OwnerState) -> &'static str {
    match state {
        OwnerState::Nobody => "none",
        OwnerState::Alive => "alive",
        OwnerState::Unmapped => "does not have it mapped",
        OwnerState::Hidden => "can't be examined",
        OwnerState::Absent => "gone",
        OwnerState::Always => "always alive",
    }
}

fn header_json(header: &Header) -> Value {
    json!({
        "timestamp": header.timestamp,
        "owner_pid": header.owner_pid,
        "nodes_size": header.nodes_size,
        "nodes_capacity": header.nodes_capacity,
        "nodes_gen": header.nodes_gen,
        "n_partitions": header.partitions,
        "partition_tables_size": header.tables_size,
        "partition_tables_capacity": header.tables_capacity,
        "partition_tables_offset": header.tables_offset,
        "partition_table_byte_size": header.table_bytes,
        "take_over_lock": header.take_over_lock,
        "lock": header.lock,
        "ready": header.ready,
        "rebalance_gen": header.rebalance_gen,
    })
}

fn lock_json(held: &HeldLock) -> Value {
    match *held {
        HeldLock::TakeOver => json!({ "lock": "take_over_lock" }),
        HeldLock::Slot { slot, writer, readers } => {
            json!({ "lock": "slot", "slot": slot, "writer": writer, "readers": readers })
        }
    }
}

fn namespaces_json(picture: &Picture) -> Vec<Value> {
    let namespace = |table| {
        let faults = picture.faults(table);
        json!({
            "namespace": table.name,
            "replication_factor": table.replicas,
            "strong_consistency": table.strong,
            "holes": faults.holes,
            "inactive_holders": faults.inactive,
            "nonexistent_holders": faults.nonexistent,
        })
    };
    picture.tables.iter().map(namespace).collect()
}

fn seen_json(found: &Diagnosis, evidence: &Evidence) -> Map<String, Value> {
    let picture = &evidence.picture;
    let age = found.tended_age().map(|age| age.as_millis() as u64);
    let fitting: Vec<_> = picture.layouts.iter().map(ToString::to_string).collect();
    let chosen = match picture.layout_is_certain {
        true => picture.layout.as_slice(),
        false => &picture.layouts[..],
    };
    let clients = evidence.clients.iter().map(|client| client_json(client, chosen));
    let value = json!({
        "layouts": fitting,
        "layout": picture.layout.map(|layout| layout.to_string()),
        "header": header_json(&picture.header),
        "owner": {
            "pid": evidence.owner.pid,
            "state": owner_text(evidence.owner.state),
            "program": evidence.owner.program,
            "mirror": evidence.mirror,
        },
        "tended_age_ms": age,
        "slots": {
            "used": picture.nodes.len(),
            "active": picture.active(),
            "capacity": picture.header.nodes_capacity,
        },
        "nodes": nodes_json(picture),
        "namespaces": namespaces_json(picture),
        "held_locks": evidence.held.iter().map(lock_json).collect::<Vec<_>>(),
        "attached": clients.collect::<Vec<_>>(),
        "unseen_mappings": evidence.unseen(),
    });
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}

fn as_json(all: &[Diagnosis], own: &Value) -> Value {
    let segment = |found: &Diagnosis| {
        let of = &found.segment;
        let problem = |problem: &Problem| json!({ "kind": problem.kind(), "message": sentence(found, problem) });
        let mut value = Map::new();
        for (field, content) in [
            ("key", json!(of.key)),
            ("shmid", json!(of.id)),
            ("user", json!(of.uid)),
            ("mode", json!(format!("{:04o}", of.mode))),
            ("bytes", json!(of.bytes)),
            ("nattch", json!(found.evidence.as_ref().map_or(of.mappings, |seen| seen.mappings))),
            ("healthy", json!(found.problems.is_empty())),
            ("problems", found.problems.iter().map(problem).collect()),
            ("notes", found.notes.iter().map(|note| json!(note.to_string())).collect()),
        ] {
            value.insert(field.to_owned(), content);
        }
        value.extend(found.evidence.iter().flat_map(|evidence| seen_json(found, evidence)));
        Value::Object(value)
    };
    json!({
        "healthy": all.iter().all(|found| found.problems.is_empty()),
        "tendmap": own,
        "segments": all.iter().map(segment).collect::<Vec<_>>(),
    })
}

fn as_text(all: &[Diagnosis], own: &Value, out: &mut dyn Write) -> io::Result<()> {
    if all.is_empty() {
        return writeln!(out, "no segment of official clients on this host");
    }
    for found in all {
        let of = &found.segment;
        writeln!(out, "{}, shmid {} ({} bytes)", name(of), of.id, grouped(of.bytes))?;
        writeln!(out, "{:<13} {}, mode {:04o}", "user", user(of.uid), of.mode)?;
        if let Some(evidence) = &found.evidence {
            seen_text(found, evidence, out)?;
        }
        for note in &found.notes {
            writeln!(out, "note: {}", Printable(note))?;
        }
        writeln!(out)?;
    }
    if let Some(error) = own["error"].as_str() {
        writeln!(out, "note: tendmap's own map was not compared: {}", Printable(error))?;
    }
    let mut healthy = true;
    for found in all {
        for problem in &found.problems {
            healthy = false;
            writeln!(out, "UNHEALTHY: {}", Printable(sentence(found, problem)))?;
        }
    }
    if healthy { writeln!(out, "healthy") } else { Ok(()) }
}

fn layout_text(picture: &Picture) -> String {
    let all: Vec<_> = picture.layouts.iter().map(ToString::to_string).collect();
    match picture.layout {
        None => "none that is known".to_owned(),
        Some(layout) if picture.layout_is_certain => format!("{layout} ({})", layout.versions()),
        Some(layout) => format!("{}, read as {layout}", all.join(" or ")),
    }
}

fn locks_text(evidence: &Evidence) -> String {
    let shown = |held: &HeldLock| match *held {
        HeldLock::TakeOver => "take_over_lock".to_owned(),
        HeldLock::Slot { slot, writer, readers } => {
            let writer = if writer { "a writer, " } else { "" };
            format!("slot {slot} ({writer}{readers} readers)")
        }
    };
    match &evidence.held[..] {
        [] => "none".to_owned(),
        held => held.iter().map(shown).collect::<Vec<_>>().join(", "),
    }
}

fn seen_text(found: &Diagnosis, evidence: &Evidence, out: &mut dyn Write) -> io::Result<()> {
    let Evidence { picture, owner, clients, .. } = evidence;
    let program = owner.program.as_ref().map_or(String::new(), |name| format!(" ({name})"));
    let owner = match owner.state {
        OwnerState::Nobody => "none".to_owned(),
        OwnerState::Always => "a mirror of tendmap, always alive".to_owned(),
        state => format!("pid {}{program}, {}", owner.pid, owner_text(state)),
    };
    let owner = match evidence.mirror {
        Some(true) => format!("{owner}; a mirror of tendmap is active"),
        _ => owner,
    };
    let header = &picture.header;
    let (used, active) = (picture.nodes.len(), picture.active());
    for (what, value) in [
        ("layout", layout_text(picture)),
        ("owner", owner),
        ("tended", found.tended_age().map_or("-".to_owned(), |age| show(age) + " ago")),
        ("slots", format!("{used} of {} in use, {active} active", header.nodes_capacity)),
        ("namespaces", format!("{} of {}", picture.tables.len(), header.tables_capacity)),
        ("locks held", locks_text(evidence)),
        ("mappings", evidence.mappings.to_string()),
    ] {
        writeln!(out, "{what:<13} {}", Printable(value))?;
    }
    if !clients.is_empty() {
        writeln!(out)?;
        let mut shown = table(["pid", "program", "C client", "expects layout"], &[0]);
        for client in clients {
            let dash = || "-".to_owned();
            shown.add_row([
                client.pid.to_string(),
                client.program.as_ref().map_or_else(dash, |name| Printable(name).to_string()),
                client.version.clone().unwrap_or_else(dash),
                match client.layout {
                    ClientLayout::Known(layout) => layout.to_string(),
                    ClientLayout::Newer => "not known".to_owned(),
                    ClientLayout::Unknown => dash(),
                },
            ]);
        }
        write_table(out, &shown)?;
    }
    if !picture.nodes.is_empty() {
        writeln!(out)?;
        write_nodes(picture, out)?;
    }
    if !picture.tables.is_empty() {
        writeln!(out)?;
        let header = ["namespace", "replication factor", "strong consistency", "holes"];
        let mut shown = table(header, &[1, 3]);
        for found in &picture.tables {
            shown.add_row([
                Printable(&found.name).to_string(),
                found.replicas.map_or_else(|| "-".to_owned(), |size| size.to_string()),
                if found.strong { "yes" } else { "no" }.to_owned(),
                picture.faults(found).holes.to_string(),
            ]);
        }
        write_table(out, &shown)?;
    }
    Ok(())
}
