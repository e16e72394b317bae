//! The lock file: one byte per term, one for the standby and one for the
//! reserve.
//!
//! The locks are of the per-process kind (F_SETLK): the kernel frees them the
//! moment the process dies, a zombie included, and a forked child does not
//! inherit them. They only ever determine *when* a process should take over.
//!
//! A process that may only read the segment may not even open its lock file: a
//! read lock on it would block the write locks of all candidates
//! ([`lock_mode`]). The marks of attached processes, which readers have too,
//! are elsewhere: in the segment's file or, for System V, in a file of marks. A
//! read lock of any process never counts as an owner's.
//!
//! Closing any descriptor of the file drops all of the process's locks on it,
//! so that a process has one [`LockFile`] for each file, see `registry`.

mod bytes;
mod files;
mod marks;
#[cfg(feature = "c-client")]
mod note;
mod open;
mod refresh;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
#[cfg(feature = "tend")]
use rustix::fs::Stat;

#[cfg(feature = "tend")]
use super::error::SegmentError;
use super::trust::Trusted;
use super::whereabouts::{Whereabouts, whereabouts};
use crate::layout::Lineage;
use crate::protocol::Term;
use crate::random::rng;
pub(super) use bytes::try_own;
use bytes::{flock, writer_of};
use files::marks_path;
pub(super) use files::{lock_mode, remove, sweep_marks};
use marks::{MARKS, MARKS_END};
pub use marks::{attach, attached, detach};
pub(super) use marks::{is_locked, locks, most};
use open::{LockHandle, OpenOutcome, create};
#[cfg(feature = "tend")]
use open::{found_at, may_be_lock_file};
pub(super) use open::{open_existing, open_or_create};

/// The byte of the standby.
pub const STANDBY: u64 = 1 << 20;
/// The byte of the reserve, which acts if the standby does not.
pub const RESERVE: u64 = STANDBY + 1;
/// How often a creator makes its lock file again that another process has
/// removed before it was in use.
const CREATIONS: usize = 16;

/// The lock file of one segment; there is one per process.
#[derive(Debug)]
pub struct LockFile {
    path: PathBuf,
    mode: u32,
    /// Users besides the effective one and root whose lock files are trusted.
    owners: Vec<u32>,
    /// Replaced when the name leads to another file, and when the host has
    /// closed the descriptor. (Not a lock, which a forked child could inherit
    /// in locked state.)
    file: ArcSwap<LockHandle>,
    /// Whether a file that is not a lock file had its name at the last check.
    occupied: AtomicBool,
    /// The bytes that this process holds, which F_GETLK never reports.
    own: Mutex<BTreeSet<u64>>,
    /// The process that holds those bytes.
    lineage: Lineage,
    /// For a System V segment: the file of marks.
    marks: Option<Box<LockFile>>,
}

/// The byte of a term.
pub fn byte_of(term: Term) -> u64 {
    term.get().into()
}

impl LockFile {
    /// Creates the lock file of a new segment, and locks the first term's byte. Beside a process
    /// that removes every such file at once, it returns one without a name, which
    /// [`refresh`](Self::refresh) replaces: locks only determine when to act.
    ///
    /// # Errors
    /// The error of the system call; `AlreadyExists` if the name is taken.
    pub fn create(path: PathBuf, mode: u32, owners: &[u32]) -> io::Result<LockFile> {
        // A process that sweeps may find the file before it is locked. It locks
        // the byte before it removes the file; in that case this tries again.
        for tries in 1..=CREATIONS {
            let lock = LockFile::first(&path, mode, owners)?;
            let locked = lock.try_lock(byte_of(Term::FIRST)).inspect_err(|_| {
                let _ = lock.remove();
            })?;
            if locked && (tries == CREATIONS || lock.is_at_its_names()) {
                return Ok(lock);
            }
            // A process that sweeps holds the byte, and is about to remove the
            // file.
            for _ in 0..100 {
                if !lock.is_at_its_names() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            // What is left of it, such as a lock file whose file of marks was
            // swept before it was there.
            let _ = lock.remove();
        }
        Err(io::Error::other("another process locks every new lock file before its creator does"))
    }

    /// A new lock file, with its file of marks. The latter is created first:
    /// once the lock file exists its name can be read, and another user could
    /// be faster.
    fn first(path: &Path, mode: u32, owners: &[u32]) -> io::Result<LockFile> {
        let made = |path: &Path, mode, marks| {
            let file = OpenOutcome::made(create(path, mode)?);
            Ok::<_, io::Error>(LockFile::of(path.to_path_buf(), mode, owners, file, marks))
        };
        let marks_path = marks_path(path);
        let marks = marks_path.as_deref().map(|path| made(path, mode, None)).transpose()?;
        made(path, lock_mode(mode), marks).inspect_err(|_| {
            let _ = marks_path.map(std::fs::remove_file);
        })
    }

    /// Whether neither it nor its file of marks has been swept.
    fn is_at_its_names(&self) -> bool {
        self.whereabouts() == Whereabouts::Here
            && self.marks.as_ref().is_none_or(|marks| marks.is_at_its_names())
    }

    /// Opens the lock file of a segment of that mode, as far as this process may. Creates it
    /// again if it is missing, or if a file that is not a lock file has its name and can be
    /// removed. If that is not possible, this process continues without it.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn open(path: PathBuf, mode: u32, owners: &[u32]) -> io::Result<LockFile> {
        let file = open_or_create(&path, lock_mode(mode), &Trusted::with(owners))?;
        Ok(LockFile::with_marks(path, mode, owners, file))
    }

    fn with_marks(path: PathBuf, mode: u32, owners: &[u32], file: OpenOutcome) -> LockFile {
        let trusted = Trusted::with(owners);
        // Without it this process does not count as attached; a process that
        // may do so creates it again, and then this one opens it.
        let writable = file.writable;
        let opened = |marks: &Path| match writable {
            true => open_or_create(marks, mode, &trusted),
            false => open_existing(marks, &trusted),
        };
        let marks = marks_path(&path).map(|path| {
            let file = opened(&path).unwrap_or(OpenOutcome { writable, ..OpenOutcome::BARRED });
            LockFile::of(path, mode, owners, file, None)
        });
        LockFile::of(path, lock_mode(mode), owners, file, marks)
    }

    fn of(
        path: PathBuf,
        mode: u32,
        owners: &[u32],
        file: OpenOutcome,
        marks: Option<LockFile>,
    ) -> LockFile {
        let occupied = AtomicBool::new(file.occupied);
        let file = ArcSwap::new(LockHandle::new(file, &path));
        let (marks, lineage) = (marks.map(Box::new), Lineage::current());
        let (owners, own) = (owners.to_vec(), Mutex::default());
        LockFile { path, mode, owners, file, occupied, own, lineage, marks }
    }

    /// Like [`open`](Self::open), in a forked child that may not open it: uses
    /// the descriptor that it has inherited, and has none of its parent's
    /// locks. `None` if that is not available.
    pub(super) fn inherit(&self) -> Option<LockFile> {
        let handle = self.file.load_full();
        let marks = self.marks.as_ref().and_then(|marks| marks.inherit());
        let inherited = handle.file.is_some() && !handle.is_lost();
        inherited.then(|| LockFile {
            path: self.path.clone(),
            mode: self.mode,
            owners: self.owners.clone(),
            file: ArcSwap::new(handle),
            occupied: AtomicBool::new(self.is_occupied()),
            own: Mutex::default(),
            lineage: Lineage::current(),
            marks: marks.map(Box::new),
        })
    }

    /// Opens the lock file of a segment like [`open`](Self::open), but only if it exists.
    ///
    /// # Errors
    /// The error of the system call; `NotFound` if it does not exist.
    pub fn existing(path: PathBuf, mode: u32, owners: &[u32]) -> io::Result<LockFile> {
        let file = open_existing(&path, &Trusted::with(owners))?;
        Ok(LockFile::with_marks(path, mode, owners, file))
    }

    /// A lock file that does not exist, for a process that may not create it.
    pub(super) fn without(path: PathBuf, mode: u32, owners: &[u32]) -> LockFile {
        LockFile::with_marks(path, mode, owners, OpenOutcome::BARRED)
    }

    fn trusted(&self) -> Trusted {
        Trusted::with(&self.owners)
    }

    /// Whether a file that is not a lock file has its name, or that of its file
    /// of marks, and could not be removed: new processes can't open it.
    pub fn is_occupied(&self) -> bool {
        // Relaxed: no other data depends on it.
        self.occupied.load(Ordering::Relaxed)
            || self.marks.as_ref().is_some_and(|marks| marks.is_occupied())
    }

    /// The file at its name, or at that of its file of marks, if it is not a
    /// lock file.
    #[cfg(feature = "tend")]
    pub(crate) fn occupant(&self) -> Option<SegmentError> {
        let (path, wanted) = (self.path.clone(), self.trusted());
        let found = found_at(&path).ok().filter(|found| !may_be_lock_file(found, &wanted));
        let owner = |found: Stat| SegmentError::LockFile {
            at: path.into(),
            found: found.st_uid,
            wanted: wanted.users(),
        };
        found.map(owner).or_else(|| self.marks.as_ref()?.occupant())
    }

    /// Like [`existing`](Self::existing), for a caller that only looks: does not create a file of
    /// marks either.
    ///
    /// # Errors
    /// As [`existing`](Self::existing).
    pub(super) fn look(path: PathBuf, mode: u32, owners: &[u32]) -> io::Result<LockFile> {
        let trusted = Trusted::with(owners);
        let open = |path: &Path| open_existing(path, &trusted);
        let file = open(&path)?;
        let marks = marks_path(&path);
        let marks = marks.and_then(|path| open(&path).ok().map(|file| (path, file)));
        let marks = marks.map(|(path, file)| LockFile::of(path, mode, owners, file, None));
        Ok(LockFile::of(path, lock_mode(mode), owners, file, marks))
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this process may look at the locks.
    pub fn is_open(&self) -> bool {
        self.file.load().file.is_some()
    }

    /// Whether this process may lock bytes, and so become owner.
    pub fn is_writable(&self) -> bool {
        self.file.load().writable
    }

    /// Locks a byte, without waiting; returns whether this process holds it now. A byte that this
    /// process already holds stays locked.
    ///
    /// # Errors
    /// The error of the system call, unless another process holds the byte.
    pub fn try_lock(&self, byte: u64) -> io::Result<bool> {
        let handle = self.handle()?;
        if !handle.writable {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        if handle.is_alone() {
            self.with_own(|own| own.insert(byte));
            return Ok(true);
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

    /// Unlocks a byte; does nothing if it is not held.
    pub fn unlock(&self, byte: u64) {
        if let Some(marks) = self.marks.as_ref().filter(|_| byte >= MARKS) {
            return marks.unlock(byte);
        }
        self.with_own(|own| own.remove(&byte));
        let handle = self.file.load_full();
        // An error here would not help the caller: what remains is freed with
        // the process. If the host has closed the descriptor, all locks are
        // already freed.
        if let Ok(file) = handle.file() {
            let _ = fcntl(file, FcntlArg::F_SETLK(&flock(libc::F_UNLCK, byte, 1)));
        }
    }

    /// Whether another process holds a write lock on a byte. This process's own locks are never
    /// reported.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn held_by_other(&self, byte: u64) -> io::Result<bool> {
        let handle = self.handle()?;
        if handle.is_alone() {
            return Ok(false);
        }
        writer_of(handle.file()?, byte).map(|found| found.is_some())
    }

    /// The pid of the other process that holds a byte, in this process's pid
    /// namespace; `None` if there is none, or if the pid is not known.
    pub fn holder(&self, byte: u64) -> Option<i32> {
        let handle = self.handle().ok()?;
        let found = writer_of(handle.file().ok()?, byte).ok().flatten()?;
        // A process in a pid namespace that is not visible here has no pid.
        (found.l_pid > 0).then_some(found.l_pid)
    }

    /// Whether any process holds a byte, including this one.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn held(&self, byte: u64) -> io::Result<bool> {
        Ok(self.with_own(|own| own.contains(&byte)) || self.held_by_other(byte)?)
    }

    /// Locks a random byte as a mark, which [`unlock`](Self::unlock) removes.
    ///
    /// # Errors
    /// The error of the system call.
    pub(super) fn mark(&self) -> io::Result<u64> {
        if let Some(marks) = &self.marks {
            return marks.mark();
        }
        let byte = rng().u64(MARKS..MARKS_END);
        // A read lock: a process that may only look can take it, too.
        let handle = self.handle()?;
        if handle.file.is_some() {
            fcntl(handle.file()?, FcntlArg::F_SETLK(&flock(libc::F_RDLCK, byte, 1)))?;
        }
        self.with_own(|own| own.insert(byte));
        Ok(byte)
    }

    /// The number of marks, including this process's; at most `most` of other processes.
    ///
    /// # Errors
    /// The error of the system call.
    pub(super) fn marks(&self, most: usize) -> io::Result<usize> {
        if self.lineage != Lineage::current() {
            // The kernel never reports what this process itself holds; its own
            // file knows.
            if let Some(own) = self.of_this_process() {
                return own.marks(most);
            }
        }
        if let Some(marks) = &self.marks {
            return marks.marks(most);
        }
        let own = self.with_own(|own| own.range(MARKS..MARKS_END).count());
        if !self.is_open() {
            return Ok(own);
        }
        let handle = self.handle()?;
        Ok(own + attached(handle.file()?, most)?)
    }

    /// The bytes that this process holds.
    ///
    /// A forked child has inherited none of its parent's locks. Its own are
    /// recorded in the lock file that it has opened itself, if it has.
    fn with_own<T>(&self, f: impl FnOnce(&mut BTreeSet<u64>) -> T) -> T {
        if self.lineage == Lineage::current() {
            return f(&mut self.own.lock().unwrap_or_else(PoisonError::into_inner));
        }
        match self.of_this_process() {
            Some(own) => own.with_own(f),
            None => f(&mut BTreeSet::new()),
        }
    }

    /// Whether the name still leads to the file.
    pub(super) fn whereabouts(&self) -> Whereabouts {
        let handle = self.file.load_full();
        match &handle.file {
            Some(file) => whereabouts(&self.path, handle.directory, file),
            // It can't be determined which file it is.
            None if self.path.symlink_metadata().is_ok() => Whereabouts::Here,
            None => Whereabouts::Gone,
        }
    }

    /// Removes the lock file and its file of marks; processes that have it open keep using it. A
    /// file that has the name but is not a lock file is removed if that is allowed, and otherwise
    /// kept.
    ///
    /// # Errors
    /// The error of the system call on a lock file.
    pub(super) fn remove(&self) -> io::Result<()> {
        remove(&self.path, &self.trusted())
    }
}

#[cfg(test)]
mod tests {
    use super::bytes::set;
    use super::*;

    /// The file of marks is there first, and is swept before the lock file is there.
    #[test]
    #[cfg_attr(miri, ignore = "it needs the system's locks")]
    fn h205_a_creator_whose_file_of_marks_is_swept_makes_both_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tendmap-00000001-v3-sysv-0000000000000001.lock");
        let (done, swept) = (AtomicBool::new(false), std::sync::atomic::AtomicUsize::new(0));
        let made = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    swept.fetch_add(sweep_marks(&path, &[]).iter().count(), Ordering::Relaxed);
                }
            });
            let mut made = Ok(());
            for _ in 0..20_000 {
                if made.is_err() || swept.load(Ordering::Relaxed) >= 20 {
                    break;
                }
                let lock = LockFile::create(path.clone(), 0o600, &[]);
                made = lock.and_then(|lock| lock.remove());
            }
            done.store(true, Ordering::Relaxed);
            made
        });
        made.unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// Even if the files are removed faster than they can be looked at.
    #[test]
    #[cfg_attr(miri, ignore = "it needs the system's locks")]
    fn h206_a_creator_whose_files_are_always_removed_goes_on_without_their_names() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tendmap-00000001-v3-sysv-0000000000000001.lock");
        let done = AtomicBool::new(false);
        let made = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    for path in [&path, &marks_path(&path).unwrap()] {
                        let _ = std::fs::remove_file(path);
                    }
                }
            });
            let made = (0..2_000).try_for_each(|_| {
                let lock = LockFile::create(path.clone(), 0o600, &[])?;
                assert!(lock.held(byte_of(Term::FIRST))?);
                lock.remove()
            });
            done.store(true, Ordering::Relaxed);
            made
        });
        made.unwrap();
    }

    #[test]
    fn h87_only_a_write_lock_counts_as_an_owners() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tendmap-00000001-v3-0000000000000001.lock");
        let lock = LockFile::open(path.clone(), 0o640, &[]).unwrap();
        let other = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        set(&other, libc::F_RDLCK, 0, 0);
        assert!(!lock.held_by_other(7).unwrap() && lock.holder(7).is_none());
        set(&other, libc::F_WRLCK, 7, 1);
        assert!(lock.held_by_other(7).unwrap() && !lock.held_by_other(8).unwrap());
    }
}
