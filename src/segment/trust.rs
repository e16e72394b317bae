//! Whose a segment may be, and who may write it.

use super::error::SegmentError;
use super::location::Location;

/// Refuses a segment of a stranger (any user but the effective one, root and those
/// of `also`), and one that everybody may write.
pub fn check_trust(
    at: impl Into<Location>,
    owner: u32,
    mode: u32,
    also: &[u32],
) -> Result<(), SegmentError> {
    let mut wanted = vec![rustix::process::geteuid().as_raw(), 0];
    wanted.extend(also);
    wanted.sort_unstable();
    wanted.dedup();
    if !wanted.contains(&owner) {
        return Err(SegmentError::Owner { at: at.into(), found: owner, wanted });
    }
    if mode & 0o002 != 0 {
        return Err(SegmentError::Mode { at: at.into(), found: mode });
    }
    Ok(())
}
