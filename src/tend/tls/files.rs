//! Reads PEM files, and detects that they have changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::TlsError;
use crate::descriptor;

/// The most bytes of a file. No file of certificates is longer.
const MAX_FILE: u64 = 16 << 20;

/// The certificates in a file, at least one.
pub(crate) fn certificates(
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wanted = "one or more certificates";
    let bytes = read(what, path)?;
    let content = |problem: String| TlsError::Content { what, path: path.into(), problem, wanted };
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(content("it holds no certificate".into())),
        Ok(found) => Ok(found),
        Err(error) => Err(content(shown(&error))),
    }
}

/// The first private key in a file.
pub(crate) fn key(what: &'static str, path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    let wanted = "a private key without a passphrase";
    let bytes = Zeroizing::new(read(what, path)?);
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        let problem = match error {
            pem::Error::NoItemsFound => "it holds no such key".into(),
            other => shown(&other),
        };
        TlsError::Content { what, path: path.into(), problem, wanted }
    })
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |problem| TlsError::File { what, path: path.into(), problem };
    // The length is checked first, because a device or a pipe might never end.
    let found = fs::metadata(path).map_err(|error| failed(error.to_string()))?;
    if !found.is_file() || found.len() > MAX_FILE {
        return Err(failed("not a regular file of at most 16 MiB".into()));
    }
    descriptor::read(path).map_err(|error| failed(error.to_string()))
}

/// The text of an error without bytes of the file, which may be those of a key.
fn shown(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section without its END line".into(),
        pem::Error::IllegalSectionStart { .. } => "an invalid BEGIN line".into(),
        pem::Error::Base64Decode(_) => "a section that is not base64".into(),
        _ => "no sections that can be read".into(),
    }
}

/// The metadata of a file when it was read: compared, never ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileStamp {
    device: u64,
    inode: u64,
    length: u64,
    modified: (i64, i64),
}

impl FileStamp {
    /// `None` if there is no such file.
    pub(super) fn of(path: &Path) -> Option<FileStamp> {
        let found = fs::metadata(path).ok()?;
        Some(FileStamp {
            device: found.dev(),
            inode: found.ino(),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
        })
    }
}
