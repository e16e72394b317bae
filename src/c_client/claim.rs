//! Which mirror of a key is active: the one that holds a byte of a lock file.
//!
//! The kernel frees the byte when its holder dies. Within a process the byte
//! excludes nobody, so that there is also a list of the files in use.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::layout::ForkLocal;
use crate::segment::{LockFile, Place, ProcessExit};

/// The byte of the active mirror.
const ACTIVE: u64 = 1;

/// The lock file of a key's mirrors.
pub fn path(directory: &Path, key: u32) -> PathBuf {
    directory.join(format!("tendmap-c-client-{key:08x}.lock"))
}

/// The lock files that mirrors of this process use.
fn in_use() -> MutexGuard<'static, Vec<PathBuf>> {
    static IN_USE: ForkLocal<Mutex<Vec<PathBuf>>> = ForkLocal::new();
    IN_USE.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// The result of looking for the lock.
#[derive(Debug)]
pub enum Claimed {
    /// This mirror is active.
    Active,
    /// Another mirror is; its process, if that is visible.
    Standby(Option<u32>),
}

/// A mirror's part in the lock file of its key. Dropping it frees the byte.
#[derive(Debug)]
pub struct Claim {
    path: PathBuf,
    mode: u32,
    owners: Vec<u32>,
    /// Open while no other mirror of this process has it.
    lock: Option<LockFile>,
    held: bool,
    /// The end of the active mirror's process.
    exit: Option<(u32, Option<ProcessExit>)>,
}

impl Claim {
    /// Nothing is opened yet.
    pub fn new(place: &Place, key: u32) -> Claim {
        let path = path(&place.directory, key);
        let (mode, owners) = (place.mode, place.owners.clone());
        Claim { path, mode, owners, lock: None, held: false, exit: None }
    }

    /// Whether this mirror is active now; tries to become so.
    ///
    /// # Errors
    /// The error of the system call, if the file can't be used.
    pub fn ask(&mut self) -> std::io::Result<Claimed> {
        if !self.open()? {
            return Ok(Claimed::Standby(Some(std::process::id())));
        }
        let Some(lock) = &self.lock else { return Ok(Claimed::Standby(None)) };
        // The name may lead to another file, or the host may have closed the
        // descriptor: then the byte is locked in the file that is used by all.
        lock.refresh()?;
        self.held = lock.try_lock(ACTIVE)?;
        if self.held {
            self.exit = None;
            return Ok(Claimed::Active);
        }
        let pid = lock.holder(ACTIVE).and_then(|pid| u32::try_from(pid).ok());
        if self.exit.as_ref().map(|(known, _)| *known) != pid {
            let exit = pid.map(|pid| (pid, ProcessExit::of(lock, ACTIVE)));
            self.exit = exit;
        }
        Ok(Claimed::Standby(pid))
    }

    /// Opens the file, unless another mirror of this process uses it; whether it
    /// is open.
    fn open(&mut self) -> std::io::Result<bool> {
        if self.lock.is_none() {
            let mut in_use = in_use();
            if in_use.contains(&self.path) {
                return Ok(false);
            }
            let lock = LockFile::open(self.path.clone(), self.mode, &self.owners)?;
            if !lock.is_writable() {
                return Err(std::io::ErrorKind::PermissionDenied.into());
            }
            in_use.push(self.path.clone());
            self.lock = Some(lock);
        }
        Ok(true)
    }

    /// The path of the lock file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The process for whose end a standby waits, if it can be waited for.
    pub fn exit(&self) -> Option<&ProcessExit> {
        self.exit.as_ref()?.1.as_ref()
    }

    /// Whether a mirror that held the byte before wrote that pid into that
    /// segment. Only for the active mirror.
    pub fn was_earlier(&self, shm_id: i32, pid: u32) -> bool {
        let note = self.lock.as_ref().and_then(LockFile::note);
        self.held && note == Some((shm_id as u64, u64::from(pid)))
    }

    /// Notes what this mirror writes into the segment, for the next one.
    pub fn note(&self, shm_id: i32, pid: u32) {
        if let Some(lock) = self.lock.as_ref().filter(|_| self.held) {
            lock.set_note(shm_id as u64, pid.into());
        }
    }

    /// Forgets the note: the segment is not this mirror's any more.
    pub fn forget(&self) {
        if let Some(lock) = self.lock.as_ref().filter(|_| self.held) {
            lock.set_note(u64::MAX, 0);
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if let Some(lock) = self.lock.take() {
            lock.unlock(ACTIVE);
            let mut in_use = in_use();
            drop(lock);
            in_use.retain(|path| *path != self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(directory: &Path) -> Place {
        Place { directory: directory.into(), ..Place::of_key(1) }
    }

    #[test]
    fn one_mirror_of_a_process_is_active_and_the_next_follows() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = Claim::new(&place(folder.path()), 7);
        let mut second = Claim::new(&place(folder.path()), 7);
        let mut other = Claim::new(&place(folder.path()), 8);
        assert!(matches!(first.ask(), Ok(Claimed::Active)));
        assert!(matches!(first.ask(), Ok(Claimed::Active)));
        assert!(matches!(second.ask(), Ok(Claimed::Standby(Some(_)))));
        assert!(matches!(other.ask(), Ok(Claimed::Active)));
        first.note(3, 4);
        assert!(first.was_earlier(3, 4) && !first.was_earlier(3, 5));
        assert!(!second.was_earlier(3, 4), "only the active one may judge");
        drop(first);
        assert!(matches!(second.ask(), Ok(Claimed::Active)));
        assert!(second.was_earlier(3, 4));
        second.forget();
        assert!(!second.was_earlier(3, 4));
    }
}
