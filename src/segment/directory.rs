//! Finding and listing the segments of a directory.

use std::path::Path;
use std::sync::Arc;

use super::attachment::Segment;
use super::backend::{Backend, Located, SegmentPart};
use super::candidate::{Candidate, OwnerState, is_tended};
use super::error::SegmentError;
use super::listed::{ListedSegment, SegmentState};
use super::name::{Place, resolved};
use crate::layout::{HeaderError, shm_stat};

/// Every segment that belongs to the directory, of both backends, ordered by key, layout version
/// and generation: files with a segment's name, and the System V segments whose lock files are
/// there.
///
/// ```
/// use std::path::Path;
/// use tendmap::segment::{Place, SegmentState, list};
///
/// for found in list(Path::new(Place::DIRECTORY))? {
///     let orphaned = found.state == SegmentState::Orphaned;
///     println!("{} at generation {}: {}{}", found.at, found.generation, found.state, if orphaned { "!" } else { "" });
/// }
/// # Ok::<(), tendmap::SegmentError>(())
/// ```
///
/// # Errors
/// [`SegmentError::Directory`] if the directory can't be read.
pub fn list(directory: &Path) -> Result<Vec<ListedSegment>, SegmentError> {
    // Under the name that this process uses for its lock files there, if it has
    // any: to open and close one a second time would free its locks.
    let directory = &resolved(directory);
    let mut listed = Vec::new();
    for backend in Backend::ALL {
        listed.extend(segments(directory, backend)?);
    }
    listed.sort_by_key(|found| (found.key, found.layout_version, found.generation, found.backend));
    Ok(listed)
}

/// The segments of one backend that belong to a directory, in any order.
pub(super) fn segments(
    directory: &Path,
    backend: Backend,
) -> Result<Vec<ListedSegment>, SegmentError> {
    backend.store().list(directory, &standing)
}

/// The number of attached processes and the state of what was listed; `None` if
/// it is already gone.
fn standing(
    place: &Place,
    located: Result<Located<'_>, SegmentError>,
) -> Option<(Option<usize>, SegmentState)> {
    let segment = match located.and_then(|located| Segment::look_at(place, located)) {
        Ok(segment) => segment,
        Err(SegmentError::Header { error: HeaderError::Version { .. }, .. }) => {
            return Some((None, SegmentState::OtherVersion));
        }
        Err(error) if error.is_absent() => return None,
        Err(error) if error.is_refused() => return Some((None, SegmentState::NoPermission)),
        Err(_) => return Some((None, SegmentState::Damaged)),
    };
    let state = match Candidate::look(&segment) {
        Ok(OwnerState::Alive) => SegmentState::Owned,
        Ok(OwnerState::Retired) => SegmentState::Retired,
        Ok(OwnerState::Vacant | OwnerState::Abdicated) | Err(_) => SegmentState::Orphaned,
    };
    Some((segment.attached().ok(), state))
}

/// The generations of a key in this layout, newest first.
///
/// # Errors
/// [`SegmentError::Io`] if the directory can't be read.
pub(crate) fn generations(place: &Place) -> Result<Vec<u64>, SegmentError> {
    let mut found = place.backend.store().generations(place)?;
    found.sort_unstable_by(|a, b| b.cmp(a));
    Ok(found)
}

/// The generation of a segment that will succeed all of a key and the one with generation
/// `after`. If a file with the last number was planted, it is the next free number.
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

/// The result of a search through a key's segments.
pub(crate) struct Search {
    /// The newest live segment.
    pub live: Option<Arc<Segment>>,
    /// The newest retired segment above the live one: it is being replaced or
    /// removed.
    pub retired: Option<Arc<Segment>>,
    /// Why a file that may be the wanted segment can't be trusted or read.
    pub refused: Option<SegmentError>,
    listed: Vec<u64>,
}

impl Search {
    /// The successor of a retired segment: a live one of a higher generation.
    ///
    /// A lower generation was linked too late, and its owner will leave it,
    /// unless everything was removed and another process has started again:
    /// then the retired segment has lost its name, and there is no higher
    /// generation. A copy of the retired segment that was put in its place is
    /// no successor: its map is older.
    pub fn successor(&self, of: &Segment) -> Option<&Arc<Segment>> {
        let number = |segment: &Segment| segment.identity().generation;
        let higher = |other: &Segment| number(other) > number(of);
        let id = |segment: &Segment| segment.identity().segment_id;
        let live = self.live.as_ref().filter(|live| id(live) != id(of))?;
        let restarted = || !of.is_found() && !self.retired.as_deref().is_some_and(higher);
        (higher(live) || restarted()).then_some(live)
    }

    /// The generation of a segment that will succeed all that were listed and
    /// the one with generation `after`.
    ///
    /// The search does not find a segment that was linked after the listing,
    /// and whose predecessor disappeared before it could be attached. That
    /// segment has this number, or there is a higher one; so a segment created
    /// under this number can't be linked, or is left by its owner.
    #[cfg(feature = "tend")]
    pub fn next(&self, after: u64) -> u64 {
        next_of(&self.listed, after)
    }
}

/// Lists the segments of a key and attaches to each, newest first, until one is live.
///
/// # Errors
/// [`SegmentError::Io`] if the directory can't be read.
pub(crate) fn search(place: &Place) -> Result<Search, SegmentError> {
    search_by(place, |generation| Segment::attach(place, generation))
}

/// Like [`search`], for callers that only look.
fn look_through(place: &Place) -> Result<Search, SegmentError> {
    search_by(place, |generation| Segment::look(place, generation, SegmentPart::Words))
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
            // A key belongs to a single segment, but there may be any number of
            // names.
            Err(error)
                if error.is_absent() || (place.backend == Backend::File && error.is_strange()) => {}
            Err(error) => {
                search.refused.get_or_insert(error);
            }
        }
    }
    Ok(search)
}

/// How many numbers are tried without listing the directory.
const QUICK: u64 = 16;

/// A segment of one of the next generations after `after`, if it has a living
/// owner that shows heartbeats: it is the current one, or its owner will find a
/// higher one and leave it. So a segment in use can be found without listing
/// the directory, which another user may have filled.
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
    // A missing file costs one system call.
    let there = numbers.filter(|&number| place.segment(number).symlink_metadata().is_ok());
    there.filter_map(|number| get(number).ok()).find(|segment| is_tended(segment))
}

/// What another user has put where a segment of the key could be, if it does
/// not block the key.
#[cfg(feature = "tend")]
pub(crate) fn stepped_over(place: &Place) -> Option<SegmentError> {
    place.backend.store().stepped_over(place)
}

/// The newest trusted live segment of a key: the current one.
///
/// # Errors
/// [`SegmentError`] if there is none; it says why a file that may be the segment can't be trusted
/// or read.
pub fn live(place: &Place) -> Result<Option<Arc<Segment>>, SegmentError> {
    living(search(place)?)
}

fn living(found: Search) -> Result<Option<Arc<Segment>>, SegmentError> {
    match (found.live, found.refused) {
        (None, Some(refused)) => Err(refused),
        (live, _) => Ok(live),
    }
}

/// The newest segment of a key, including retired ones, for callers that only look.
///
/// # Errors
/// [`SegmentError::NotFound`]; [`SegmentError::OtherVersion`] if there are only segments of other
/// layouts; and the errors of [`live`].
pub(crate) fn newest(place: &Place) -> Result<Arc<Segment>, SegmentError> {
    let attach = |generation| Segment::attach(place, generation);
    newest_by(place, attach, |generation, live| live.map_or_else(|| attach(generation), Ok))
}

/// Like [`newest`], for callers that look once: a snapshot that later changes do not affect.
/// Nothing is created, and an object that another user can truncate is not mapped.
///
/// # Errors
/// As [`newest`].
pub(crate) fn look(place: &Place) -> Result<Arc<Segment>, SegmentError> {
    let look = |part| move |generation| Segment::look(place, generation, part);
    let whole = look(SegmentPart::Whole);
    newest_by(place, look(SegmentPart::Words), |generation, _| whole(generation))
}

/// How often the segments are listed if all that were listed have disappeared. A segment that is
/// replaced disappears when its successor is there.
const LISTINGS: usize = 16;

/// Finds the newest segment with `search`, and gets it with `get`, which is given what `search`
/// returned if that segment is live.
fn newest_by(
    place: &Place,
    search: impl Fn(u64) -> Result<Arc<Segment>, SegmentError>,
    get: impl Fn(u64, Option<Arc<Segment>>) -> Result<Arc<Segment>, SegmentError>,
) -> Result<Arc<Segment>, SegmentError> {
    for _ in 0..LISTINGS {
        let mut listed = 1;
        let live = match quick_by(place, 0, &search) {
            Some(segment) => Some(segment),
            None => {
                let found = search_by(place, &search)?;
                listed = found.listed.len();
                living(found)?
            }
        };
        let all = match &live {
            Some(segment) => vec![segment.identity().generation],
            None => generations(place)?,
        };
        for &generation in &all {
            match get(generation, live.clone()) {
                // It has disappeared since the listing.
                Err(error) if error.is_absent() => {}
                other => return other,
            }
        }
        if listed == 0 && all.is_empty() {
            break;
        }
    }
    Err(elsewhere(place).unwrap_or_else(|| place.backend.store().not_found_error(place)))
}

/// Looks at one listed segment, whichever user it belongs to: for commands that show what is
/// there. As [`look`], without a search for a newer generation.
///
/// # Errors
/// [`SegmentError`], with a variant for each cause.
pub(crate) fn look_at_listed(
    directory: &Path,
    listed: &ListedSegment,
) -> Result<Arc<Segment>, SegmentError> {
    let creator = listed.at.shm_id().and_then(|id| shm_stat(id).ok()).map(|found| found.cuid);
    let place = Place {
        backend: listed.backend,
        directory: resolved(directory),
        owners: [listed.user].into_iter().chain(creator).collect(),
        ..Place::of_key(listed.key)
    };
    Segment::look(&place, listed.generation, SegmentPart::Whole)
}

/// Why a key's segment can't be found in this place: it is in the other backend.
pub(super) fn elsewhere(place: &Place) -> Option<SegmentError> {
    let others = Backend::ALL.into_iter().filter(|&backend| backend != place.backend);
    let of = |backend| Place { backend, ..place.clone() };
    let found =
        others.map(of).find(|other| look_through(other).is_ok_and(|it| it.live.is_some()))?;
    let (key, found, wanted) = (place.key, found.backend, place.backend);
    Some(SegmentError::OtherBackend { key, found, wanted })
}

/// Refuses to create a segment for a key that processes use in the other backend. This is checked
/// only before one is created, so two processes that start at the same moment with different
/// settings still create two: only the setting connects the two backends. A segment without
/// attached processes is ignored.
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

#[cfg(all(test, feature = "tend"))]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::map::Capacity;
    use crate::segment::{CreateOutcome, Ownership, create};

    /// The first segment is retired when it is found, and gone when it is attached; by then its
    /// successor is there.
    #[test]
    #[cfg_attr(miri, ignore = "it needs the system's locks")]
    fn h233_a_segment_that_is_replaced_under_a_reader_is_found_as_its_successor() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place { directory: folder.path().into(), ..Place::of_key(7) };
        let make = |generation| -> Box<Ownership> {
            match create(&place, generation, Capacity::DEFAULT, None).unwrap() {
                CreateOutcome::Owner(ownership) => ownership,
                CreateOutcome::Exists => panic!("there was one"),
            }
        };
        let mut first = make(1);
        first.retire().unwrap();
        drop(first);
        let next = RefCell::new(None);
        let search = |generation| Segment::attach(&place, generation);
        let get = |generation, _| {
            if next.borrow().is_none() {
                *next.borrow_mut() = Some(make(2));
                std::fs::remove_file(place.segment(1)).unwrap();
            }
            Segment::attach(&place, generation)
        };
        let found = newest_by(&place, search, get).unwrap();
        assert_eq!(found.identity().generation, 2);
        // Nothing is searched for without an end.
        let absent = |_, _| Err(place.backend.store().not_found_error(&place));
        assert!(newest_by(&place, search, absent).unwrap_err().is_absent());
    }
}
