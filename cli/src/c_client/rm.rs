//! `tendmap c-client rm`: removes a segment of official clients.

use serde_json::json;
use tendmap::internals::c_client::diagnosis::{Candidate, LookError, attached_clients, look};
use tendmap::internals::layout::shm_remove;

use super::{client_json, failure, listed, name};
use crate::failure::Failure;
use crate::output::Output;

/// Removes the segment.
///
/// # Errors
/// [`Failure`]; it is still there then.
pub fn run(segment: Candidate, force: bool, output: &Output) -> Result<(), Failure> {
    let (layouts, mappings) = match look(segment.id) {
        Ok((picture, mappings)) => (picture.layouts, mappings),
        Err(LookError::Gone) => return Err(Failure::NotFound(name(&segment) + " is gone")),
        Err(_) => (Vec::new(), segment.mappings),
    };
    if layouts.is_empty() && !force {
        return Err(failure(
            &segment,
            "it can't be read, or does not have the shape of a segment of the C client, and may \
             belong to another program; --force removes it",
        ));
    }
    let clients = attached_clients(segment.id);
    if mappings != 0 && !force {
        let seen: usize = clients.iter().map(|client| client.mappings).sum();
        let unseen = mappings.saturating_sub(seen as u64);
        let who = match (clients.is_empty(), unseen) {
            (_, 0) => listed(&clients),
            (true, _) => "processes that can't be seen from here".to_owned(),
            (false, _) => format!("{} and others that can't be seen from here", listed(&clients)),
        };
        return Err(failure(
            &segment,
            format!(
                "in use by {who} (nattch {mappings}); end them, or remove it with --force: they \
                 go on with a segment that nobody else can attach to, until they are restarted"
            ),
        ));
    }
    shm_remove(segment.id)
        .map_err(|error| failure(&segment, format!("can't remove it: {error}")))?;
    let clients: Vec<_> = clients.iter().map(|client| client_json(client, &layouts)).collect();
    output.answer(
        || json!({ "removed": segment.key, "shmid": segment.id, "attached": clients }),
        |out| writeln!(out, "removed {}, shmid {}", name(&segment), segment.id),
    )?;
    Ok(())
}
