//! `tendmap rm`: removes a segment.

use serde_json::json;
use tendmap::segment::remove;

use crate::args::Common;
use crate::failure::Failure;
use crate::output::Output;

/// The flags of `tendmap rm`.
#[derive(clap::Args)]
pub struct Args {
    /// Remove it even if processes are attached (they start over in a new
    /// segment), or if that can't be determined.
    #[arg(long)]
    force: bool,
}

/// Removes every segment of the key.
///
/// # Errors
/// [`Failure`].
pub fn run(common: &Common, args: &Args, output: &Output) -> Result<(), Failure> {
    let removed = remove(&common.place(), args.force)?;
    output.answer(
        || json!({ "removed": removed.iter().map(ToString::to_string).collect::<Vec<_>>() }),
        |out| removed.iter().try_for_each(|at| writeln!(out, "removed {at}")),
    )?;
    Ok(())
}
