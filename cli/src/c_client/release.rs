//! `tendmap c-client release`: lets a client take over from an owner that is gone.

use serde_json::json;
use tendmap::internals::c_client::diagnosis::{
    Candidate, LookError, ReleaseError, Released, release,
};

use super::{failure, name};
use crate::args::Common;
use crate::failure::Failure;
use crate::output::Output;

/// Stores `lock` = 0.
///
/// # Errors
/// [`Failure`]; nothing was stored then.
pub fn run(
    common: &Common,
    segment: Candidate,
    force: bool,
    output: &Output,
) -> Result<(), Failure> {
    let released = release(segment, &common.place().directory, force);
    let released = released.map_err(|error| match error {
        ReleaseError::Shape => Failure::Corrupt(format!("{}: {error}", name(&segment))),
        ReleaseError::Look(LookError::Gone) => Failure::NotFound(name(&segment) + " is gone"),
        error @ ReleaseError::MayLive { .. } => {
            failure(&segment, format!("{error}, or use --force if you know that it is gone"))
        }
        error => failure(&segment, error),
    })?;
    let next = match segment.mappings {
        0 => "the next client that starts takes over and tends",
        _ => "the first attached client that looks (within its tend interval) takes over and tends",
    };
    let (pid, what) = match released {
        Released::From { pid } => (Some(pid), format!("released from pid {pid}")),
        _ => (None, "owned by nobody already".to_owned()),
    };
    output.answer(
        || json!({ "key": segment.key, "released_from": pid, "next": next }),
        |out| writeln!(out, "{} {what}; {next}", name(&segment)),
    )?;
    Ok(())
}
