//! Whose a segment may be, and who may write it.

use super::error::SegmentError;
use super::location::Location;

/// Refuses a segment of a stranger (whoever is not the effective user, root or
/// `also`), and one that everybody may write.
pub fn check_trust(
    at: impl Into<Location>,
    owner: u32,
    mode: u32,
    also: Option<u32>,
) -> Result<(), SegmentError> {
    let mut wanted = vec![rustix::process::geteuid().as_raw(), 0];
    wanted.extend(also);
    wanted.dedup();
    if !wanted.contains(&owner) {
        return Err(SegmentError::Owner { at: at.into(), found: owner, wanted });
    }
    if mode & 0o002 != 0 {
        return Err(SegmentError::Mode { at: at.into(), found: mode });
    }
    Ok(())
}
