//! The lock files and their modes.

use std::io;
use std::path::{Path, PathBuf};

use super::marks::is_locked;
use super::open::{open_existing, take_away};
use crate::segment::trust::Trusted;

/// The mode of the lock file of a segment with that mode: only users that may
/// write the segment may open it.
pub fn lock_mode(mode: u32) -> u32 {
    let group = if mode & 0o020 == 0 { 0 } else { 0o060 };
    0o600 | group
}

/// The file of marks that belongs to a lock file; `None` if it has none.
pub fn marks_path(lock: &Path) -> Option<PathBuf> {
    let name = lock.file_name()?.to_str()?;
    name.contains("-sysv-").then(|| lock.with_extension("marks"))
}

/// Removes a lock file and its file of marks; it is not an error if one does not exist. A file
/// that has the name but is not a lock file is removed if that is allowed, and otherwise kept.
///
/// # Errors
/// The error of the system call on the lock file.
pub fn remove(path: &Path, trusted: &Trusted) -> io::Result<()> {
    // The lock file comes last: the other one is found by its name.
    if let Some(marks) = marks_path(path) {
        if std::fs::remove_file(&marks).is_err() {
            let _ = take_away(&marks, trusted);
        }
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            let occupied = open_existing(path, trusted).is_ok_and(|found| found.occupied);
            if take_away(path, trusted) || occupied { Ok(()) } else { Err(error) }
        }
        _ => Ok(()),
    }
}

/// Removes the file of marks of a lock file that does not exist, unless a
/// process has a mark in it; returns its path if it was removed.
pub fn sweep_marks(lock: &Path, owners: &[u32]) -> Option<PathBuf> {
    let alone =
        matches!(lock.symlink_metadata(), Err(error) if error.kind() == io::ErrorKind::NotFound);
    let marks = marks_path(lock).filter(|_| alone)?;
    let found = open_existing(&marks, &Trusted::with(owners)).ok()?.file?;
    let held = found.get().and_then(is_locked).unwrap_or(true);
    (!held && std::fs::remove_file(&marks).is_ok()).then_some(marks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h87_the_lock_file_is_for_those_who_may_write_the_segment() {
        for (mode, wanted) in [
            (0o600, 0o600),
            (0o640, 0o600),
            (0o644, 0o600),
            (0o660, 0o660),
            (0o664, 0o660),
            (0o620, 0o660),
        ] {
            assert_eq!(lock_mode(mode), wanted, "{mode:o}");
        }
    }
}
