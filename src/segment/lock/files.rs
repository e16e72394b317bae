//! Which files there are, and their modes.

use std::io;
use std::path::{Path, PathBuf};

/// The mode of the lock file of a segment of that mode: for those who may write the
/// segment, and nobody else.
pub fn lock_mode(mode: u32) -> u32 {
    let group = if mode & 0o020 == 0 { 0 } else { 0o060 };
    0o600 | group
}

/// The file of marks that belongs to a lock file; `None` if it has none.
pub fn marks_path(lock: &Path) -> Option<PathBuf> {
    let name = lock.file_name()?.to_str()?;
    name.contains("-sysv-").then(|| lock.with_extension("marks"))
}

/// Removes a lock file and its file of marks; that one is gone is no error.
///
/// # Errors
/// What the system says of the lock file.
pub fn remove(path: &Path) -> io::Result<()> {
    // The lock file last: by its name the other one is found.
    if let Some(marks) = marks_path(path) {
        let _ = std::fs::remove_file(marks);
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
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
