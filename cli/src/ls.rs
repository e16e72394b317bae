//! `tendmap ls`: the segments of this host.

use serde_json::{Value, json};
use tendmap::internals::text::Printable;
use tendmap::segment::{ListedSegment, SegmentState, list};

use crate::args::Common;
use crate::failure::Failure;
use crate::output::{Output, grouped, table, write_table};

/// Lists the segments of the directory and of System V shared memory. With a key,
/// lists only those of that key.
///
/// # Errors
/// [`Failure`].
pub fn run(common: &Common, output: &Output) -> Result<(), Failure> {
    let mut listed = list(&common.place().directory)?;
    listed.retain(|found| common.given_key().is_none_or(|key| key == found.key));
    output.answer(
        || json!({ "segments": listed.iter().map(as_json).collect::<Vec<_>>() }),
        |out| {
            let header = ["key", "backend", "gen", "owner", "mode", "bytes", "attached", "status"];
            let mut shown = table(header, &[2, 5, 6]);
            for found in &listed {
                shown.add_row([
                    format!("{:#010x}", found.key),
                    found.backend.to_string(),
                    found.generation.to_string(),
                    user(found.user),
                    format!("{:04o}", found.mode),
                    grouped(found.bytes),
                    found.attached.map_or("-".to_owned(), |attached| attached.to_string()),
                    status(found),
                ]);
            }
            write_table(out, &shown)
        },
    )?;
    Ok(())
}

fn as_json(found: &ListedSegment) -> Value {
    json!({
        "key": found.key,
        "backend": found.backend.as_str(),
        "path": found.at.path().map(|path| path.to_string_lossy()),
        "shmid": found.at.shm_id(),
        "layout_version": found.layout_version,
        "generation": found.generation,
        "owner": found.user,
        "mode": format!("{:04o}", found.mode),
        "bytes": found.bytes,
        "attached": found.attached,
        "nattch": found.mappings,
        "status": found.state.as_str(),
    })
}

fn status(found: &ListedSegment) -> String {
    match found.state {
        SegmentState::OtherVersion => format!("other version ({})", found.layout_version),
        state => state.as_str().to_owned(),
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
