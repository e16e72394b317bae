//! Removing segments and lock files.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::attachment::Segment;
use super::backend::{Backend, SegmentPart};
use super::candidate::{Candidate, OwnerState};
#[cfg(feature = "tend")]
use super::directory::generations;
use super::directory::{elsewhere, segments};
use super::error::SegmentError;
use super::foreign;
use super::fs::files;
#[cfg(feature = "tend")]
use super::fs::unlink;
use super::listed::ListedSegment;
use super::location::Location;
use super::lock::{self, LockFile, byte_of};
use super::name::{Place, resolved};
use super::trust::Trusted;
use super::wait::wake;
use crate::layout::LAYOUT_VERSION;
use crate::protocol::{CONTENTION, Term, raise_event, retire};

/// Removes every segment of a key, in any layout, and their lock files, like `ipcrm -M`; returns
/// what was removed.
///
/// Whether a segment of another layout is in use is determined by what all layouts have in
/// common: its processes hold locks, or have it mapped according to the kernel.
///
/// A segment is retired first, which its processes see at once. That does not apply to a file
/// that the place does not trust (another user's, or one that its group may write): it is not
/// mapped, because another user could truncate it at that moment. It only loses its name, which
/// its owner, or its next one, sees at its next check.
///
/// ```
/// use tendmap::segment::{Place, SegmentError, remove};
///
/// # let directory = tempfile::tempdir()?;
/// let place = Place::of_key(0xA700_0001);
/// # let place = Place { directory: directory.path().into(), ..place };
/// match remove(&place, false) {
///     Ok(removed) => removed.iter().for_each(|at| println!("removed {at}")),
///     Err(SegmentError::NotFound { .. }) => println!("nothing to remove"),
///     Err(error) => return Err(error.into()), // in use, or not permitted
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`SegmentError::InUse`] if a process is attached and `force` is not given, or an error that
/// says why that can't be determined; [`SegmentError::NotFound`].
pub fn remove(place: &Place, force: bool) -> Result<Vec<Location>, SegmentError> {
    let place = &Place { directory: resolved(&place.directory), ..place.clone() };
    let store = place.backend.store();
    let mut listed = segments(&place.directory, place.backend)?;
    // A file that another user has put there, and that this process may not
    // remove, does not prevent the removal.
    let trusted = Trusted::with(&place.owners);
    listed.retain(|found| {
        found.key == place.key && (trusted.may_have(found.user) || may_unlink(found))
    });
    listed.sort_by_key(|found| (found.key, found.layout_version, found.generation));
    if !force {
        if let Some(used) = listed.iter().find(|found| found.attached.unwrap_or(0) > 0) {
            let (at, attached) = (used.at.clone(), used.attached.unwrap_or(0));
            return Err(SegmentError::InUse { at, attached });
        }
        let untold = |found: &&ListedSegment| found.attached.is_none() && found.bytes > 0;
        if let Some(other) = listed.iter().find(untold) {
            // The processes attached to a damaged or unreadable segment can't
            // be counted: removing it requires `force`.
            return Err(store.unknown_attachments_error(other));
        }
    }
    let mut removed = Vec::new();
    for found in &listed {
        let others = found.layout_version != LAYOUT_VERSION;
        // The users do not matter here, because the system decides which of
        // them may remove it. But only an object that no other user can
        // truncate is mapped.
        let mut place = place.clone();
        if found.backend == Backend::SystemV {
            place.owners.push(found.user);
        }
        let attached = (!others).then(|| Segment::attach(&place, found.generation));
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
            // Another process was faster. (A half-created segment counts as
            // absent for processes that attach, but it exists.)
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
                    let _ = lock::remove(&lock, &Trusted::with(&[found.user]));
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
        return Err(elsewhere(place).unwrap_or_else(|| store.not_found_error(place)));
    }
    Ok(removed)
}

/// Removes what is left of a key beside its segment: segments of other layouts and of generations
/// below the live one that no process uses, and their lock files. The newest segment of this
/// layout stays, whether a process uses it or not. One that can't be removed, such as a directory
/// that another user has put there, does not prevent the removal of others.
///
/// # Errors
/// [`SegmentError`] if the directory can't be read.
#[cfg(feature = "tend")]
pub fn remove_leftovers(place: &Place) -> Result<Leftovers, SegmentError> {
    let place = &Place { directory: resolved(&place.directory), ..place.clone() };
    let trusted = Trusted::with(&place.owners);
    let mut listed = segments(&place.directory, place.backend)?;
    listed.retain(|found| {
        found.key == place.key && (trusted.may_have(found.user) || may_unlink(found))
    });
    listed.sort_by_key(|found| (found.layout_version, found.generation));
    let mut left = Leftovers::default();
    for found in listed.iter().filter(|found| found.layout_version != LAYOUT_VERSION) {
        if found.attached != Some(0) {
            left.kept.push((found.at.clone(), Kept::InUse(found.attached)));
            continue;
        }
        match place.backend.store().discard(found) {
            Err(error) if error.is_absent() => {}
            Err(error) => left.kept.push((found.at.clone(), Kept::Failed(error))),
            Ok(()) => {
                left.removed.push(found.at.clone());
                let locks = foreign::sweep(found, &place.directory)?;
                left.removed.extend(locks.into_iter().map(Location::from));
            }
        }
    }
    let mut lives = false;
    for generation in generations(place)? {
        let this = |found: &&ListedSegment| {
            (found.layout_version, found.generation) == (LAYOUT_VERSION, generation)
        };
        let Some(at) = listed.iter().find(this).map(|found| found.at.clone()) else { continue };
        let attached = match Segment::attach(place, generation) {
            Ok(segment) if lives => match segment.attached() {
                Ok(0) => retire_and_unlink_unused(&segment).map(Some),
                other => other.map(Some),
            },
            // What is above the live one may become it.
            Ok(segment) => {
                lives = !segment.head().retired();
                continue;
            }
            Err(
                SegmentError::Header { .. }
                | SegmentError::OtherKey { .. }
                | SegmentError::OtherGeneration { .. },
            ) if lives => Ok(discard_unused(&at).then_some(0)),
            Err(error) if lives && !error.is_absent() => Err(error),
            Err(_) => continue,
        };
        match attached {
            Ok(Some(0)) => left.removed.push(at),
            Ok(attached) => left.kept.push((at, Kept::InUse(attached))),
            Err(error) => left.kept.push((at, Kept::Failed(error))),
        }
    }
    left.removed.extend(sweep_locks(place)?.into_iter().map(Location::from));
    Ok(left)
}

/// What [`remove_leftovers`] found.
#[cfg(feature = "tend")]
#[derive(Debug, Default)]
pub struct Leftovers {
    /// What it removed.
    pub removed: Vec<Location>,
    /// What it did not remove.
    pub kept: Vec<(Location, Kept)>,
}

/// Why it is still there.
#[cfg(feature = "tend")]
#[derive(Debug)]
pub enum Kept {
    /// So many processes are attached; `None` if they can't be counted.
    InUse(Option<usize>),
    /// It can't be removed.
    Failed(SegmentError),
}

/// Whether this process may unlink what was listed.
fn may_unlink(found: &ListedSegment) -> bool {
    let user = rustix::process::geteuid().as_raw();
    let Some(directory) = found.at.path().and_then(Path::parent) else { return true };
    let sticky =
        fs::metadata(directory).is_ok_and(|at| at.mode() & 0o1000 != 0 && at.uid() != user);
    user == 0 || user == found.user || !sticky
}

/// The lock file of a listed segment that is not attached, if no process holds
/// a lock on it: a process that does notices that the segment has lost its
/// name, and removes the lock file.
fn idle_lock(found: &ListedSegment, place: &Place) -> Option<PathBuf> {
    let place = Place { owners: vec![found.user], ..place.clone() };
    let segment = Segment::look(&place, found.generation, SegmentPart::Words).ok()?;
    let idle = !matches!(Candidate::look(&segment), Ok(OwnerState::Alive) | Err(_))
        && segment.attached().is_ok_and(|attached| attached == 0);
    segment.lock().filter(|_| idle).map(|lock| lock.path().to_path_buf())
}

/// Retires a segment, wakes all waiting processes, and removes its name and its
/// lock file.
pub(crate) fn retire_and_unlink(segment: &Arc<Segment>) -> Result<(), SegmentError> {
    if !retire_now(segment)? {
        return Ok(());
    }
    unlink_with_lock(segment)
}

/// Like [`retire_and_unlink`], for a segment to which no process was attached;
/// returns how many are attached by now, in which case it keeps its name and
/// they build a successor.
///
/// A process that attaches marks itself first and then checks the head: either
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

/// Retires a segment and wakes all waiting processes; `false` if its name no
/// longer leads to it.
fn retire_now(segment: &Arc<Segment>) -> Result<bool, SegmentError> {
    match segment.open_writer() {
        Ok(writer) => {
            // Owners change the head at most some twenty times a second. If a
            // process keeps storing to it, the segment's users find out by
            // themselves.
            for _ in 0..CONTENTION {
                let head = segment.head();
                if head.retired() || retire(writer.head(), head).is_ok() {
                    break;
                }
            }
            raise_event(writer.event(), segment.head());
            wake(writer.event(), None);
            wake(writer.head(), None);
        }
        // The name no longer leads to it: another process was faster.
        Err(error) if error.is_absent() => return Ok(false),
        Err(error) => return Err(error),
    }
    Ok(true)
}

/// Removes the name and the lock file of a segment that is retired, or that
/// never had an owner.
pub(super) fn unlink_with_lock(segment: &Segment) -> Result<(), SegmentError> {
    if segment.is_at_name() {
        segment.unlink()?;
    }
    segment
        .lock()
        .map_or(Ok(()), |lock| lock.remove().map_err(SegmentError::io("remove", lock.path())))
}

/// Removes retired segments of a key, except the newest, and lock files that
/// dead creators left; never one that is locked, nor one that belongs to a
/// segment. Returns whether all of them are gone.
///
/// A segment that has lost its name and is found by its lock file keeps the
/// lock file until no process is attached to it: if all newer segments
/// disappear with the processes that had them mapped, its map is the newest one
/// left.
///
/// Below a live segment, and below the caller's, other unattached segments are
/// removed, too. Their owners have left them. If they do not look retired, or
/// not like segments at all, a process has written to them since, which could
/// happen to every later one as well, including the caller's.
#[cfg(feature = "tend")]
pub(crate) fn sweep(place: &Place, own: &Segment) -> Result<bool, SegmentError> {
    let (mut all, mut swept, mut lives) = (true, Ok(()), false);
    // Numbers start again after a removal.
    let own = own.is_found().then(|| own.identity().generation);
    for (older, generation) in generations(place)?.into_iter().enumerate() {
        lives |= own.is_some_and(|own| generation < own);
        match Segment::attach(place, generation) {
            Ok(segment) if segment.head().retired() => {
                if older == 0 {
                    continue;
                }
                if !segment.is_at_name() && segment.attached()? > 0 {
                    all = false;
                    continue;
                }
                // A segment that can't be removed, such as another user's, does
                // not prevent the removal of others.
                swept = swept.and(retire_and_unlink(&segment));
            }
            Ok(segment) if lives => match segment.attached()? {
                0 => swept = swept.and(retire_and_unlink_unused(&segment).map(drop)),
                _ => all = false,
            },
            Ok(_) => lives = true,
            // Like any that is newer than the live one, it may be the wanted one.
            Err(
                SegmentError::Header { at, .. }
                | SegmentError::OtherKey { at, .. }
                | SegmentError::OtherGeneration { at, .. },
            ) if lives => {
                all &= discard_unused(&at);
            }
            Err(_) => {}
        }
    }
    swept.and(sweep_locks(place)).map(|_| all)
}

/// Removes a file that was a segment's, unless a process holds a lock on it, as
/// all attached processes do. Returns whether it is gone.
#[cfg(feature = "tend")]
fn discard_unused(at: &Location) -> bool {
    let Some(path) = at.path() else { return true };
    match foreign::is_held(path) {
        Ok(held) => !held && unlink(path).is_ok(),
        // What can't be read is not tried again.
        Err(_) => true,
    }
}

fn sweep_locks(place: &Place) -> Result<Vec<PathBuf>, SegmentError> {
    let store = place.backend.store();
    // The files first: what is created later is not looked at.
    let mut files = files(&place.directory)?;
    files.retain(|name| store.parse_lock(name).or_else(|| store.parse_marks(name)).is_some());
    let living = if files.is_empty() { BTreeSet::new() } else { store.living(place)? };
    let mut removed = store.sweep(place);
    let marks = files.iter().filter_map(|name| store.parse_marks(name));
    for (_, id) in marks.filter(|&(key, id)| key == place.key && !living.contains(&id)) {
        // Left by a creator that died before it created the lock file.
        let path = store.lock_path(&place.directory, place.key, id);
        removed.extend(lock::sweep_marks(&path, &place.owners));
    }
    for (key, id) in files.iter().filter_map(|name| store.parse_lock(name)) {
        if key != place.key || living.contains(&id) {
            continue;
        }
        let path = store.lock_path(&place.directory, key, id);
        // This process has it open if it is currently creating that segment:
        // leave it alone, and do not open it a second time.
        if super::registry::registry().lock(&path).is_some() {
            continue;
        }
        let lock = LockFile::existing(path.clone(), place.mode, &place.owners);
        let Ok(lock) = lock else { continue };
        // Locked, so that a creator that is about to lock it creates another one.
        if lock.is_open() && lock.try_lock(byte_of(Term::FIRST)).unwrap_or(false) {
            // The lock file comes last: the other one is found by its name.
            removed.extend(store.sweep_unlinked(place, id));
            if lock.remove().is_ok() {
                removed.push(path);
            }
        }
    }
    Ok(removed)
}
