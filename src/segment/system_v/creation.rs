//! The lock of a key's creator: says whether a half-made segment is being made.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags, fchmod, lstat};

use super::super::error::SegmentError;
use super::super::lock::{lock_mode, try_own};
use super::super::name::{Place, creation_path};
use crate::descriptor::{Kept, ObjectId};
use crate::layout::shm_stat;

/// How long another creator may hold the byte, by this process's own clock,
/// before it is taken for stopped. Making a segment takes less than a
/// millisecond.
const PATIENCE: Duration = Duration::from_secs(1);

/// While it lives, this process makes the segment of a key.
///
/// The lock file is named by the key (the segment's id is not known before) and
/// is there only while somebody makes one. Its byte belongs to the descriptor:
/// the kernel frees it when the creator dies. Like every lock it decides only
/// *when* something is done: a creator whose half-made segment was taken from it
/// finds that out, and begins anew.
#[derive(Debug)]
pub struct Creation {
    path: PathBuf,
    file: Kept,
    held: bool,
}

impl Creation {
    /// Takes the byte, waiting for another creator at most for a second; one
    /// that was stopped stops nobody.
    ///
    /// # Errors
    /// [`SegmentError::Io`] if there can be no lock file.
    pub fn begin(place: &Place) -> Result<Creation, SegmentError> {
        let begun = Instant::now();
        let path = creation_path(&place.directory, place.key);
        loop {
            let action = || SegmentError::io("lock", &path);
            let (file, held) = open(&path, place.mode).map_err(action())?;
            // Its last holder may just have removed it.
            if held && !is_at(&path, &file) {
                continue;
            }
            if held || begun.elapsed() >= PATIENCE {
                return Ok(Creation { path, file, held });
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether a half-made segment is nobody's work: the byte is this
    /// process's, and nobody has it mapped; or its creator is stopped.
    pub fn is_abandoned(&self, id: i32) -> bool {
        !self.held || shm_stat(id).is_ok_and(|found| found.mappings == 0)
    }
}

fn open(path: &Path, mode: u32) -> io::Result<(Kept, bool)> {
    // As the segment's lock file: a process that may only read holds no maker up.
    let mode = Mode::from_raw_mode(lock_mode(mode));
    // What is there may be another user's, who has left it: Linux does not let that
    // be made in a sticky directory (`fs.protected_regular`).
    let file = match Kept::open(path, OFlags::RDWR, Mode::empty()) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Kept::open(path, OFlags::RDWR | OFlags::CREATE, mode)?
        }
        other => other?,
    };
    // Whatever the umask; only its owner may, and has.
    let _ = fchmod(file.get()?, mode);
    let held = try_own(file.get()?)?;
    Ok((file, held))
}

fn open_existing(path: &Path) -> io::Result<(Kept, bool)> {
    let file = Kept::open(path, OFlags::RDWR, Mode::empty())?;
    let held = file.get().and_then(try_own).unwrap_or(false);
    Ok((file, held))
}

fn is_at(path: &Path, file: &Kept) -> bool {
    lstat(path).is_ok_and(|named| ObjectId::of(&named) == file.id())
}

impl Drop for Creation {
    fn drop(&mut self) {
        if self.held && is_at(&self.path, &self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether somebody makes a segment of the key.
pub fn is_going_on(place: &Place) -> bool {
    let path = creation_path(&place.directory, place.key);
    open_existing(&path).is_ok_and(|(_, held)| !held)
}

/// Removes the lock file that a dead creator left.
pub fn sweep(place: &Place) -> Option<PathBuf> {
    let path = creation_path(&place.directory, place.key);
    let (file, held) = open_existing(&path).ok()?;
    // Dropped, it removes what it holds.
    let creation = Creation { path: path.clone(), file, held };
    drop(creation);
    held.then_some(path)
}
