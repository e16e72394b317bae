//! `tendmap rm`: removes a segment, or what is left beside it.

use serde_json::{Value, json};
use tendmap::internals::segment::{Kept, Leftovers, remove_leftovers};
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
    let Leftovers { removed, kept } = remove_leftovers(place)?;
    output.answer(
        || {
            json!({
                "removed": removed.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "kept": kept.iter().map(as_json).collect::<Vec<_>>(),
            })
        },
        |out| {
            if removed.is_empty() && kept.is_empty() {
                return writeln!(out, "no leftovers of key {:#010x}", place.key);
            }
            removed.iter().try_for_each(|at| writeln!(out, "removed {at}"))?;
            kept.iter().try_for_each(|(at, why)| match why {
                Kept::InUse(Some(1)) => writeln!(out, "kept {at}: in use by 1 process"),
                Kept::InUse(Some(count)) => writeln!(out, "kept {at}: in use by {count} processes"),
                Kept::InUse(None) => writeln!(out, "kept {at}: its processes can't be counted"),
                Kept::Failed(error) => writeln!(out, "kept {at}: {error}"),
            })
        },
    )?;
    let failed = |(_, why): &(_, Kept)| matches!(why, Kept::Failed(_));
    match kept.iter().filter(|kept| failed(kept)).count() {
        0 => Ok(()),
        1 => Err(Failure::Failed("1 leftover can't be removed".into())),
        count => Err(Failure::Failed(format!("{count} leftovers can't be removed"))),
    }
}

fn as_json((at, why): &(Location, Kept)) -> Value {
    let (attached, error) = match why {
        Kept::InUse(attached) => (*attached, None),
        Kept::Failed(error) => (None, Some(error.to_string())),
    };
    json!({ "at": at.to_string(), "attached": attached, "error": error })
}
