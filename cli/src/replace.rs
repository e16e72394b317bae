//! Files that are replaced as a whole or not at all.

use std::fs::{self, File, Permissions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tendmap::internals::explain::explain;

/// The mode of a file that is written.
#[derive(Clone, Copy, Debug)]
pub enum Mode {
    /// That of the file that is replaced; a new one has what the umask leaves.
    Kept,
    /// This one, whatever the umask is.
    Set(u32),
}

/// Replaces a file, or creates it. A reader finds all of the content, or what was there
/// before; if it can't be written, nothing else is left behind. A link stays a link: what
/// it leads to is replaced.
///
/// # Errors
/// The error of the system call. Only a regular file is replaced, never a device, a pipe
/// or a directory.
pub fn file(path: &Path, content: &[u8], mode: Mode) -> io::Result<()> {
    let found = match fs::metadata(path) {
        Ok(found) if found.is_file() => Some(found),
        Ok(found) if found.is_dir() => {
            return Err(io::Error::new(ErrorKind::IsADirectory, "it is a directory"));
        }
        Ok(_) => return Err(io::Error::other("it is a device or a pipe, wanted a regular file")),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let path = &match found {
        Some(_) => fs::canonicalize(path)?,
        None => led_to(path),
    };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mode = match mode {
        Mode::Set(mode) => Some(mode),
        Mode::Kept => found.map(|found| found.permissions().mode() & 0o777),
    };
    // Neither *.prom nor *.svg: nobody else reads it. Dropping it removes it. The crate's
    // own way to create it has errors that name it.
    let create = |path: &Path| {
        File::options().write(true).create_new(true).mode(mode.unwrap_or(0o666)).open(path)
    };
    let mut file = tempfile::Builder::new()
        .prefix(".tendmap-")
        .suffix(".tmp")
        .make_in(folder.unwrap_or(Path::new(".")), create)?;
    file.as_file_mut().write_all(content)?;
    if let Some(mode) = mode {
        // The umask may have cleared bits.
        file.as_file().set_permissions(Permissions::from_mode(mode))?;
    }
    // On a full file system an error may only appear here.
    file.as_file().sync_all()?;
    file.persist(path).map(drop).map_err(|failed| failed.error)
}

/// An error of [`file`], with the limit that it reached.
pub fn explained(error: &io::Error) -> String {
    match error.kind() {
        // What can be done about it is different for a segment.
        ErrorKind::ReadOnlyFilesystem => error.to_string(),
        _ => explain(error).to_string(),
    }
}

/// Where links lead that end at no file.
fn led_to(path: &Path) -> PathBuf {
    let mut at = path.to_owned();
    while let Ok(next) = fs::read_link(&at) {
        at = at.parent().map_or_else(|| next.clone(), |folder| folder.join(&next));
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{FileTypeExt as _, symlink};
    use std::os::unix::net::UnixListener;

    fn names(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn h142_a_file_is_replaced_whole_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tendmap.prom");
        for text in ["one\n", "two\n"] {
            file(&path, text.as_bytes(), Mode::Set(0o644)).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o7777, 0o644);
        assert!(file(directory.path(), b"three\n", Mode::Kept).is_err());
        let missing = directory.path().join("none/tendmap.prom");
        let error = file(&missing, b"three\n", Mode::Kept).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(2), "{error}");
        assert_eq!(names(directory.path()), 1);
    }

    #[test]
    fn h142_what_is_no_regular_file_stays_what_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        // As a device: nothing of it is a file's.
        let _listener = UnixListener::bind(at("socket")).unwrap();
        symlink("socket", at("link")).unwrap();
        for name in ["socket", "link"] {
            for mode in [Mode::Kept, Mode::Set(0o644)] {
                let error = file(&at(name), b"text", mode).unwrap_err();
                assert!(error.to_string().contains("wanted a regular file"), "{error}");
            }
        }
        assert!(at("socket").metadata().unwrap().file_type().is_socket());
        assert!(at("link").is_symlink());
        assert_eq!(names(directory.path()), 2);
    }

    #[test]
    fn h142_a_link_stays_a_link_also_before_there_is_a_file() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("other")).unwrap();
        symlink("other/second", at("first")).unwrap();
        symlink(at("other/file"), at("other/second")).unwrap();
        for text in ["one\n", "two\n"] {
            file(&at("first"), text.as_bytes(), Mode::Set(0o644)).unwrap();
            assert_eq!(fs::read_to_string(at("other/file")).unwrap(), text);
            assert!(at("first").is_symlink() && at("other/second").is_symlink());
        }
        symlink("loop", at("loop")).unwrap();
        assert!(file(&at("loop"), b"text", Mode::Kept).is_err());
        assert!(at("loop").is_symlink());
        assert_eq!((names(directory.path()), names(&at("other"))), (3, 2));
    }
}
