//! Checks whether the segment of a key may be trusted, and belongs to this
//! program at all.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::object;
use crate::layout::{
    Geometry, Header, HeaderError, Identity, LAYOUT_VERSION, Shm, ShmStat, is_gone, shm_find,
    shm_stat,
};
use crate::segment::backend::{Discovery, Located, ObjectId, Parts};
use crate::segment::error::SegmentError;
use crate::segment::location::Location;
use crate::segment::name::Place;
use crate::segment::registry::registry;
use crate::segment::trust::{Trusted, check_system_v};

pub fn at(place: &Place, id: i32) -> Location {
    Location::SystemV { key: place.key, id }
}

pub fn absent(place: &Place) -> SegmentError {
    SegmentError::NotFound { key: place.key, directory: place.directory.clone() }
}

/// Converts an error; a segment that is already gone counts as absent.
fn failed(action: &'static str, place: &Place, id: i32) -> impl FnOnce(io::Error) -> SegmentError {
    move |source| match is_gone(&source) {
        true => absent(place),
        false => SegmentError::io(action, at(place, id))(source),
    }
}

/// The id of the segment that has the key.
pub fn find(place: &Place) -> Result<Option<i32>, SegmentError> {
    let key = format!("the System V segment of key {:#010x}", place.key);
    shm_find(place.key).map_err(SegmentError::io("look for", key))
}

/// A number that differs from directory to directory, and is the same in all
/// processes that see the directory.
pub fn directory_number(directory: &Path) -> io::Result<u64> {
    let found = std::fs::metadata(directory)?;
    Ok((found.dev().wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ found.ino()).max(1))
}

/// The segment of that id, and its identity, if it can be trusted. One that
/// this process has attached was checked then and stays in use, even if the
/// process's user has changed since.
pub fn locate(
    place: &Place,
    id: i32,
    discovery: Discovery,
) -> Result<(Identity, Located<'_>), SegmentError> {
    locate_by(place, id, discovery, move || parts(place, id))
}

/// Like [`locate`], for callers that only look. System V segments can't be
/// truncated: the segment is mapped, read-only.
pub fn look_at(place: &Place, id: i32) -> Result<(Identity, Located<'_>), SegmentError> {
    locate_by(place, id, Discovery::ByName, move || {
        let shm = Shm::attach(id, false).map_err(failed("attach", place, id))?;
        check_stat(place, id, &shm.stat())?;
        let (identity, geometry) = checked(&shm, place, id)?;
        object::parts(place, id, shm, identity, geometry)
    })
}

fn locate_by<'a>(
    place: &'a Place,
    id: i32,
    discovery: Discovery,
    parts: impl FnOnce() -> Result<Parts, SegmentError> + 'a,
) -> Result<(Identity, Located<'a>), SegmentError> {
    let object = ObjectId::SystemV(id);
    let attached = registry().segment(object);
    if let Some(segment) = attached {
        return Ok((segment.identity(), Located::Attached(segment)));
    }
    match shm_stat(id).map_err(failed("examine", place, id)) {
        Err(error) if error.is_refused() => match registry().inherited_identity(object) {
            Some(identity) => Ok((identity, Located::Refused(object, error))),
            None => Err(error),
        },
        Err(error) => Err(error),
        Ok(found) => {
            check_stat(place, id, &found)?;
            let identity = look(place, id)?;
            Ok((identity, Located::New { object, discovery, parts: Box::new(parts) }))
        }
    }
}

/// Checks that the kernel's data describes a segment that can be trusted.
pub fn check_stat(place: &Place, id: i32, found: &ShmStat) -> Result<(), SegmentError> {
    let trusted = Trusted::with(&place.owners);
    check_system_v(at(place, id), found.uid, found.cuid, found.mode, &trusted)
}

/// The parts of the segment of that id: mapped, with its owner, creator and
/// header checked. While it is mapped, the id is not reused.
pub fn parts(place: &Place, id: i32) -> Result<Parts, SegmentError> {
    let shm = Shm::attach_to_read(id).map_err(failed("attach", place, id))?;
    check_stat(place, id, &shm.stat())?;
    let (identity, geometry) = checked(&shm, place, id)?;
    object::parts(place, id, shm, identity, geometry)
}

/// The identity of the segment of that id.
pub fn look(place: &Place, id: i32) -> Result<Identity, SegmentError> {
    let shm = Shm::attach(id, false).map_err(failed("attach", place, id))?;
    checked(&shm, place, id).map(|(identity, _)| identity)
}

fn checked(shm: &Shm, place: &Place, id: i32) -> Result<(Identity, Geometry), SegmentError> {
    let (identity, geometry) = examine(shm, place, id)?;
    let number = directory_number(&place.directory)
        .map_err(SegmentError::io("examine", &place.directory))?;
    if identity.lock_directory != number {
        let directory = place.directory.clone();
        return Err(SegmentError::OtherDirectory { at: at(place, id), directory });
    }
    Ok((identity, geometry))
}

/// Validates one private copy of the header.
pub fn examine(shm: &Shm, place: &Place, id: i32) -> Result<(Identity, Geometry), SegmentError> {
    let (copy, stat, at) = (shm.header(), shm.stat(), at(place, id));
    match Header::validate(&copy, stat.bytes) {
        Ok((identity, _)) if identity.key != place.key => {
            Err(SegmentError::OtherKey { at, found: identity.key, wanted: place.key })
        }
        Ok(checked) => Ok(checked),
        Err(HeaderError::Version { found }) => {
            Err(SegmentError::OtherVersion { key: place.key, found, wanted: LAYOUT_VERSION })
        }
        Err(HeaderError::Magic) if Header::is_half_made(&copy) && Header::is_length(stat.bytes) => {
            Err(SegmentError::HalfMade { at })
        }
        Err(HeaderError::Magic | HeaderError::Short { .. }) => {
            Err(SegmentError::Foreign { at, bytes: stat.bytes, owner: stat.uid })
        }
        Err(error) => Err(SegmentError::Header { at, error }),
    }
}
