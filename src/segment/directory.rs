//! The segments of a directory: found, listed, removed.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::candidate::{Candidate, Entry};
use super::error::SegmentError;
use super::lock::{LockFile, byte_of};
use super::name::{Place, SegmentName, lock_path, parse_lock};
use super::segment::{Segment, check_header, name_of, open};
use super::wait::wake;
use crate::layout::{HeaderError, LAYOUT_VERSION};
use crate::protocol::{Term, raise_event, retire};

/// How things stand with a listed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentState {
    /// An owner lives.
    Owned,
    /// No owner lives: whoever attaches next takes over.
    Orphaned,
    /// No publication will follow in it.
    Retired,
    /// Another layout version.
    OtherVersion,
    /// Not a segment, whatever its name says, or not to be trusted.
    Damaged,
}

/// A file that is named like a segment.
#[derive(Clone, Debug)]
pub struct Listed {
    /// What its name says.
    pub name: SegmentName,
    /// Its path.
    pub path: PathBuf,
    /// The user that it belongs to.
    pub owner: u32,
    /// Its mode bits.
    pub mode: u32,
    /// Its length.
    pub bytes: u64,
    /// Attached processes; `None` where they can't be counted.
    pub attached: Option<usize>,
    /// How it stands.
    pub state: SegmentState,
}

/// Every file of the directory that is named like a segment, by key, layout
/// version and generation.
///
/// # Errors
/// [`SegmentError::Io`] if the directory can't be read.
pub fn list(directory: &Path) -> Result<Vec<Listed>, SegmentError> {
    let mut listed: Vec<Listed> =
        names(directory)?.into_iter().filter_map(|name| describe(directory, name)).collect();
    listed.sort_by_key(|found| found.name);
    Ok(listed)
}

fn names(directory: &Path) -> Result<Vec<SegmentName>, SegmentError> {
    Ok(files(directory)?.iter().filter_map(|name| SegmentName::parse(name)).collect())
}

fn files(directory: &Path) -> Result<Vec<String>, SegmentError> {
    let action = || SegmentError::io("list", directory);
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(action())? {
        if let Ok(name) = entry.map_err(action())?.file_name().into_string() {
            files.push(name);
        }
    }
    Ok(files)
}

/// `None` if it is gone by now.
fn describe(directory: &Path, name: SegmentName) -> Option<Listed> {
    let path = directory.join(name.to_string());
    let found = fs::symlink_metadata(&path).ok()?;
    let mut listed = Listed {
        name,
        owner: found.uid(),
        mode: found.mode() & 0o7777,
        bytes: found.len(),
        attached: None,
        state: SegmentState::Damaged,
        path,
    };
    if name.layout_version != LAYOUT_VERSION {
        listed.state = SegmentState::OtherVersion;
        return Some(listed);
    }
    // It is listed whoever's it is; whether to trust it is asked at attach.
    let place = Place { owner: Some(found.uid()), ..Place::of_key(name.key) };
    let place = Place { directory: directory.into(), ..place };
    match Segment::attach(&place, name.generation) {
        Ok(segment) => {
            listed.attached = segment.attached().ok();
            listed.state = match Candidate::look(&segment) {
                Ok(Entry::Held | Entry::Busy) => SegmentState::Owned,
                Ok(Entry::Retired) => SegmentState::Retired,
                _ => SegmentState::Orphaned,
            };
        }
        Err(SegmentError::Header { source: HeaderError::Version { .. }, .. }) => {
            listed.state = SegmentState::OtherVersion;
        }
        Err(error) if error.is_absent() => return None,
        Err(_) => {}
    }
    Some(listed)
}

/// The generations of a key in this layout, the newest first.
///
/// # Errors
/// [`SegmentError::Io`] if the directory can't be read.
pub(crate) fn generations(place: &Place) -> Result<Vec<u64>, SegmentError> {
    let mut found: Vec<u64> = names(&place.directory)?
        .into_iter()
        .filter(|name| name.key == place.key && name.layout_version == LAYOUT_VERSION)
        .map(|name| name.generation)
        .collect();
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// The number of a segment that is to succeed all of a key and the one with the
/// number `after`. Where somebody has planted a file with the last number, it
/// is the next free one.
///
/// # Errors
/// [`SegmentError::Io`] if the directory can't be read.
#[cfg(feature = "tend")]
pub(crate) fn next_generation(place: &Place, after: u64) -> Result<u64, SegmentError> {
    Ok(next_of(&generations(place)?, after))
}

#[cfg(feature = "tend")]
fn next_of(listed: &[u64], after: u64) -> u64 {
    let newest = listed.first().map_or(after, |&newest| newest.max(after));
    let free = || (after.saturating_add(1)..).find(|number| !listed.contains(number));
    newest.checked_add(1).or_else(free).unwrap_or(u64::MAX)
}

/// What one list of a key's segments led to.
pub(crate) struct Search {
    /// The newest that lives.
    pub live: Option<Arc<Segment>>,
    /// Without a living one, the newest that is retired: it is being replaced
    /// or removed.
    pub retired: Option<Arc<Segment>>,
    /// Why a file that may be the one wanted can't be trusted or read.
    pub refused: Option<SegmentError>,
    listed: Vec<u64>,
}

impl Search {
    /// The number of a segment that is to succeed all that were listed and the
    /// one with the number `after`.
    ///
    /// A segment that was linked after the list, and whose predecessor was gone
    /// before it could be attached, was not found. It has this number, or there
    /// is a higher one, so that a segment made under it has no name or is left.
    #[cfg(feature = "tend")]
    pub fn next(&self, after: u64) -> u64 {
        next_of(&self.listed, after)
    }
}

/// Lists the segments of a key and attaches to each, the newest first, up to
/// one that lives.
///
/// # Errors
/// [`SegmentError::Io`] if the directory can't be read.
pub(crate) fn search(place: &Place) -> Result<Search, SegmentError> {
    let listed = generations(place)?;
    let mut search = Search { live: None, retired: None, refused: None, listed };
    for &generation in &search.listed {
        match Segment::attach(place, generation) {
            Ok(segment) if segment.head().retired() => {
                search.retired.get_or_insert(segment);
            }
            Ok(segment) => {
                search.live = Some(segment);
                break;
            }
            Err(error) if error.is_absent() => {}
            Err(error) => {
                search.refused.get_or_insert(error);
            }
        }
    }
    Ok(search)
}

/// The newest living segment of a key that can be trusted: the current one.
///
/// # Errors
/// [`SegmentError`] if there is none, and why a file that may be one can't be
/// trusted or read.
pub fn live(place: &Place) -> Result<Option<Arc<Segment>>, SegmentError> {
    let found = search(place)?;
    match (found.live, found.refused) {
        (None, Some(refused)) => Err(refused),
        (live, _) => Ok(live),
    }
}

/// The newest segment of a key, retired ones included, for those who only
/// look.
///
/// # Errors
/// [`SegmentError::NotFound`], [`SegmentError::OtherVersion`] if there are only
/// segments of other layouts, and what [`live`] answers.
pub(crate) fn newest(place: &Place) -> Result<Arc<Segment>, SegmentError> {
    if let Some(segment) = live(place)? {
        return Ok(segment);
    }
    for generation in generations(place)? {
        match Segment::attach(place, generation) {
            Err(error) if error.is_absent() => {}
            other => return other,
        }
    }
    let (key, directory) = (place.key, place.directory.clone());
    let other = names(&place.directory)?.into_iter().find(|name| name.key == key);
    Err(match other {
        Some(name) => {
            SegmentError::OtherVersion { key, found: name.layout_version, wanted: LAYOUT_VERSION }
        }
        None => SegmentError::NotFound { key, directory },
    })
}

/// Removes every segment of a key, of whatever layout, and their lock files,
/// as `ipcrm -M` would; the paths removed.
///
/// # Errors
/// [`SegmentError::InUse`] if a process is attached and `force` is not given;
/// [`SegmentError::NotFound`].
pub fn remove(place: &Place, force: bool) -> Result<Vec<PathBuf>, SegmentError> {
    let listed: Vec<Listed> =
        list(&place.directory)?.into_iter().filter(|found| found.name.key == place.key).collect();
    if !force {
        if let Some(used) = listed.iter().find(|found| found.attached.unwrap_or(0) > 0) {
            let (path, attached) = (used.path.clone(), used.attached.unwrap_or(0));
            return Err(SegmentError::InUse { path, attached });
        }
        let untold = |found: &&Listed| found.attached.is_none() && found.bytes > 0;
        if let Some(other) = listed.iter().find(untold) {
            return Err(why_untold(other));
        }
    }
    let mut removed = Vec::new();
    for found in &listed {
        match Segment::attach(place, found.name.generation) {
            Ok(segment) if found.name.layout_version == LAYOUT_VERSION => {
                retire_and_unlink(&segment)?;
            }
            _ => {
                fs::remove_file(&found.path).map_err(SegmentError::io("remove", &found.path))?;
            }
        }
        removed.push(found.path.clone());
    }
    removed.extend(sweep_locks(place)?);
    if removed.is_empty() {
        let (key, directory) = (place.key, place.directory.clone());
        return Err(SegmentError::NotFound { key, directory });
    }
    Ok(removed)
}

/// Who is attached to a file of another layout, or a damaged one, can't be
/// told: removing it takes force.
fn why_untold(found: &Listed) -> SegmentError {
    let path = found.path.clone();
    match found.state {
        SegmentState::OtherVersion => SegmentError::OtherVersion {
            key: found.name.key,
            found: found.name.layout_version,
            wanted: LAYOUT_VERSION,
        },
        _ => match open(&path).and_then(|file| check_header(&file, &path)) {
            Err(error) => error,
            Ok(_) => SegmentError::InUse { path, attached: 0 },
        },
    }
}

/// Retires a segment, wakes everybody, and takes its name and its lock file
/// away.
pub(crate) fn retire_and_unlink(segment: &Arc<Segment>) -> Result<(), SegmentError> {
    let Some(path) = segment.path() else { return Ok(()) };
    match segment.open_writer() {
        Ok(writer) => {
            loop {
                let head = segment.head();
                if head.retired() || retire(writer.head(), head).is_ok() {
                    break;
                }
            }
            raise_event(writer.event(), segment.head());
            wake(writer.event(), None);
            wake(writer.head(), None);
        }
        // It has lost its name to somebody else already.
        Err(error) if error.is_absent() => return Ok(()),
        Err(error) => return Err(error),
    }
    if segment.is_at_name() {
        unlink(path)?;
    }
    segment.lock().map_or(Ok(()), |lock| unlink(lock.path()))
}

fn unlink(path: &Path) -> Result<(), SegmentError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SegmentError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Removes retired segments of a key that are not the newest, and lock files
/// that creators left when they died: none that is held, none of a segment.
#[cfg(feature = "tend")]
pub(crate) fn sweep(place: &Place) -> Result<(), SegmentError> {
    for generation in generations(place)?.into_iter().skip(1) {
        match Segment::attach(place, generation) {
            Ok(segment) if segment.head().retired() => retire_and_unlink(&segment)?,
            _ => {}
        }
    }
    sweep_locks(place).map(|_| ())
}

fn sweep_locks(place: &Place) -> Result<Vec<PathBuf>, SegmentError> {
    let files = files(&place.directory)?;
    let mut living = BTreeSet::new();
    for name in files.iter().filter_map(|name| SegmentName::parse(name)) {
        let path = place.directory.join(name.to_string());
        if name.key == place.key && name_of(&path).is_some() {
            if let Ok((identity, _)) = open(&path).and_then(|file| check_header(&file, &path)) {
                living.insert(identity.segment_id);
            }
        }
    }
    let mut removed = Vec::new();
    for (key, id) in files.iter().filter_map(|name| parse_lock(name)) {
        if key != place.key || living.contains(&id) {
            continue;
        }
        let path = lock_path(&place.directory, key, id);
        // This process has it open if it is just making that segment: leave it
        // alone, and do not open it a second time.
        if super::registry::registry().has_lock(&path) {
            continue;
        }
        let Ok(lock) = LockFile::open(path.clone(), place.mode) else { continue };
        if !lock.held_by_other(byte_of(Term::FIRST)).unwrap_or(true) && unlink(&path).is_ok() {
            removed.push(path);
        }
    }
    Ok(removed)
}
