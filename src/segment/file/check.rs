//! Whether a file may be trusted, and is a segment at all.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::libc;

use super::super::backend::ObjectId;
use super::super::error::SegmentError;
use super::super::name::Place;
use super::super::trust::check_trust;
use crate::layout::{Geometry, Header, Identity};

pub fn flags(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
}

pub fn open(path: &Path) -> Result<File, SegmentError> {
    flags(OpenOptions::new().read(true)).open(path).map_err(|source| {
        if source.raw_os_error() == Some(libc::ELOOP) {
            return SegmentError::Kind { at: path.into(), found: "a symbolic link" };
        }
        SegmentError::io("open", path)(source)
    })
}

/// Checks what kind of file it is, whose, and who may write it.
pub fn check_file(file: &File, path: &Path, also: &[u32]) -> Result<ObjectId, SegmentError> {
    let found = file.metadata().map_err(SegmentError::io("examine", path))?;
    let kind = found.file_type();
    if !kind.is_file() {
        let found = match () {
            () if kind.is_dir() => "a directory",
            () if kind.is_fifo() => "a pipe",
            () if kind.is_socket() => "a socket",
            () => "a device",
        };
        return Err(SegmentError::Kind { at: path.into(), found });
    }
    check_trust(path, found.uid(), found.mode() & 0o7777, also)?;
    Ok(ObjectId::File(found.dev(), found.ino()))
}

/// Validates one private copy of the header.
pub fn check_header(file: &File, path: &Path) -> Result<(Identity, Geometry), SegmentError> {
    let length = file.metadata().map_err(SegmentError::io("examine", path))?.len();
    let mut copy = vec![0; size_of::<Header>().min(usize::try_from(length).unwrap_or(usize::MAX))];
    file.read_exact_at(&mut copy, 0).map_err(SegmentError::io("read", path))?;
    Header::validate(&copy, length)
        .map_err(|source| SegmentError::Header { at: path.into(), source })
}

/// Whether the header is that of the segment that the file's name tells.
pub fn check_name(
    identity: &Identity,
    place: &Place,
    generation: u64,
    path: &Path,
) -> Result<(), SegmentError> {
    let misnamed =
        |what, found, wanted| Err(SegmentError::Misnamed { at: path.into(), what, found, wanted });
    if identity.key != place.key {
        return misnamed("key", identity.key.into(), place.key.into());
    }
    if identity.generation != generation {
        return misnamed("generation", identity.generation, generation);
    }
    Ok(())
}
