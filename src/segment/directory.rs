//! The segments of a directory: found, listed, removed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::backend::{Backend, Part};
use super::candidate::{Candidate, Entry};
use super::error::SegmentError;
use super::foreign;
use super::location::Location;
use super::lock::{self, LockFile, byte_of};
use super::name::{Place, SegmentName, resolved};
use super::segment::Segment;
use super::trust::Trusted;
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
    /// Its creator is at work, or died: only a System V segment can be seen so.
    HalfMade,
    /// This process may not read it: how it stands can't be told.
    NoPermission,
    /// Not a segment, whatever its name says, or not to be trusted.
    Damaged,
}

/// A segment, or what is named like one.
#[derive(Clone, Debug)]
pub struct Listed {
    /// What its name says; of a System V segment, what its header says.
    pub name: SegmentName,
    /// The kind of shared memory.
    pub backend: Backend,
    /// Where it is.
    pub at: Location,
    /// The user that it belongs to.
    pub owner: u32,
    /// Its mode bits.
    pub mode: u32,
    /// Its length.
    pub bytes: u64,
    /// Attached processes; `None` where they can't be counted.
    pub attached: Option<usize>,
    /// How many times a System V segment is mapped, by whatever program, as
    /// `ipcs -m` shows it under `nattch`.
    pub mappings: Option<usize>,
    /// How it stands.
    pub state: SegmentState,
}

/// Every segment that belongs to the directory, of both backends, by key,
/// layout version and generation: files that are named like one, and the System
/// V segments whose lock files are there.
///
/// # Errors
/// [`SegmentError::Io`] if the directory can't be read.
pub fn list(directory: &Path) -> Result<Vec<Listed>, SegmentError> {
    // By the name that this process has its lock files under, if it has any there: to
    // open and close one a second time would free its locks.
    let directory = &resolved(directory);
    let mut listed = Vec::new();
    for backend in Backend::ALL {
        listed.extend(backend.store().list(directory)?);
    }
    listed.sort_by_key(|found| (found.name, found.backend));
    Ok(listed)
}

/// The names of a directory's files.
pub(super) fn files(directory: &Path) -> Result<Vec<String>, SegmentError> {
    crate::descriptor::names(directory).map_err(|source| {
        let directory = directory.to_path_buf();
        SegmentError::Directory { directory, source: source.into() }
    })
}

/// How many are attached to what was listed, and how it stands; `None` if it is
/// gone by now.
pub(super) fn standing(
    attached: Result<Arc<Segment>, SegmentError>,
) -> Option<(Option<usize>, SegmentState)> {
    let segment = match attached {
        Ok(segment) => segment,
        Err(SegmentError::Header { source: HeaderError::Version { .. }, .. }) => {
            return Some((None, SegmentState::OtherVersion));
        }
        Err(error) if error.is_absent() => return None,
        Err(error) if error.is_refused() => return Some((None, SegmentState::NoPermission)),
        Err(_) => return Some((None, SegmentState::Damaged)),
    };
    let state = match Candidate::look(&segment) {
        Ok(Entry::Held | Entry::Busy) => SegmentState::Owned,
        Ok(Entry::Retired) => SegmentState::Retired,
        _ => SegmentState::Orphaned,
    };
    Some((segment.attached().ok(), state))
}

/// The generations of a key in this layout, the newest first.
///
/// # Errors
/// [`SegmentError::Io`] if the directory can't be read.
pub(crate) fn generations(place: &Place) -> Result<Vec<u64>, SegmentError> {
    let mut found = place.backend.store().generations(place)?;
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
    /// The newest that is retired, of those above the living one: it is being
    /// replaced or removed.
    pub retired: Option<Arc<Segment>>,
    /// Why a file that may be the one wanted can't be trusted or read.
    pub refused: Option<SegmentError>,
    listed: Vec<u64>,
}

impl Search {
    /// What succeeds a retired segment: a living one of a higher number.
    ///
    /// A lower one was linked too late, and its owner will leave it, unless
    /// everything was removed and somebody has begun anew: then the retired one
    /// has lost its name, and no higher one is there. A copy of the retired one
    /// that somebody has put in its place is none: its map is of a time before.
    pub fn successor(&self, of: &Segment) -> Option<&Arc<Segment>> {
        let number = |segment: &Segment| segment.identity().generation;
        let higher = |other: &Segment| number(other) > number(of);
        let id = |segment: &Segment| segment.identity().segment_id;
        let live = self.live.as_ref().filter(|live| id(live) != id(of))?;
        let anew = || !of.is_found() && !self.retired.as_deref().is_some_and(higher);
        (higher(live) || anew()).then_some(live)
    }

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
    search_by(place, |generation| Segment::attach(place, generation))
}

/// As [`search`], for those that only look.
fn look_through(place: &Place) -> Result<Search, SegmentError> {
    let store = place.backend.store();
    search_by(place, |generation| store.look(place, generation, Part::Words))
}

fn search_by(
    place: &Place,
    get: impl Fn(u64) -> Result<Arc<Segment>, SegmentError>,
) -> Result<Search, SegmentError> {
    let listed = generations(place)?;
    let mut search = Search { live: None, retired: None, refused: None, listed };
    for &generation in &search.listed {
        match get(generation) {
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
    living(search(place)?)
}

fn living(found: Search) -> Result<Option<Arc<Segment>>, SegmentError> {
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
    Err(elsewhere(place).unwrap_or_else(|| place.backend.store().why_none(place)))
}

/// As [`newest`], for those that look once: as it is now, whatever becomes of it.
/// Nothing is made, and what somebody else can cut short is not mapped.
///
/// # Errors
/// As [`newest`].
pub(crate) fn look(place: &Place) -> Result<Arc<Segment>, SegmentError> {
    let store = place.backend.store();
    if let Some(segment) = living(look_through(place)?)? {
        match store.look(place, segment.identity().generation, Part::Whole) {
            // It has gone meanwhile.
            Err(error) if error.is_absent() => {}
            other => return other,
        }
    }
    for generation in generations(place)? {
        match store.look(place, generation, Part::Whole) {
            Err(error) if error.is_absent() => {}
            other => return other,
        }
    }
    Err(elsewhere(place).unwrap_or_else(|| store.why_none(place)))
}

/// Why not to look for a key's segment in this place: it lives in the other
/// backend.
fn elsewhere(place: &Place) -> Option<SegmentError> {
    let others = Backend::ALL.into_iter().filter(|&backend| backend != place.backend);
    let of = |backend| Place { backend, ..place.clone() };
    let found =
        others.map(of).find(|other| look_through(other).is_ok_and(|it| it.live.is_some()))?;
    let (key, found, wanted) = (place.key, found.backend, place.backend);
    Some(SegmentError::OtherBackend { key, found, wanted })
}

/// Refuses to make a segment for a key that processes use in the other
/// backend. It is asked only before one is made, and two processes that begin
/// at one moment with different settings still make two: nothing but the
/// setting joins the two worlds. What nobody is attached to is left alone.
///
/// # Errors
/// [`SegmentError::OtherBackend`].
#[cfg(feature = "tend")]
pub(crate) fn check_backend(place: &Place) -> Result<(), SegmentError> {
    for found in Backend::ALL.into_iter().filter(|&backend| backend != place.backend) {
        let other = Place { backend: found, ..place.clone() };
        if let Some(segment) = look_through(&other).ok().and_then(|found| found.live) {
            if segment.attached().is_ok_and(|attached| attached > 0) {
                let (key, wanted) = (place.key, place.backend);
                return Err(SegmentError::OtherBackend { key, found, wanted });
            }
        }
    }
    Ok(())
}

/// Removes every segment of a key, of whatever layout, and their lock files,
/// as `ipcrm -M` would; what was removed.
///
/// Whether one of another layout is in use is told by what all layouts have in
/// common: its processes hold locks, or have it mapped as the kernel counts.
///
/// A segment is retired first, which its processes see at once. Not so a file that
/// the place does not trust (another user's, or one that its group may write): it is
/// not mapped, for somebody could cut it short meanwhile. It only loses its name,
/// which its owner, or its next one, sees at its next look.
///
/// # Errors
/// [`SegmentError::InUse`] if a process is attached and `force` is not given,
/// and why that can't be told; [`SegmentError::NotFound`].
pub fn remove(place: &Place, force: bool) -> Result<Vec<Location>, SegmentError> {
    let place = &Place { directory: resolved(&place.directory), ..place.clone() };
    let store = place.backend.store();
    let mut listed = store.list(&place.directory)?;
    listed.retain(|found| found.name.key == place.key);
    listed.sort_by_key(|found| found.name);
    if !force {
        if let Some(used) = listed.iter().find(|found| found.attached.unwrap_or(0) > 0) {
            let (at, attached) = (used.at.clone(), used.attached.unwrap_or(0));
            return Err(SegmentError::InUse { at, attached });
        }
        let untold = |found: &&Listed| found.attached.is_none() && found.bytes > 0;
        if let Some(other) = listed.iter().find(untold) {
            // Who is attached to a damaged one, or one that may not be read, can't
            // be told: removing it takes force.
            return Err(store.why_untold(other));
        }
    }
    let mut removed = Vec::new();
    for found in &listed {
        let others = found.name.layout_version != LAYOUT_VERSION;
        // Whose it may be is no question here: the system says who may remove it. But
        // only what nobody else can cut short is mapped.
        let mut place = place.clone();
        if found.backend == Backend::SystemV {
            place.owners.push(found.owner);
        }
        let attached = (!others).then(|| Segment::attach(&place, found.name.generation));
        match attached {
            Some(Ok(segment)) => {
                if force {
                    retire_and_unlink(&segment)?;
                } else {
                    let attached = retire_and_unlink_unused(&segment)?;
                    if attached > 0 {
                        return Err(SegmentError::InUse { at: found.at.clone(), attached });
                    }
                }
            }
            // Somebody else was faster. (What is half-made is absent for those
            // who attach, but it is there.)
            Some(Err(error))
                if error.is_absent() && !matches!(error, SegmentError::HalfMade { .. }) =>
            {
                continue;
            }
            _ => {
                let lock = (!others).then(|| idle_lock(found, &place)).flatten();
                match store.discard(found) {
                    Err(error) if error.is_absent() => continue,
                    other => other?,
                }
                if let Some(lock) = lock {
                    let _ = lock::remove(&lock, &Trusted::with(&[found.owner]));
                }
            }
        }
        removed.push(found.at.clone());
        if others {
            removed
                .extend(foreign::sweep(found, &place.directory)?.into_iter().map(Location::from));
        }
    }
    removed.extend(sweep_locks(place)?.into_iter().map(Location::from));
    if removed.is_empty() {
        return Err(elsewhere(place).unwrap_or_else(|| store.why_none(place)));
    }
    Ok(removed)
}

/// The lock file of what was listed and is not attached, if nobody holds a lock of
/// it: a process that does notices that the segment has lost its name, and removes
/// it.
fn idle_lock(found: &Listed, place: &Place) -> Option<PathBuf> {
    let place = Place { owners: vec![found.owner], ..place.clone() };
    let segment = place.backend.store().look(&place, found.name.generation, Part::Words).ok()?;
    let idle = !matches!(Candidate::look(&segment), Ok(Entry::Held | Entry::Busy) | Err(_))
        && segment.attached().is_ok_and(|attached| attached == 0);
    segment.lock().filter(|_| idle).map(|lock| lock.path().to_path_buf())
}

/// Retires a segment, wakes everybody, and takes its name and its lock file
/// away.
pub(crate) fn retire_and_unlink(segment: &Arc<Segment>) -> Result<(), SegmentError> {
    if !retire_now(segment)? {
        return Ok(());
    }
    unlink_with_lock(segment)
}

/// As [`retire_and_unlink`], of a segment that nobody was attached to; how many
/// are by now, in which case it keeps its name and they succeed it.
///
/// A process that attaches marks itself first and then looks at the head: either
/// it is counted here, or it finds the segment retired.
pub(crate) fn retire_and_unlink_unused(segment: &Arc<Segment>) -> Result<usize, SegmentError> {
    if !retire_now(segment)? {
        return Ok(0);
    }
    match segment.attached()? {
        0 => unlink_with_lock(segment).map(|()| 0),
        attached => Ok(attached),
    }
}

/// Retires a segment and wakes everybody; `false` if nothing leads to it any
/// more.
fn retire_now(segment: &Arc<Segment>) -> Result<bool, SegmentError> {
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
        // Nothing leads to it any more: somebody else was faster.
        Err(error) if error.is_absent() => return Ok(false),
        Err(error) => return Err(error),
    }
    Ok(true)
}

/// Takes the name and the lock file away of a segment that is retired, or that
/// was never owned.
pub(super) fn unlink_with_lock(segment: &Segment) -> Result<(), SegmentError> {
    if segment.is_at_name() {
        segment.unlink()?;
    }
    segment
        .lock()
        .map_or(Ok(()), |lock| lock.remove().map_err(SegmentError::io("remove", lock.path())))
}

pub(super) fn unlink(path: &Path) -> Result<(), SegmentError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SegmentError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Removes retired segments of a key that are not the newest, and lock files
/// that creators left when they died: none that is held, none of a segment.
/// Whether all of them are gone.
///
/// One that has lost its name and is found by its lock file keeps that until
/// nobody is attached to it: should all newer ones go with the processes that
/// had them mapped, its map is the newest that somebody has.
#[cfg(feature = "tend")]
pub(crate) fn sweep(place: &Place) -> Result<bool, SegmentError> {
    let (mut all, mut swept) = (true, Ok(()));
    for generation in generations(place)?.into_iter().skip(1) {
        match Segment::attach(place, generation) {
            Ok(segment) if segment.head().retired() => {
                if !segment.is_at_name() && segment.attached()? > 0 {
                    all = false;
                    continue;
                }
                // One that can't be removed, as another user's, keeps no other.
                swept = swept.and(retire_and_unlink(&segment));
            }
            _ => {}
        }
    }
    swept.and(sweep_locks(place)).map(|_| all)
}

fn sweep_locks(place: &Place) -> Result<Vec<PathBuf>, SegmentError> {
    let store = place.backend.store();
    // The files first: what comes after is not looked at.
    let files = files(&place.directory)?;
    let living = store.living(place)?;
    let mut removed = store.sweep(place);
    let marks = files.iter().filter_map(|name| store.parse_marks(name));
    for (_, id) in marks.filter(|&(key, id)| key == place.key && !living.contains(&id)) {
        // Of a creator that died before it made the lock file.
        let path = store.lock_path(&place.directory, place.key, id);
        removed.extend(lock::sweep_marks(&path, &place.owners));
    }
    for (key, id) in files.iter().filter_map(|name| store.parse_lock(name)) {
        if key != place.key || living.contains(&id) {
            continue;
        }
        let path = store.lock_path(&place.directory, key, id);
        // This process has it open if it is just making that segment: leave it
        // alone, and do not open it a second time.
        if super::registry::registry().lock(&path).is_some() {
            continue;
        }
        let lock = LockFile::existing(path.clone(), place.mode, &place.owners);
        let Ok(lock) = lock else { continue };
        // Locked, so that a creator which is about to lock it makes another one.
        if lock.is_open()
            && lock.try_lock(byte_of(Term::FIRST)).unwrap_or(false)
            && lock.remove().is_ok()
        {
            removed.push(path);
        }
    }
    Ok(removed)
}
