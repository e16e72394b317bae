//! `tendmap ls`: the segments of this host.

use std::time::Duration;

use comfy_table::ContentArrangement;
use serde_json::{Value, json};
use tendmap::internals::text::Printable;
use tendmap::segment::ListedSegment;

use crate::args::Common;
use crate::duration::show;
use crate::failure::Failure;
use crate::output::{Output, table, write_table};
use crate::seen::{self, Health, Seen};

/// Lists the segments of the directory and of System V shared memory. With a key,
/// lists only those of that key.
///
/// # Errors
/// [`Failure`].
pub fn run(common: &Common, output: &Output) -> Result<(), Failure> {
    let all = seen::all(common)?;
    output.answer(
        || json!({ "segments": all.iter().map(as_json).collect::<Vec<_>>() }),
        |out| {
            let header = [
                "key", "kind", "gen", "cluster", "health", "tended", "user", "mode", "size",
                "procs",
            ];
            let mut shown = table(header, &[2, 5, 8, 9]);
            // Each segment has one line, however long its names are.
            shown.set_content_arrangement(ContentArrangement::Disabled);
            for seen in &all {
                let (found, status) = (&seen.listed, seen.status());
                let cluster = status.and_then(|status| status.cluster_name.as_deref());
                let tended = status.and_then(|status| status.tended_age);
                shown.add_row([
                    format!("{:#010x}", found.key),
                    found.backend.to_string(),
                    found.generation.to_string(),
                    cluster.map_or("-".to_owned(), |name| Printable(name).to_string()),
                    health(seen),
                    tended.map_or("-".to_owned(), show),
                    user(found.user),
                    format!("{:04o}", found.mode),
                    size(found.bytes),
                    found.attached.map_or("-".to_owned(), |attached| attached.to_string()),
                ]);
            }
            write_table(out, &shown)
        },
    )?;
    Ok(())
}

/// A segment as JSON: which one it is, and then the rest.
pub fn identified(found: &ListedSegment, rest: Value) -> Value {
    let mut whole = json!({
        "key": found.key,
        "backend": found.backend.as_str(),
        "path": found.at.path().map(|path| path.to_string_lossy()),
        "shmid": found.at.shm_id(),
        "layout_version": found.layout_version,
        "generation": found.generation,
    });
    if let (Value::Object(whole), Value::Object(rest)) = (&mut whole, rest) {
        whole.extend(rest);
    }
    whole
}

fn as_json(seen: &Seen) -> Value {
    let ms = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    let (found, status) = (&seen.listed, seen.status());
    identified(
        found,
        json!({
            "cluster_name": status.and_then(|status| status.cluster_name.as_deref()),
            "health": seen.health().as_str(),
            "tended_age_ms": status.and_then(|status| status.tended_age).map(ms),
            "created_age_ms": seen.age().map(ms),
            "user": found.user,
            "mode": format!("{:04o}", found.mode),
            "bytes": found.bytes,
            "attached": found.attached,
            "nattch": found.mappings,
            "status": found.state.as_str(),
        }),
    )
}

fn health(seen: &Seen) -> String {
    match seen.health() {
        Health::OtherVersion => format!("version {}", seen.listed.layout_version),
        health => health.as_str().to_owned(),
    }
}

/// A number of bytes in a few characters: `64B`, `1.1MB`.
fn size(bytes: u64) -> String {
    let units = [("GB", 1e9), ("MB", 1e6), ("kB", 1e3)];
    let unit = units.into_iter().find(|(_, unit)| bytes as f64 >= *unit * 0.999_5);
    match unit.map(|(name, unit)| (name, bytes as f64 / unit)) {
        None => format!("{bytes}B"),
        Some((name, number)) if number < 9.95 => format!("{number:.1}{name}"),
        Some((name, number)) => format!("{number:.0}{name}"),
    }
}

/// The user's name, or the number if the system does not know it.
pub fn user(id: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then_some(name)
    });
    name.map_or_else(|| id.to_string(), |name| Printable(name).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_short() {
        let shown = [0, 64, 999, 1000, 1_085_440, 9_960_000, 999_600, 3_000_000_000].map(size);
        let wanted = ["0B", "64B", "999B", "1.0kB", "1.1MB", "10MB", "1.0MB", "3.0GB"];
        assert_eq!(shown, wanted);
    }
}
