//! The segments of a directory: found and listed.

use std::path::Path;
use std::sync::Arc;

use super::backend::{Backend, Part};
use super::candidate::{Candidate, Entry, is_tended};
use super::error::SegmentError;
use super::location::Location;
use super::name::{Place, SegmentName, resolved};
use super::segment::Segment;
use crate::layout::HeaderError;

/// How things stand with a listed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
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

impl SegmentState {
    /// Its name in lists: `owned`, `orphaned`, `other version` …
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            SegmentState::Owned => "owned",
            SegmentState::Orphaned => "orphaned",
            SegmentState::Retired => "retired",
            SegmentState::OtherVersion => "other version",
            SegmentState::HalfMade => "half-made",
            SegmentState::NoPermission => "no permission",
            SegmentState::Damaged => "damaged",
        }
    }
}

impl core::fmt::Display for SegmentState {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A segment, or what is named like one.
#[derive(Clone, Debug)]
#[non_exhaustive]
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
            // A key is one segment's alone, names are any number.
            Err(error)
                if error.is_absent() || (place.backend == Backend::File && error.is_strange()) => {}
            Err(error) => {
                search.refused.get_or_insert(error);
            }
        }
    }
    Ok(search)
}

/// How many numbers are tried without a list of the directory.
const QUICK: u64 = 16;

/// A segment of one of the next numbers after `after`, if it has an owner that lives
/// and shows it: that is the current one, or its owner finds a higher one and leaves
/// it. So nobody needs a list of the directory, which a stranger may have filled, to
/// find a segment that is in use.
pub(crate) fn quick(place: &Place, after: u64) -> Option<Arc<Segment>> {
    quick_by(place, after, |generation| Segment::attach(place, generation))
}

fn quick_by(
    place: &Place,
    after: u64,
    get: impl Fn(u64) -> Result<Arc<Segment>, SegmentError>,
) -> Option<Arc<Segment>> {
    if place.backend != Backend::File {
        return None;
    }
    let numbers = (1..=QUICK).rev().filter_map(|by| after.checked_add(by));
    // What is not there costs one call.
    let there = numbers.filter(|&number| place.segment(number).symlink_metadata().is_ok());
    there.filter_map(|number| get(number).ok()).find(|segment| is_tended(segment))
}

/// What a stranger has put where a segment of the key could be, if that stops nobody.
#[cfg(feature = "tend")]
pub(crate) fn stepped_over(place: &Place) -> Option<SegmentError> {
    place.backend.store().stepped_over(place)
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
    if let Some(segment) = quick(place, 0) {
        return Ok(segment);
    }
    if let Some(segment) = live(place)? {
        return Ok(segment);
    }
    for generation in generations(place)? {
        match Segment::attach(place, generation) {
            Err(error) if error.is_absent() => {}
            other => return other,
        }
    }
    Err(elsewhere(place).unwrap_or_else(|| place.backend.store().not_found_error(place)))
}

/// As [`newest`], for those that look once: as it is now, whatever becomes of it.
/// Nothing is made, and what somebody else can cut short is not mapped.
///
/// # Errors
/// As [`newest`].
pub(crate) fn look(place: &Place) -> Result<Arc<Segment>, SegmentError> {
    let store = place.backend.store();
    let look = |generation| store.look(place, generation, Part::Words);
    let quick = quick_by(place, 0, look);
    if let Some(segment) = quick.map_or_else(|| living(look_through(place)?), |it| Ok(Some(it)))? {
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
    Err(elsewhere(place).unwrap_or_else(|| store.not_found_error(place)))
}

/// Why not to look for a key's segment in this place: it lives in the other
/// backend.
pub(super) fn elsewhere(place: &Place) -> Option<SegmentError> {
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
