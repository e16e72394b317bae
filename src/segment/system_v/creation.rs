//! The lock of a key's creator: determines whether a half-created segment is
//! still being created.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::lstat;

use crate::descriptor::{FileId, KeptDescriptor};
use crate::layout::shm_stat;
use crate::segment::lock::{lock_mode, open_or_create, try_own};
use crate::segment::name::{Place, creation_path};
use crate::segment::trust::Trusted;

/// How long another creator may hold the byte, by this process's own clock,
/// before it is considered stopped. Creating a segment takes less than a
/// millisecond.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long a segment may remain half-created if there is no lock. It must be
/// shorter than the time for which others wait.
const UNLOCKED_PATIENCE: Duration = Duration::from_millis(200);

/// While it exists, this process is creating the segment of a key.
///
/// The lock file is named by the key (the segment's id is not known before) and
/// exists only while a process creates one. Its byte lock belongs to the
/// descriptor: the kernel frees it when the creator dies. Like every lock it
/// only determines *when* something is done: a creator whose half-created
/// segment was taken away detects that, and starts again. So if there can be no
/// such lock file, because an untrusted user's file has its name or this
/// process may not open the file, a half-created segment counts as in progress
/// for a moment, and as abandoned after it.
#[derive(Debug)]
pub struct Creation {
    path: PathBuf,
    /// `None` if there can be no lock file.
    file: Option<KeptDescriptor>,
    held: bool,
    begun: Instant,
}

impl Creation {
    /// Locks the byte, and waits at most a second for another creator; a
    /// stopped creator blocks no other.
    pub fn begin(place: &Place) -> Creation {
        let begun = Instant::now();
        let path = creation_path(&place.directory, place.key);
        loop {
            let Ok((file, held)) = open(&path, place) else {
                return Creation { path, file: None, held: false, begun };
            };
            let patient = begun.elapsed() < PATIENCE;
            // Its last holder may just have removed it.
            if held && patient && !is_at(&path, &file) {
                continue;
            }
            if held || !patient {
                return Creation { path, file: Some(file), held, begun };
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether a half-created segment is abandoned: this process holds the byte
    /// and no process has the segment mapped, or its creator is stopped.
    pub fn is_abandoned(&self, id: i32) -> bool {
        match (&self.file, self.held) {
            (None, _) => self.begun.elapsed() >= UNLOCKED_PATIENCE,
            (Some(_), false) => true,
            (Some(_), true) => shm_stat(id).is_ok_and(|found| found.mappings == 0),
        }
    }
}

/// Opened like the segment's lock file: a process that may only read does not
/// delay a creator.
fn open(path: &Path, place: &Place) -> io::Result<(KeptDescriptor, bool)> {
    let trusted = Trusted::with(&place.owners);
    let opened = open_or_create(path, lock_mode(place.mode), &trusted)?;
    let file = opened.file.filter(|_| opened.writable);
    let file = file.ok_or(io::ErrorKind::PermissionDenied)?;
    let held = try_own(file.get()?)?;
    Ok((file, held))
}

fn open_existing(path: &Path, place: &Place) -> io::Result<(KeptDescriptor, bool)> {
    let opened = crate::segment::lock::open_existing(path, &Trusted::with(&place.owners))?;
    let file = opened.file.filter(|_| opened.writable);
    let file = file.ok_or(io::ErrorKind::PermissionDenied)?;
    let held = file.get().and_then(try_own).unwrap_or(false);
    Ok((file, held))
}

fn is_at(path: &Path, file: &KeptDescriptor) -> bool {
    lstat(path).is_ok_and(|named| FileId::of(&named) == file.id())
}

impl Drop for Creation {
    fn drop(&mut self) {
        let Some(file) = self.file.as_ref().filter(|_| self.held) else { return };
        if is_at(&self.path, file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Whether a process is creating a segment of the key.
pub fn is_going_on(place: &Place) -> bool {
    let path = creation_path(&place.directory, place.key);
    open_existing(&path, place).is_ok_and(|(_, held)| !held)
}

/// Removes the lock file that a dead creator left.
pub fn sweep(place: &Place) -> Option<PathBuf> {
    let path = creation_path(&place.directory, place.key);
    let (file, held) = open_existing(&path, place).ok()?;
    // Dropping it removes what it holds.
    let begun = Instant::now();
    drop(Creation { path: path.clone(), file: Some(file), held, begun });
    held.then_some(path)
}
