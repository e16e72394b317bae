//! The file of `--password-file`.

use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tendmap::internals::secret_file;
use tendmap::internals::text::Printable;
use tendmap::wire::login::SecretString;

use super::secret;
use crate::failure::Failure;

/// The most bytes of a file. The servers accept no password that is longer.
const MAX_FILE: u64 = 64 << 10;

/// A password that was read from a file.
#[derive(Clone, Debug)]
pub struct PasswordFile {
    /// The file.
    pub path: PathBuf,
    /// Its mode, if other users may read it.
    pub exposed: Option<u32>,
    /// The parser's name for the password.
    pub(super) mark: OsString,
    /// The state of the file when it was read.
    version: Version,
}

/// What changes when a file is written or replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    file: (u64, u64),
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl From<&Metadata> for Version {
    fn from(found: &Metadata) -> Version {
        Version {
            file: (found.dev(), found.ino()),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

impl PasswordFile {
    /// Reads a file: the password, and one newline that is left out.
    ///
    /// # Errors
    /// [`Failure::Usage`] names the file.
    pub fn read(path: &Path) -> Result<PasswordFile, Failure> {
        let shown = Printable(path.display());
        let fail = |problem: &dyn core::fmt::Display| {
            Failure::Usage(format!("password_file: can't use {shown}: {problem}"))
        };
        let (text, found) = content(path).map_err(|error| fail(&error))?;
        if text.len() as u64 > MAX_FILE {
            return Err(fail(
                &"it is longer than 64 KiB; it must hold the password and nothing else",
            ));
        }
        let text = text.strip_suffix(b"\n").unwrap_or(&text);
        if text.is_empty() {
            return Err(fail(&"it is empty; write the password into it"));
        }
        if text.contains(&0) {
            return Err(fail(&"it contains a NUL byte; a password is text"));
        }
        let text = std::str::from_utf8(text).map_err(|_| fail(&"it is not UTF-8 text"))?;
        Ok(PasswordFile {
            path: path.into(),
            exposed: exposed(path, &found),
            mark: secret::seal_file(text),
            version: Version::from(&found),
        })
    }

    /// Whether the file can be read again. A pipe can't.
    pub fn is_lasting(&self) -> bool {
        self.path.metadata().is_ok_and(|found| found.is_file())
    }

    /// The file as it is now, if it has changed since it was read and since `known`,
    /// the last version that was tried.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn news(&self, known: &mut Option<Version>) -> Result<Option<PasswordFile>, Failure> {
        // A file that is not there is about to be replaced, or can't be helped.
        let Ok(found) = self.path.metadata() else { return Ok(None) };
        let version = Version::from(&found);
        if !found.is_file() || version == known.unwrap_or(self.version) {
            return Ok(None);
        }
        *known = Some(version);
        let read = PasswordFile::read(&self.path)?;
        *known = Some(read.version);
        Ok(Some(read))
    }

    /// The password of this file.
    pub fn password(&self) -> Option<SecretString> {
        secret::opened_mark(&self.mark)
    }

    /// Whether it is another password than that of `other`.
    pub fn differs(&self, other: &PasswordFile) -> bool {
        self.mark != other.mark
    }
}

/// At most one byte more than a file may have, and the state of the open file.
fn content(path: &Path) -> io::Result<(Vec<u8>, Metadata)> {
    let file = File::open(path)?;
    let found = file.metadata()?;
    // Without growth no copy is left behind; and all freed memory is wiped.
    let mut text = Vec::with_capacity(MAX_FILE as usize + 2);
    file.take(MAX_FILE + 1).read_to_end(&mut text)?;
    Ok((text, found))
}

/// The mode, if other users may read the file. For a credential of systemd the
/// group's bits say what its access control list allows, which is this service only.
fn exposed(path: &Path, found: &Metadata) -> Option<u32> {
    let mode = found.permissions().mode() & 0o7777;
    let readers = if is_credential(path) { 0o004 } else { secret_file::readers(path) };
    (found.is_file() && mode & readers != 0).then_some(mode)
}

fn is_credential(path: &Path) -> bool {
    let Some(directory) = std::env::var_os("CREDENTIALS_DIRECTORY") else { return false };
    let real = |path: &Path| path.canonicalize().ok();
    match (real(Path::new(&directory)), real(path)) {
        (Some(directory), Some(path)) => {
            directory.parent().is_some() && path.starts_with(directory)
        }
        _ => false,
    }
}
