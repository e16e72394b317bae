//! The lock file: one byte a term, one for the standby follower and one for the
//! reserve.
//!
//! The locks are of the per-process kind (F_SETLK): the kernel frees them the
//! moment the process dies, a zombie included, and a forked child does not
//! inherit them. They only ever say *when* somebody should take over.
//!
//! A process that may only read the segment may not even open its lock file: a
//! read lock of it would keep the write locks of all candidates off
//! ([`lock_mode`]). The marks of attached processes, which those have too, lie
//! elsewhere: in the segment's file or, for System V, in a file of marks. And a read
//! lock, whosever it is, never counts as an owner's.
//!
//! Closing any descriptor of the file drops all of the process's locks on it,
//! so that a process has one [`LockFile`] for each file, see `registry`.

mod bytes;
mod files;
mod marks;
mod open;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::registry::registry;
use super::whereabouts::{Whereabouts, whereabouts};
use crate::descriptor::{Kept, reopening};
use crate::layout::Lineage;
use crate::protocol::Term;
use crate::random::dice;
pub(super) use bytes::try_own;
use bytes::{flock, writer_of};
use files::marks_path;
pub(super) use files::{lock_mode, remove};
use marks::{MARKS, MARKS_END};
pub use marks::{attach, attached, detach};
pub(super) use marks::{is_locked, locks};
use open::{Handle, Opened, create, open_existing, open_or_create};

/// The byte of the follower that watches most closely.
pub const STANDBY: u64 = 1 << 20;
/// The byte of the follower that is there if the standby is not.
pub const RESERVE: u64 = STANDBY + 1;
/// The lock file of one segment; one in a process.
#[derive(Debug)]
pub struct LockFile {
    path: PathBuf,
    mode: u32,
    /// Exchanged when the name has come to lead to another file, and when the
    /// host has closed the descriptor. (Without a lock: a forked child could
    /// inherit it locked.)
    file: ArcSwap<Handle>,
    /// The bytes that this process holds: F_GETLK never shows them.
    own: Mutex<BTreeSet<u64>>,
    /// The process whose bytes those are.
    lineage: Lineage,
    /// Of a System V segment: where the marks are.
    marks: Option<Box<LockFile>>,
}

/// The byte of a term.
pub fn byte_of(term: Term) -> u64 {
    term.get().into()
}

impl LockFile {
    /// Makes the lock file of a new segment, and takes the first term's byte.
    ///
    /// # Errors
    /// What the system says; `AlreadyExists` if the name is taken.
    pub fn create(path: PathBuf, mode: u32) -> io::Result<LockFile> {
        // One that sweeps may find it before it is locked. It locks the byte
        // before it removes the file: then there is another try.
        for _ in 0..100 {
            let file = create(&path, lock_mode(mode))?;
            let lock = LockFile::first(&path, mode, file).inspect_err(|_| {
                let _ = remove(&path);
            })?;
            if lock.try_lock(byte_of(Term::FIRST))? && lock.whereabouts() == Whereabouts::Here {
                return Ok(lock);
            }
            // The one that sweeps has it, and is about to remove it.
            for _ in 0..100 {
                if lock.whereabouts() != Whereabouts::Here {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        Err(io::Error::other("a new lock file was removed again and again by another process"))
    }

    /// A new lock file, with its file of marks.
    fn first(path: &Path, mode: u32, file: Kept) -> io::Result<LockFile> {
        let marks = match marks_path(path) {
            None => None,
            Some(marks) => {
                let file = open_or_create(&marks, mode)?;
                Some(LockFile::of(marks, mode, file, None))
            }
        };
        Ok(LockFile::of(path.to_path_buf(), lock_mode(mode), (Some(file), true), marks))
    }

    /// Opens the lock file of a segment of that mode, as far as this process may,
    /// and makes it anew if it is gone.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: PathBuf, mode: u32) -> io::Result<LockFile> {
        let file = open_or_create(&path, lock_mode(mode))?;
        Ok(LockFile::with_marks(path, mode, file))
    }

    fn with_marks(path: PathBuf, mode: u32, file: Opened) -> LockFile {
        // Without it this process counts as attached to nobody; it is made again by
        // those that may.
        let opened = |marks: &Path| match file.1 {
            true => open_or_create(marks, mode),
            false => open_existing(marks),
        };
        let marks = marks_path(&path);
        let marks = marks.and_then(|path| opened(&path).ok().map(|file| (path, file)));
        let marks = marks.map(|(path, file)| LockFile::of(path, mode, file, None));
        LockFile::of(path, lock_mode(mode), file, marks)
    }

    fn of(path: PathBuf, mode: u32, file: Opened, marks: Option<LockFile>) -> LockFile {
        let file = ArcSwap::new(Handle::new(file, &path));
        let (marks, lineage) = (marks.map(Box::new), Lineage::current());
        LockFile { path, mode, file, own: Mutex::default(), lineage, marks }
    }

    /// The same in a forked child that may not open it: with the descriptor that
    /// it has inherited, and none of its parent's locks. `None` if that can't be
    /// had.
    pub(super) fn inherit(&self) -> Option<LockFile> {
        let handle = self.file.load_full();
        let marks = self.marks.as_ref().and_then(|marks| marks.inherit());
        let inherited = handle.file.is_some() && !handle.is_lost();
        inherited.then(|| LockFile {
            path: self.path.clone(),
            mode: self.mode,
            file: ArcSwap::new(handle),
            own: Mutex::default(),
            lineage: Lineage::current(),
            marks: marks.map(Box::new),
        })
    }

    /// Opens the lock file of a segment, as [`open`](Self::open), only if it is
    /// there.
    ///
    /// # Errors
    /// What the system says; `NotFound` if it is not there.
    pub fn existing(path: PathBuf, mode: u32) -> io::Result<LockFile> {
        let file = open_existing(&path)?;
        Ok(LockFile::with_marks(path, mode, file))
    }

    /// As [`existing`](Self::existing), for a look: no file of marks is made either.
    ///
    /// # Errors
    /// As [`existing`](Self::existing).
    pub(super) fn look(path: PathBuf, mode: u32) -> io::Result<LockFile> {
        let file = open_existing(&path)?;
        let marks = marks_path(&path);
        let marks = marks.and_then(|path| open_existing(&path).ok().map(|file| (path, file)));
        let marks = marks.map(|(path, file)| LockFile::of(path, mode, file, None));
        Ok(LockFile::of(path, lock_mode(mode), file, marks))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The open file: another one where the host has closed the descriptor, and
    /// all locks with it.
    fn handle(&self) -> io::Result<Arc<Handle>> {
        if self.lineage != Lineage::current() {
            // The child's own, so that no second one is ever closed.
            if let Some(own) = self.of_this_process() {
                return own.handle();
            }
        }
        let handle = self.file.load_full();
        if !handle.is_lost() {
            return Ok(handle);
        }
        let _alone = reopening();
        // Another thread may have been faster.
        let handle = self.file.load_full();
        match handle.is_lost() {
            false => Ok(handle),
            true => self.another(),
        }
    }

    /// A forked child's own lock file, if this one is its parent's.
    fn of_this_process(&self) -> Option<Arc<LockFile>> {
        let own = registry().lock(&self.path);
        own.filter(|own| own.lineage == Lineage::current())
    }

    /// Opens what the name leads to, and takes the bytes there that this process
    /// held, those that are still to be had. One thread at a time.
    fn another(&self) -> io::Result<Arc<Handle>> {
        let fresh = Handle::new(open_or_create(&self.path, self.mode)?, &self.path);
        let file = fresh.file()?;
        if self.lineage == Lineage::current() {
            self.with_own(|own| {
                own.retain(|&byte| {
                    let kind = if byte < MARKS { libc::F_WRLCK } else { libc::F_RDLCK };
                    fcntl(file, FcntlArg::F_SETLK(&flock(kind, byte, 1))).is_ok()
                });
            });
            self.file.store(fresh.clone());
        }
        Ok(fresh)
    }

    /// Whether this process may look at the locks.
    pub fn is_open(&self) -> bool {
        self.file.load().file.is_some()
    }

    /// Whether this process may take bytes, and so become owner.
    pub fn is_writable(&self) -> bool {
        self.file.load().writable
    }

    /// Takes a byte, without waiting; whether it is this process's now. A byte
    /// that is already this process's stays so.
    ///
    /// # Errors
    /// What the system says, but for a byte that is held by another process.
    pub fn try_lock(&self, byte: u64) -> io::Result<bool> {
        let handle = self.handle()?;
        if !handle.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        match fcntl(handle.file()?, FcntlArg::F_SETLK(&flock(libc::F_WRLCK, byte, 1))) {
            Ok(_) => {
                self.with_own(|own| own.insert(byte));
                Ok(true)
            }
            Err(nix::errno::Errno::EACCES | nix::errno::Errno::EAGAIN) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Frees a byte; one that is not held stays so.
    pub fn unlock(&self, byte: u64) {
        if let Some(marks) = self.marks.as_ref().filter(|_| byte >= MARKS) {
            return marks.unlock(byte);
        }
        self.with_own(|own| own.remove(&byte));
        let handle = self.file.load_full();
        // Freeing can't fail in a way that is of any use to know: what is left
        // is freed with the process. Where the host has closed the descriptor it
        // has freed everything.
        if let Ok(file) = handle.file() {
            let _ = fcntl(file, FcntlArg::F_SETLK(&flock(libc::F_UNLCK, byte, 1)));
        }
    }

    /// Whether another process holds a byte, by a write lock. This process's own
    /// locks never show.
    ///
    /// # Errors
    /// What the system says.
    pub fn held_by_other(&self, byte: u64) -> io::Result<bool> {
        let handle = self.handle()?;
        writer_of(handle.file()?, byte).map(|found| found.is_some())
    }

    /// The pid of the other process that holds a byte, as this process sees it;
    /// `None` if nobody does or it can't be told.
    pub fn holder(&self, byte: u64) -> Option<i32> {
        let handle = self.handle().ok()?;
        let found = writer_of(handle.file().ok()?, byte).ok().flatten()?;
        // A process of a pid namespace that can't be seen from here has none.
        (found.l_pid > 0).then_some(found.l_pid)
    }

    /// Whether any process holds a byte, this one included.
    ///
    /// # Errors
    /// What the system says.
    pub fn held(&self, byte: u64) -> io::Result<bool> {
        Ok(self.with_own(|own| own.contains(&byte)) || self.held_by_other(byte)?)
    }

    /// Takes a random byte as a mark, which [`unlock`](Self::unlock) takes back.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn mark(&self) -> io::Result<u64> {
        if let Some(marks) = &self.marks {
            return marks.mark();
        }
        let byte = dice().u64(MARKS..MARKS_END);
        // A read lock: who may only look can take it too.
        let handle = self.handle()?;
        fcntl(handle.file()?, FcntlArg::F_SETLK(&flock(libc::F_RDLCK, byte, 1)))?;
        self.with_own(|own| own.insert(byte));
        Ok(byte)
    }

    /// How many marks there are, this process's included.
    ///
    /// # Errors
    /// What the system says.
    pub(super) fn marks(&self) -> io::Result<usize> {
        if self.lineage != Lineage::current() {
            // What this process itself holds never shows: its own file knows.
            if let Some(own) = self.of_this_process() {
                return own.marks();
            }
        }
        if let Some(marks) = &self.marks {
            return marks.marks();
        }
        if !self.is_open() {
            return Ok(0);
        }
        let handle = self.handle()?;
        let own = self.with_own(|own| own.range(MARKS..MARKS_END).count());
        Ok(own + attached(handle.file()?)?)
    }

    /// What this process holds.
    ///
    /// A forked child has inherited none of its parent's locks. What it holds is
    /// known to the lock file that it has opened itself, if it has.
    fn with_own<T>(&self, f: impl FnOnce(&mut BTreeSet<u64>) -> T) -> T {
        if self.lineage == Lineage::current() {
            return f(&mut self.own.lock().unwrap_or_else(PoisonError::into_inner));
        }
        match self.of_this_process() {
            Some(own) => own.with_own(f),
            None => f(&mut BTreeSet::new()),
        }
    }

    /// Where it is.
    pub(super) fn whereabouts(&self) -> Whereabouts {
        let handle = self.file.load_full();
        match &handle.file {
            Some(file) => whereabouts(&self.path, handle.directory, file),
            // Which one it is can't be told.
            None if self.path.symlink_metadata().is_ok() => Whereabouts::Here,
            None => Whereabouts::Gone,
        }
    }

    /// Opens whatever the name leads to now, if that is another file or the host
    /// has closed the descriptor. Locks held so far are taken there, too, where
    /// they are to be had. What is only not to be seen from here stays in use.
    ///
    /// # Errors
    /// What the system says.
    pub fn refresh(&self) -> io::Result<bool> {
        if let Some(marks) = &self.marks {
            // One that is lost lets the last but one to close retire a segment that
            // is in use: others then begin anew in another one, no more.
            let _ = marks.refresh();
        }
        if !self.is_open() {
            // It may be opened by now.
            if let (Ok(opened @ (Some(_), _)), true) =
                (open_existing(&self.path), self.lineage == Lineage::current())
            {
                self.file.store(Handle::new(opened, &self.path));
            }
            return Ok(false);
        }
        let stays = || !self.file.load().is_lost() && self.whereabouts() != Whereabouts::Gone;
        if stays() || self.lineage != Lineage::current() {
            return Ok(false);
        }
        let _alone = reopening();
        let stays = stays();
        if !stays {
            self.another()?;
        }
        Ok(!stays)
    }
}

#[cfg(test)]
mod tests {
    use super::bytes::set;
    use super::*;

    #[test]
    fn h87_only_a_write_lock_counts_as_an_owners() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tendmap-00000001-v3-0000000000000001.lock");
        let lock = LockFile::open(path.clone(), 0o640).unwrap();
        let other = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        set(&other, libc::F_RDLCK, 0, 0);
        assert!(!lock.held_by_other(7).unwrap() && lock.holder(7).is_none());
        set(&other, libc::F_WRLCK, 7, 1);
        assert!(lock.held_by_other(7).unwrap() && !lock.held_by_other(8).unwrap());
    }
}
