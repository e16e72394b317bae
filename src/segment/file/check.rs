//! Checks whether a file may be trusted, and is a segment at all.

use std::io;
use std::path::Path;

use rustix::fs::{FileType, Mode, OFlags, Stat, lstat};
use rustix::io::Errno;
use rustix::process::geteuid;

use crate::descriptor::{self, KeptDescriptor};
use crate::layout::{Geometry, Header, Identity, Mapping};
use crate::segment::backend::ObjectId;
use crate::segment::error::SegmentError;
use crate::segment::name::Place;
use crate::segment::trust::{Trusted, check_mode};

/// The identity of the file with that name.
pub fn id(path: &Path) -> Result<ObjectId, SegmentError> {
    let found = lstat(path).map_err(io::Error::from).map_err(SegmentError::io("examine", path))?;
    Ok(ObjectId::File(descriptor::FileId::of(&found)))
}

pub fn open(path: &Path) -> Result<KeptDescriptor, SegmentError> {
    // Checked before opening: merely opening a device or a pipe may have an
    // effect.
    if let Some(found) = lstat(path).ok().and_then(|found| other_kind(&found)) {
        return Err(SegmentError::Kind { at: path.into(), found });
    }
    KeptDescriptor::open(path, OFlags::RDONLY, Mode::empty()).map_err(|source| {
        if source.raw_os_error() == Some(Errno::LOOP.raw_os_error()) {
            return SegmentError::Kind { at: path.into(), found: "a symbolic link" };
        }
        SegmentError::io("open", path)(source)
    })
}

/// The kind of file, if it is not a regular file.
fn other_kind(found: &Stat) -> Option<&'static str> {
    match FileType::from_raw_mode(found.st_mode) {
        FileType::RegularFile => None,
        FileType::Directory => Some("a directory"),
        FileType::Symlink => Some("a symbolic link"),
        FileType::Fifo => Some("a pipe"),
        FileType::Socket => Some("a socket"),
        _ => Some("a device"),
    }
}

fn lost() -> io::Error {
    io::Error::other("the host program has closed its descriptor")
}

/// Checks the kind of the file, the user it belongs to, and which users may
/// write it.
pub fn check_file(
    file: &KeptDescriptor,
    path: &Path,
    place: &Place,
) -> Result<ObjectId, SegmentError> {
    let found = check_regular(file, path, &place.owners)?;
    check_group(path, found.st_mode & 0o7777, place.allow_group_write)?;
    Ok(ObjectId::File(file.id()))
}

/// Like [`check_file`], for a file that is only read. Returns whether it
/// belongs to a user other than this process's own and root.
pub fn check_owner(
    file: &KeptDescriptor,
    path: &Path,
    owners: &[u32],
) -> Result<bool, SegmentError> {
    let found = check_regular(file, path, owners)?;
    Ok(found.st_uid != 0 && found.st_uid != geteuid().as_raw())
}

fn check_regular(file: &KeptDescriptor, path: &Path, owners: &[u32]) -> Result<Stat, SegmentError> {
    let found = file.stat().ok_or_else(lost).map_err(SegmentError::io("examine", path))?;
    if let Some(found) = other_kind(&found) {
        return Err(SegmentError::Kind { at: path.into(), found });
    }
    let (trusted, user) = (Trusted::with(owners), found.st_uid);
    if !file.get().is_ok_and(|file| trusted.has_file(user, file)) {
        return Err(SegmentError::Owner { at: path.into(), found: user, wanted: trusted.users() });
    }
    check_mode(path, found.st_mode & 0o7777)?;
    Ok(found)
}

/// Refuses a file that its group may write, unless that is allowed. If the file
/// has an access control list, these bits are the upper limit of its entries.
pub fn check_group(path: &Path, mode: u32, allowed: bool) -> Result<(), SegmentError> {
    match mode & 0o020 != 0 && !allowed {
        true => Err(SegmentError::GroupWrite { at: path.into(), found: mode }),
        false => Ok(()),
    }
}

/// Validates one private copy of the header.
pub fn check_header(
    file: &KeptDescriptor,
    path: &Path,
) -> Result<(Identity, Geometry), SegmentError> {
    let found = file.stat().ok_or_else(lost).map_err(SegmentError::io("examine", path))?;
    let length = found.st_size as u64;
    let mut copy = vec![0; size_of::<Header>().min(usize::try_from(length).unwrap_or(usize::MAX))];
    let mut filled = 0;
    while filled < copy.len() {
        let read = file
            .get()
            .and_then(|file| Ok(rustix::io::pread(file, &mut copy[filled..], filled as u64)?));
        match read.map_err(SegmentError::io("read", path))? {
            0 => {
                let short = io::ErrorKind::UnexpectedEof.into();
                return Err(SegmentError::io("read", path)(short));
            }
            length => filled += length,
        }
    }
    Header::validate(&copy, length).map_err(|error| SegmentError::Header { at: path.into(), error })
}

/// Whether a copy is of the segment whose header was checked before the copy
/// was made.
pub fn check_copy(
    copy: &Mapping,
    identity: &Identity,
    geometry: &Geometry,
    path: &Path,
) -> Result<(), SegmentError> {
    let length = geometry.total_bytes() as u64;
    let header = |error| SegmentError::Header { at: path.into(), error };
    let found = Header::validate(&copy.header(), length).map_err(header)?;
    if (&found.0, &found.1) != (identity, geometry) {
        let changed = io::Error::other("its header changed while it was read");
        return Err(SegmentError::io("read", path)(changed));
    }
    Ok(())
}

/// Checks that the header is of the segment that the file name gives.
pub fn check_name(
    identity: &Identity,
    place: &Place,
    generation: u64,
    path: &Path,
) -> Result<(), SegmentError> {
    if identity.key != place.key {
        let (found, wanted) = (identity.key, place.key);
        return Err(SegmentError::OtherKey { at: path.into(), found, wanted });
    }
    if identity.generation != generation {
        let (found, wanted) = (identity.generation, generation);
        return Err(SegmentError::OtherGeneration { at: path.into(), found, wanted });
    }
    Ok(())
}
