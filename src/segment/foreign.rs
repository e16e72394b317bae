//! Segments of other layout versions: whether a process holds one, and what is
//! left of it.
//!
//! Nothing in such a segment can be relied on. Its name is as in this layout, so
//! are those of its lock files, and its processes hold locks on one or the other:
//! whatever they mean, who holds one uses the segment.

use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

use super::directory::{Listed, files};
use super::error::SegmentError;
use super::lock::{self, is_locked, locks, most};
use super::name::foreign_lock;
use super::trust::Trusted;
use crate::descriptor::Kept;

/// How many processes hold it, as far as locks tell: at least one if there is
/// any.
///
/// # Errors
/// [`SegmentError::Io`] if a file may not be looked at.
pub fn attached(directory: &Path, found: &Listed) -> Result<usize, SegmentError> {
    let mut attached = 0;
    if let Some(path) = found.at.path() {
        let file = open(path)?;
        let action = SegmentError::io("look at the locks of", path);
        attached = file.get().and_then(|file| locks(file, most(found.owner))).map_err(action)?;
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

/// Whether somebody holds a lock on a file.
///
/// # Errors
/// [`SegmentError::Io`] if it may not be looked at.
#[cfg(feature = "tend")]
pub fn is_held(path: &Path) -> Result<bool, SegmentError> {
    let action = SegmentError::io("look at the locks of", path);
    open(path)?.get().and_then(is_locked).map_err(action)
}

/// Removes the lock files of a segment that was removed, but for those that are
/// held.
///
/// # Errors
/// [`SegmentError::Io`] if the directory can't be read.
pub fn sweep(found: &Listed, directory: &Path) -> Result<Vec<PathBuf>, SegmentError> {
    let mut swept = lock_files(directory, found)?;
    swept.retain(|path| {
        let held =
            open(path).ok().is_none_or(|file| file.get().and_then(is_locked).unwrap_or(true));
        !held && lock::remove(path, &Trusted::with(&[])).is_ok()
    });
    Ok(swept)
}

/// Of that key, layout and backend; which of them is whose can't be told.
fn lock_files(directory: &Path, found: &Listed) -> Result<Vec<PathBuf>, SegmentError> {
    let wanted = (found.backend, found.name.key, found.name.layout_version);
    let named = |name: &String| foreign_lock(name) == Some(wanted);
    let files = files(directory)?.into_iter().filter(named);
    Ok(files.map(|name| directory.join(name)).collect())
}

fn open(path: &Path) -> Result<Kept, SegmentError> {
    Kept::open(path, OFlags::RDONLY, Mode::empty()).map_err(SegmentError::io("open", path))
}
