//! Opening the file, as far as this process may, and only if it can be trusted.
//!
//! Every user that may list the directory can read the names of lock files; and
//! in a directory that every user may write, another user can put something at
//! the name of a file that was removed. A file that belongs to an untrusted
//! user, is not a regular file, or is writable for every user is not a lock
//! file: its locks mean nothing. It is removed if the system allows that. If
//! not, as in a directory with the sticky bit, the name is *occupied*:
//! processes that have the lock file open continue to use it, the others rely
//! on the owner's heartbeat, and an owner makes a successor of the segment,
//! whose lock file has a new, random name.
//!
//! A hard link to some other file of a trusted user has that user. So a lock
//! file holds its own name, and counts with several links only if it does.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

use nix::sys::resource::Resource;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat, fchmod, lstat, unlinkat};
use rustix::io::{Errno, pread, pwrite};

use crate::descriptor::{FileId, KeptDescriptor};
use crate::layout::Lineage;
use crate::limits::limit;
use crate::segment::trust::Trusted;
use crate::segment::whereabouts::directory_of;

/// How often the occupant of a name is removed before it is assumed that it is
/// being put back as fast.
const TRIES: usize = 16;

/// An open lock file. In a forked child it is never closed: that would drop
/// locks that the child has taken through its own descriptor.
#[derive(Debug)]
pub struct LockHandle {
    /// `None` if this process may not open it or its name is occupied, and
    /// during drop.
    pub file: Option<KeptDescriptor>,
    /// Whether this process may lock bytes in it.
    pub writable: bool,
    /// Whether a file that is not a lock file had its name.
    pub occupied: bool,
    pub directory: Option<FileId>,
    pub lineage: Lineage,
}

impl LockHandle {
    pub fn new(opened: OpenOutcome, path: &Path) -> Arc<LockHandle> {
        let OpenOutcome { file, writable, occupied } = opened;
        let directory = directory_of(path);
        Arc::new(LockHandle { file, writable, occupied, directory, lineage: Lineage::current() })
    }

    /// Whether the host has closed it.
    pub fn is_lost(&self) -> bool {
        self.file.as_ref().is_some_and(|file| !file.is_there())
    }

    pub fn file(&self) -> io::Result<BorrowedFd<'_>> {
        let barred = || io::ErrorKind::PermissionDenied;
        self.file.as_ref().ok_or_else(barred)?.get()
    }

    /// Whether this process locks bytes without a file: other processes do not
    /// see these locks.
    pub fn is_alone(&self) -> bool {
        self.occupied && self.file.is_none() && self.writable
    }
}

impl Drop for LockHandle {
    fn drop(&mut self) {
        if self.lineage != Lineage::current() {
            std::mem::forget(self.file.take());
        }
    }
}

/// The result of opening a lock file.
#[derive(Debug)]
pub struct OpenOutcome {
    /// The file, if it may be opened.
    pub file: Option<KeptDescriptor>,
    /// Whether it is open for writing; for an occupied name, whether it would be.
    pub writable: bool,
    /// Whether its name is occupied.
    pub occupied: bool,
}

impl OpenOutcome {
    /// No file that this process may open.
    pub const BARRED: OpenOutcome = OpenOutcome { file: None, writable: false, occupied: false };
    const OCCUPIED: OpenOutcome = OpenOutcome { file: None, writable: false, occupied: true };

    /// A file that is open for writing.
    pub fn made(file: KeptDescriptor) -> OpenOutcome {
        OpenOutcome { file: Some(file), writable: true, occupied: false }
    }
}

/// The result of lstat(2) at the name of a lock file.
///
/// # Errors
/// The error of the system call.
pub fn found_at(path: &Path) -> io::Result<Stat> {
    Ok(lstat(path)?)
}

/// Whether the file may be a lock file, as far as that is visible before it is
/// opened.
pub fn may_be_lock_file(found: &Stat, trusted: &Trusted) -> bool {
    FileType::from_raw_mode(found.st_mode) == FileType::RegularFile
        && found.st_mode & 0o002 == 0
        && trusted.may_have(found.st_uid)
}

/// Whether an open file is a lock file.
fn is_lock_file(file: &KeptDescriptor, path: &Path, trusted: &Trusted) -> bool {
    let (Some(found), Ok(open)) = (file.stat(), file.get()) else { return false };
    may_be_lock_file(&found, trusted)
        && trusted.has_file(found.st_uid, open)
        && (found.st_nlink <= 1 || holds(open, label(path)))
}

/// The content of a lock file, which is its name.
fn label(path: &Path) -> &[u8] {
    path.file_name().map_or(b"", |name| name.as_encoded_bytes())
}

fn holds(file: BorrowedFd<'_>, label: &[u8]) -> bool {
    let mut found = vec![0; label.len() + 1];
    // A note may follow, after zeros.
    pread(file, &mut found, 0).is_ok() && found.split_last() == Some((&0, label))
}

/// Creates a file of that mode, regardless of the umask. Nothing is left behind
/// if it can't be kept.
pub fn create(path: &Path, mode: u32) -> io::Result<KeptDescriptor> {
    let mode = Mode::from_raw_mode(mode);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    let made = rustix::fs::open(path, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, mode)?;
    let kept = KeptDescriptor::new(made).and_then(|kept| {
        fchmod(kept.get()?, mode)?;
        Ok(kept)
    });
    let kept = kept.inspect_err(|_| {
        let _ = std::fs::remove_file(path);
    })?;
    let label = label(path);
    // If it can't be written, the file is valid as long as it has one link.
    // (The kernel kills a process that writes beyond its limit.)
    if limit(Resource::RLIMIT_FSIZE).is_none_or(|limit| limit >= label.len() as u64) {
        let _ = kept.get().map(|file| pwrite(file, label, 0));
    }
    Ok(kept)
}

/// Opens the lock file, and creates it if there is none. An occupant of its
/// name is removed if that is allowed.
///
/// A file that another user has created is opened without the flag to create
/// it: Linux refuses that in sticky directories (`fs.protected_regular`).
pub fn open_or_create(path: &Path, mode: u32, trusted: &Trusted) -> io::Result<OpenOutcome> {
    let occupied = OpenOutcome { writable: true, ..OpenOutcome::OCCUPIED };
    for _ in 0..TRIES {
        match open_existing(path, trusted) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Ok(found) if found.occupied => match take_away(path, trusted) {
                true => {}
                false => return Ok(occupied),
            },
            other => return other,
        }
        match create(path, mode) {
            // Another process was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(OpenOutcome::made),
        }
    }
    Ok(occupied)
}

/// Opens it for writing, otherwise for reading, otherwise not at all.
pub fn open_existing(path: &Path, trusted: &Trusted) -> io::Result<OpenOutcome> {
    let refused = [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem];
    // Checked before opening: merely opening a device or a pipe may have an
    // effect.
    match found_at(path) {
        Ok(found) if !may_be_lock_file(&found, trusted) => return Ok(OpenOutcome::OCCUPIED),
        Err(error) if refused.contains(&error.kind()) => return Ok(OpenOutcome::BARRED),
        other => drop(other?),
    }
    let open = |flags| KeptDescriptor::open(path, flags, Mode::empty());
    let (opened, writable) = match open(OFlags::RDWR) {
        Err(error) if refused.contains(&error.kind()) => match open(OFlags::RDONLY) {
            Err(error) if refused.contains(&error.kind()) => return Ok(OpenOutcome::BARRED),
            other => (other, false),
        },
        other => (other, true),
    };
    match opened {
        Ok(file) if is_lock_file(&file, path, trusted) => {
            Ok(OpenOutcome { file: Some(file), writable, occupied: false })
        }
        // Another file has been put there since.
        Ok(_) => Ok(OpenOutcome::OCCUPIED),
        Err(error) if is_no_file(&error) => Ok(OpenOutcome::OCCUPIED),
        Err(error) => Err(error),
    }
}

fn is_no_file(error: &io::Error) -> bool {
    let no_file = [Errno::LOOP, Errno::NXIO, Errno::NODEV, Errno::ISDIR];
    Errno::from_io_error(error).is_some_and(|error| no_file.contains(&error))
}

/// Removes the occupant of a name; returns whether it is gone. If another
/// process creates a lock file there at this moment, it is created again: locks
/// only determine when to act.
pub fn take_away(path: &Path, trusted: &Trusted) -> bool {
    match open_existing(path, trusted) {
        Ok(found) if found.occupied => {}
        Err(error) => return error.kind() == io::ErrorKind::NotFound,
        Ok(_) => return true,
    }
    match unlinkat(CWD, path, AtFlags::empty()) {
        Err(Errno::ISDIR | Errno::PERM) => unlinkat(CWD, path, AtFlags::REMOVEDIR).is_ok(),
        Err(error) => error == Errno::NOENT,
        Ok(()) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn found(path: &Path) -> (bool, bool) {
        let opened = open_existing(path, &Trusted::with(&[])).unwrap();
        (opened.file.is_some(), opened.occupied)
    }

    #[test]
    fn h124_what_is_no_lock_file_is_not_opened_and_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tendmap-00000001-v3-0000000000000001.lock");
        let other = folder.path().join("other");
        let (occupied, good) = ((false, true), (true, false));
        let pipe = |path: &Path| {
            let made = std::process::Command::new("mkfifo").arg(path).status();
            assert!(made.unwrap().success());
        };
        let world = |path: &Path| {
            fs::write(path, "").unwrap();
            fs::set_permissions(path, PermissionsExt::from_mode(0o666)).unwrap();
        };
        let socket = |path: &Path| drop(std::os::unix::net::UnixListener::bind(path).unwrap());
        let linked = |path: &Path| fs::hard_link(&other, path).unwrap();
        let to_nothing = |path: &Path| symlink("/nowhere/at/all", path).unwrap();
        let to_file = |path: &Path| symlink(&other, path).unwrap();
        let folder_there = |path: &Path| fs::create_dir(path).unwrap();
        fs::write(&other, "of a trusted user").unwrap();
        let kinds: [&dyn Fn(&Path); 7] =
            [&pipe, &world, &socket, &linked, &to_nothing, &to_file, &folder_there];
        for (number, plant) in kinds.into_iter().enumerate() {
            plant(&path);
            assert_eq!(found(&path), occupied, "{number}");
            let opened = open_or_create(&path, 0o600, &Trusted::with(&[])).unwrap();
            assert!(opened.file.is_some() && opened.writable && !opened.occupied, "{number}");
            assert_eq!(found(&path), good, "{number}");
            fs::remove_file(&path).unwrap();
        }
        assert_eq!(fs::read(&other).unwrap(), b"of a trusted user");
        // An occupant that can't be removed.
        fs::create_dir_all(path.join("full")).unwrap();
        let opened = open_or_create(&path, 0o600, &Trusted::with(&[])).unwrap();
        assert!(opened.file.is_none() && opened.writable && opened.occupied);
    }

    #[test]
    fn h124_a_lock_file_with_another_name_is_one_only_at_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let (path, second) = (folder.path().join("a.lock"), folder.path().join("b.lock"));
        drop(create(&path, 0o600).unwrap());
        fs::hard_link(&path, &second).unwrap();
        assert_eq!(found(&path), (true, false), "a second name takes nothing from it");
        assert_eq!(found(&second), (false, true));
        // A file that a crash left before its name was written into it.
        let third = folder.path().join("c.lock");
        fs::write(&third, "").unwrap();
        fs::set_permissions(&third, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(found(&third), (true, false));
    }
}
