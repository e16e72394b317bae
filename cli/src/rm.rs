//! `tendmap rm`: removes a segment, or what is left beside it.

use serde_json::json;
use tendmap::internals::segment::remove_leftovers;
use tendmap::segment::{Location, Place, remove};

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
    /// Remove only what no process uses beside the current segment.
    ///
    /// That is: segments of other layout versions, which an upgrade leaves behind, earlier
    /// generations of this one, and their lock files. What a process still uses stays, and is
    /// named. That nothing is left over is no error.
    #[arg(long, conflicts_with = "force")]
    leftovers: bool,
}

/// Removes every segment of the key, or the leftovers.
///
/// # Errors
/// [`Failure`].
pub fn run(common: &Common, args: &Args, output: &Output) -> Result<(), Failure> {
    if args.leftovers {
        return leftovers(&common.place(), output);
    }
    let removed = remove(&common.place(), args.force)?;
    output.answer(
        || json!({ "removed": removed.iter().map(ToString::to_string).collect::<Vec<_>>() }),
        |out| removed.iter().try_for_each(|at| writeln!(out, "removed {at}")),
    )?;
    Ok(())
}

fn leftovers(place: &Place, output: &Output) -> Result<(), Failure> {
    let found = remove_leftovers(place)?;
    let kept = |(at, attached): &(Location, Option<usize>)| json!({ "at": at.to_string(), "attached": attached });
    output.answer(
        || {
            json!({
                "removed": found.removed.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "kept": found.kept.iter().map(kept).collect::<Vec<_>>(),
            })
        },
        |out| {
            if found.removed.is_empty() && found.kept.is_empty() {
                return writeln!(out, "no leftovers of key {:#010x}", place.key);
            }
            found.removed.iter().try_for_each(|at| writeln!(out, "removed {at}"))?;
            found.kept.iter().try_for_each(|(at, attached)| match attached {
                Some(1) => writeln!(out, "kept {at}: in use by 1 process"),
                Some(count) => writeln!(out, "kept {at}: in use by {count} processes"),
                None => writeln!(out, "kept {at}: its processes can't be counted"),
            })
        },
    )?;
    Ok(())
}
