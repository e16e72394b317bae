//! `tendmap c-client`: the segments of official clients on this host.

mod map;
mod release;
mod rm;
mod status;

use clap::ValueEnum;
use serde_json::{Value, json};
use tendmap::internals::c_client::diagnosis::{AttachedClient, Candidate, ClientLayout, find};
use tendmap::internals::c_client::{Capacity, Layout};
use tendmap::internals::text::Printable;
use tendmap::segment::parse_key;

use crate::args::Common;
use crate::failure::Failure;
use crate::output::Output;

/// What to do with which segment.
#[derive(clap::Args)]
pub struct Args {
    /// What to do.
    #[arg(value_enum)]
    action: Action,
    /// The key of a segment, as `ipcs -m` shows it; `status` shows all without one.
    #[arg(value_parser = parse_key)]
    key: Option<u32>,
    /// Release a segment although its owner may live, or remove one although processes
    /// are attached.
    #[arg(long)]
    force: bool,
    /// What the clients are configured with as shm_max_nodes.
    #[arg(long, value_name = "N", default_value_t = Capacity::DEFAULT.max_nodes() as u16)]
    client_max_nodes: u16,
}

/// What can be done.
#[derive(Clone, Copy, ValueEnum)]
enum Action {
    /// Show each segment, who uses it, and what is wrong; exit code 1 if anything is.
    Status,
    /// Show the nodes and the partitions in a segment.
    Map,
    /// Let a client take over from an owner that is gone.
    Release,
    /// Remove a segment, as `ipcrm -M` does.
    Rm,
}

/// Does it.
///
/// # Errors
/// [`Failure::Unhealthy`] after a status with problems; any other if there is no answer.
pub fn run(common: &Common, args: &Args, output: &Output) -> Result<(), Failure> {
    match (args.action, args.key) {
        (Action::Status, key) => {
            status::run(common, key, usize::from(args.client_max_nodes), output)
        }
        (Action::Map, Some(key)) => map::run(segment(key)?, output),
        (Action::Release, Some(key)) => release::run(common, segment(key)?, args.force, output),
        (Action::Rm, Some(key)) => rm::run(segment(key)?, args.force, output),
        (_, None) => Err(Failure::Usage(
            "the key of the segment is missing; `tendmap c-client status` shows the keys".into(),
        )),
    }
}

/// The segment of that key.
fn segment(key: u32) -> Result<Candidate, Failure> {
    let failed = |error| Failure::Failed(format!("can't look up key {key:#010x}: {error}"));
    let absent = || {
        Failure::NotFound(format!(
            "there is no System V segment with key {key:#010x} (`tendmap c-client status` shows \
             those of official clients)"
        ))
    };
    find(key).map_err(failed)?.ok_or_else(absent)
}

/// A segment in a sentence.
fn name(segment: &Candidate) -> String {
    match segment.key {
        0 => format!("segment without a key (shmid {})", segment.id),
        key => format!("segment {key:#010x}"),
    }
}

fn failure(segment: &Candidate, error: impl core::fmt::Display) -> Failure {
    Failure::Failed(format!("{}: {error}", name(segment)))
}

fn client_json(client: &AttachedClient, layouts: &[Layout]) -> Value {
    let layout = match client.layout {
        ClientLayout::Known(layout) => Some(layout),
        _ => None,
    };
    json!({
        "pid": client.pid,
        "program": client.program,
        "library": client.library_text(),
        "client_version": client.version,
        "layout": layout.map(|layout| layout.to_string()),
        "layout_matches": layout.map(|layout| layouts.contains(&layout)),
        "mappings": client.mappings,
    })
}

/// Processes in a sentence.
fn listed(clients: &[AttachedClient]) -> String {
    let all: Vec<_> =
        clients.iter().map(|client| Printable(client.describe()).to_string()).collect();
    all.join(", ")
}
