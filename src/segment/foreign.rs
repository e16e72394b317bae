//! Segments of other layout versions: whether a process uses one, and what
//! remains of it.
//!
//! The content of such a segment can't be interpreted. Its name, and those of
//! its lock files, have the same form as in this layout, and its processes hold
//! locks on one or the other: whatever a lock means, a process that holds one
//! uses the segment.

use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::error::SegmentError;
use super::fs::files;
use super::listed::ListedSegment;
use super::lock::{self, is_locked, locks, most};
use super::name::foreign_lock;
use super::trust::Trusted;
use crate::descriptor::KeptDescriptor;

/// How many processes use it, as far as locks show: at least one if there is any.
///
/// # Errors
/// [`SegmentError::Io`] if a file may not be read.
pub fn attached(directory: &Path, found: &ListedSegment) -> Result<usize, SegmentError> {
    let mut attached = 0;
    if let Some(path) = found.at.path() {
        let file = open(path)?;
        let action = SegmentError::io("look at the locks of", path);
        attached = file.get().and_then(|file| locks(file, most(found.user))).map_err(action)?;
    }
    for path in lock_files(directory, found)? {
        let action = SegmentError::io("look at the locks of", &path);
        let held = match open(&path) {
            Err(error) if error.is_absent() => false,
            other => other?.get().and_then(is_locked).map_err(action)?,
        };
        attached = attached.max(usize::from(held));
    }
    Ok(attached)
}

/// Whether a process holds a lock on a file.
///
/// # Errors
/// [`SegmentError::Io`] if the file may not be read.
#[cfg(feature = "tend")]
pub fn is_held(path: &Path) -> Result<bool, SegmentError> {
    let action = SegmentError::io("look at the locks of", path);
    open(path)?.get().and_then(is_locked).map_err(action)
}

/// Removes the lock files of a segment that was removed, except those that are locked.
///
/// # Errors
/// [`SegmentError::Io`] if the directory can't be read.
pub fn sweep(found: &ListedSegment, directory: &Path) -> Result<Vec<PathBuf>, SegmentError> {
    let mut swept = lock_files(directory, found)?;
    swept.retain(|path| {
        let held =
            open(path).ok().is_none_or(|file| file.get().and_then(is_locked).unwrap_or(true));
        !held && lock::remove(path, &Trusted::with(&[])).is_ok()
    });
    Ok(swept)
}

/// The lock files of that key, layout and backend; it can't be determined which
/// of them belongs to which segment.
fn lock_files(directory: &Path, found: &ListedSegment) -> Result<Vec<PathBuf>, SegmentError> {
    let wanted = (found.backend, found.key, found.layout_version);
    let named = |name: &String| foreign_lock(name) == Some(wanted);
    let files = files(directory)?.into_iter().filter(named);
    Ok(files.map(|name| directory.join(name)).collect())
}

fn open(path: &Path) -> Result<KeptDescriptor, SegmentError> {
    KeptDescriptor::open(path, OFlags::RDONLY, Mode::empty())
        .map_err(SegmentError::io("open", path))
}
