//! The lock file: one byte a term, one for the standby follower and one for the
//! reserve.
//!
//! The locks are of the per-process kind (F_SETLK): the kernel frees them the
//! moment the process dies, a zombie included, and a forked child does not
//! inherit them. They only ever say *when* somebody should take over.
//!
//! Closing any descriptor of the file drops all of the process's locks on it,
//! so that a process has one [`LockFile`] for each file, see `registry`.

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{Mode, OFlags, fchmod};

use super::registry::registry;
use super::whereabouts::{Whereabouts, directory_of, whereabouts};
use crate::descriptor::{Kept, ObjectId, reopening};
use crate::layout::Lineage;
use crate::protocol::Term;
use crate::random::dice;

/// The byte of the follower that watches most closely.
pub const STANDBY: u64 = 1 << 20;
/// The byte of the follower that is there if the standby is not.
pub const RESERVE: u64 = STANDBY + 1;
/// Marks of attached processes lie from here on: in a segment's file, or in the
/// lock file of a System V one.
const MARKS: u64 = 1 << 32;
const MARKS_END: u64 = 1 << 62;

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
}

/// An open lock file. In a forked child it is never closed: that would drop
/// locks that the child has taken through a descriptor of its own.
#[derive(Debug)]
struct Handle {
    /// `None` only while it is dropped.
    file: Option<Kept>,
    directory: Option<ObjectId>,
    lineage: Lineage,
}

impl Handle {
    fn new(file: Kept, path: &Path) -> Arc<Handle> {
        let directory = directory_of(path);
        Arc::new(Handle { file: Some(file), directory, lineage: Lineage::current() })
    }

    fn kept(&self) -> &Kept {
        self.file.as_ref().expect("open until dropped")
    }

    fn file(&self) -> io::Result<BorrowedFd<'_>> {
        self.kept().get()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.lineage != Lineage::current() {
            std::mem::forget(self.file.take());
        }
    }
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
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
            let file = Kept::open(&path, flags, Mode::from_raw_mode(mode))?;
            fchmod(file.get()?, Mode::from_raw_mode(mode))?;
            let lock = LockFile::of(path.clone(), mode, file);
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

    /// Opens the lock file of a segment, for writing if that is allowed, and
    /// makes it anew if it is gone.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: PathBuf, mode: u32) -> io::Result<LockFile> {
        let file = open_or_create(&path, mode)?;
        Ok(LockFile::of(path, mode, file))
    }

    fn of(path: PathBuf, mode: u32, file: Kept) -> LockFile {
        let file = ArcSwap::new(Handle::new(file, &path));
        LockFile { path, mode, file, own: Mutex::default(), lineage: Lineage::current() }
    }

    /// The same in a forked child that may not open it: with the descriptor that
    /// it has inherited, and none of its parent's locks. `None` if that can't be
    /// had.
    pub(super) fn inherit(&self) -> Option<LockFile> {
        let handle = self.file.load_full();
        handle.kept().is_there().then(|| LockFile {
            path: self.path.clone(),
            mode: self.mode,
            file: ArcSwap::new(handle),
            own: Mutex::default(),
            lineage: Lineage::current(),
        })
    }

    /// Opens the lock file of a segment, as [`open`](Self::open), only if it is
    /// there.
    ///
    /// # Errors
    /// What the system says; `NotFound` if it is not there.
    pub fn existing(path: PathBuf, mode: u32) -> io::Result<LockFile> {
        let file = open_existing(&path)?;
        Ok(LockFile::of(path, mode, file))
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
        if handle.kept().is_there() {
            return Ok(handle);
        }
        let _alone = reopening();
        // Another thread may have been faster.
        let handle = self.file.load_full();
        match handle.kept().is_there() {
            true => Ok(handle),
            false => self.another(),
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

    /// Takes a byte, without waiting; whether it is this process's now. A byte
    /// that is already this process's stays so.
    ///
    /// # Errors
    /// What the system says, but for a byte that is held by another process.
    pub fn try_lock(&self, byte: u64) -> io::Result<bool> {
        let handle = self.handle()?;
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
        self.with_own(|own| own.remove(&byte));
        let handle = self.file.load_full();
        // Freeing can't fail in a way that is of any use to know: what is left
        // is freed with the process. Where the host has closed the descriptor it
        // has freed everything.
        if let Ok(file) = handle.file() {
            let _ = fcntl(file, FcntlArg::F_SETLK(&flock(libc::F_UNLCK, byte, 1)));
        }
    }

    /// Whether another process holds a byte. This process's own locks never
    /// show.
    ///
    /// # Errors
    /// What the system says.
    pub fn held_by_other(&self, byte: u64) -> io::Result<bool> {
        let handle = self.handle()?;
        first_lock(handle.file()?, byte, 1).map(|found| found.is_some())
    }

    /// The pid of the other process that holds a byte, as this process sees it;
    /// `None` if nobody does or it can't be told.
    pub fn holder(&self, byte: u64) -> Option<i32> {
        let handle = self.handle().ok()?;
        let found = first_lock(handle.file().ok()?, byte, 1).ok().flatten()?;
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
        whereabouts(&self.path, handle.directory, handle.kept())
    }

    /// Opens whatever the name leads to now, if that is another file or the host
    /// has closed the descriptor. Locks held so far are taken there, too, where
    /// they are to be had. What is only not to be seen from here stays in use.
    ///
    /// # Errors
    /// What the system says.
    pub fn refresh(&self) -> io::Result<bool> {
        let stays =
            || self.file.load().kept().is_there() && self.whereabouts() != Whereabouts::Gone;
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

fn open_or_create(path: &Path, mode: u32) -> io::Result<Kept> {
    match open_existing(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            // Only what was made here gets its mode: if another process was
            // faster, it may be another user's.
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
            let made = match Kept::open(path, flags, Mode::from_raw_mode(mode)) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    return open_existing(path);
                }
                other => other?,
            };
            fchmod(made.get()?, Mode::from_raw_mode(mode))?;
            Ok(made)
        }
        other => other,
    }
}

fn open_existing(path: &Path) -> io::Result<Kept> {
    match Kept::open(path, OFlags::RDWR, Mode::empty()) {
        // A pure reader may only look.
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem
            ) =>
        {
            Kept::open(path, OFlags::RDONLY, Mode::empty())
        }
        other => other,
    }
}

fn flock(kind: libc::c_int, start: u64, len: u64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start as libc::off_t,
        l_len: len as libc::off_t,
        l_pid: 0,
    }
}

/// Some lock of another holder in the range.
fn first_lock(file: impl AsFd, start: u64, len: u64) -> io::Result<Option<libc::flock>> {
    let mut probe = flock(libc::F_WRLCK, start, len);
    fcntl(file, FcntlArg::F_GETLK(&mut probe))?;
    if probe.l_type == libc::F_UNLCK as libc::c_short {
        return Ok(None);
    }
    Ok(Some(probe))
}

/// Takes the first byte of a file for this descriptor, without waiting; whether
/// it has it now. It is freed with the descriptor.
///
/// # Errors
/// What the system says, but for a byte that is held by another.
pub(super) fn try_own(file: impl AsFd) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&flock(libc::F_WRLCK, 0, 1))) {
        Ok(_) => Ok(true),
        Err(nix::errno::Errno::EACCES | nix::errno::Errno::EAGAIN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Marks the holder of this descriptor as attached: a read lock of the kind
/// that belongs to the open file description, on one random byte. A forked
/// child shares it.
///
/// # Errors
/// What the system says.
pub fn attach(segment: impl AsFd) -> io::Result<u64> {
    let byte = dice().u64(MARKS..MARKS_END);
    fcntl(segment, FcntlArg::F_OFD_SETLK(&flock(libc::F_RDLCK, byte, 1)))?;
    Ok(byte)
}

/// Takes the mark of [`attach`] back.
pub fn detach(segment: impl AsFd, byte: u64) {
    // As for `unlock`.
    let _ = fcntl(segment, FcntlArg::F_OFD_SETLK(&flock(libc::F_UNLCK, byte, 1)));
}

/// Whether a process holds any lock on a file, of whatever meaning.
///
/// # Errors
/// What the system says.
pub(super) fn is_locked(file: impl AsFd) -> io::Result<bool> {
    first_lock(file, 0, 0).map(|found| found.is_some())
}

/// How many locks a file has that look like marks; at least 1 if it has any.
///
/// # Errors
/// What the system says.
pub(super) fn locks(file: impl AsFd) -> io::Result<usize> {
    Ok(attached(&file)?.max(usize::from(is_locked(&file)?)))
}

/// How many marks a file has, this process's [`attach`] included.
///
/// F_GETLK tells of *some* lock in a range, not of the first: the range is
/// split at every hit.
///
/// # Errors
/// What the system says.
pub fn attached(segment: impl AsFd) -> io::Result<usize> {
    let mut ranges = vec![(MARKS, MARKS_END)];
    let mut count = 0;
    while let Some((start, end)) = ranges.pop() {
        if start >= end {
            continue;
        }
        if let Some(found) = first_lock(&segment, start, end - start)? {
            let (at, len) = (found.l_start as u64, found.l_len as u64);
            count += 1;
            ranges.push((start, at));
            ranges.push((at.saturating_add(len.max(1)), end));
        }
    }
    Ok(count)
}
