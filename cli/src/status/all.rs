//! `tendmap status --all`: every segment of the host in short.

use std::io::{self, Write};

use serde_json::{Value, json};
use tendmap::client::{Status, Verdict};
use tendmap::internals::text::Printable;

use super::Report;
use crate::args::Common;
use crate::duration::show;
use crate::failure::Failure;
use crate::ls::{identified, user};
use crate::output::write_pair;
use crate::seen::{self, Seen};

/// The state of every segment.
pub fn report(common: &Common) -> Result<Report, Failure> {
    let all = seen::all(common)?;
    if let (Some(key), []) = (common.given_key(), &all[..]) {
        let directory = common.place().directory;
        return Err(tendmap::SegmentError::NotFound { key, directory }.into());
    }
    let mut text = Vec::new();
    for (index, seen) in all.iter().enumerate() {
        if index > 0 {
            writeln!(text)?;
        }
        as_text(seen, &mut text)?;
    }
    let bad = all.iter().filter(|seen| seen.health().is_bad()).count();
    if all.is_empty() {
        let directory = common.place().directory;
        writeln!(text, "no segments in {}", Printable(directory.display()))?;
    } else {
        let (all, s) = (all.len(), if all.len() == 1 { "" } else { "s" });
        writeln!(text, "\n{all} segment{s}, of which {bad} unhealthy")?;
    }
    Ok(Report {
        json: json!({ "segments": all.iter().map(as_json).collect::<Vec<_>>() }),
        text,
        healthy: bad == 0,
    })
}

fn as_json(seen: &Seen) -> Value {
    let found = &seen.listed;
    identified(
        found,
        json!({
            "user": found.user,
            "health": seen.health().as_str(),
            "error": seen.state.as_ref().err().map(ToString::to_string),
            "status": seen.status().map(Status::to_json_value),
        }),
    )
}

fn as_text(seen: &Seen, out: &mut dyn Write) -> io::Result<()> {
    let found = &seen.listed;
    let (backend, generation, health) = (found.backend, found.generation, seen.health().as_str());
    let user = user(found.user);
    writeln!(out, "{:#010x} {backend}, generation {generation}, user {user}: {health}", found.key)?;
    let mut told = |what: &str, value: &str| write_pair(out, 11, &format!("  {what}"), value);
    let status = match &seen.state {
        Ok(state) => &state.status,
        Err(reason) => return told("reason", &reason.to_string()),
    };
    let cluster = status.cluster_name.as_deref().unwrap_or("-");
    let nodes = match status.nodes {
        1 => "1 node".to_owned(),
        nodes => format!("{nodes} nodes"),
    };
    let attached = status.attached.map_or(String::new(), |count| format!(", {count} attached"));
    told("cluster", &format!("{cluster}: {nodes}, sequence {}{attached}", status.sequence))?;
    let owner = match (status.owner_pid, status.owner_alive) {
        (Some(pid), true) => format!("pid {pid}"),
        (Some(pid), false) => format!("pid {pid}, gone"),
        (None, true) => "alive".to_owned(),
        (None, false) => "none".to_owned(),
    };
    let tended = status.tended_age.map_or("never".to_owned(), |age| show(age) + " ago");
    told("owner", &format!("{owner}, term {}, tended {tended}", status.term))?;
    for remark in status.remarks() {
        told("note", &remark)?;
    }
    if let Verdict::Unhealthy(problems) = status.verdict() {
        for problem in problems {
            told("UNHEALTHY", &problem)?;
        }
    }
    Ok(())
}
