//! The file for the node exporter's textfile collector.

use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// Replaces the file by this text. A reader finds the whole text, or what was there
/// before; if it can't be written, nothing else is left behind.
///
/// # Errors
/// The error of the system call.
pub fn replace(path: &Path, text: &str) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    // Not *.prom: the node exporter must not read it. Dropping it removes it.
    let mut file = tempfile::Builder::new()
        .prefix(".tendmap-")
        .suffix(".tmp")
        .permissions(Permissions::from_mode(0o644))
        .tempfile_in(directory)?;
    // Not by way of the wrapper, whose errors name the temporary file.
    file.as_file_mut().write_all(text.as_bytes())?;
    // The umask may have cleared bits.
    file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    // On a full file system an error may only appear here.
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|error| error.error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h142_a_file_is_replaced_whole_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tendmap.prom");
        for text in ["one\n", "two\n"] {
            replace(&path, text).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o644);
        assert!(replace(directory.path(), "three\n").is_err());
        assert!(replace(&directory.path().join("none/tendmap.prom"), "three\n").is_err());
        let names = std::fs::read_dir(directory.path()).unwrap().count();
        assert_eq!(names, 1);
    }
}
