//! Opening the file, as far as this process may.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Mode, OFlags, fchmod};

use super::super::whereabouts::directory_of;
use crate::descriptor::{Kept, ObjectId};
use crate::layout::Lineage;

/// An open lock file. In a forked child it is never closed: that would drop
/// locks that the child has taken through a descriptor of its own.
#[derive(Debug)]
pub struct Handle {
    /// `None` if this process may not open it, and while it is dropped.
    pub file: Option<Kept>,
    /// Whether it may take bytes.
    pub writable: bool,
    pub directory: Option<ObjectId>,
    lineage: Lineage,
}

impl Handle {
    pub fn new((file, writable): Opened, path: &Path) -> Arc<Handle> {
        let directory = directory_of(path);
        Arc::new(Handle { file, writable, directory, lineage: Lineage::current() })
    }

    /// Whether the host has closed it.
    pub fn is_lost(&self) -> bool {
        self.file.as_ref().is_some_and(|file| !file.is_there())
    }

    pub fn file(&self) -> io::Result<BorrowedFd<'_>> {
        let barred = || io::ErrorKind::PermissionDenied;
        self.file.as_ref().ok_or_else(barred)?.get()
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.lineage != Lineage::current() {
            std::mem::forget(self.file.take());
        }
    }
}

/// A file, if it may be opened, and whether it is open for writing.
pub type Opened = (Option<Kept>, bool);

/// Makes a file of that mode, whatever the umask. Nothing is left if it can't be
/// kept.
pub fn create(path: &Path, mode: u32) -> io::Result<Kept> {
    let mode = Mode::from_raw_mode(mode);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    let made = rustix::fs::open(path, flags | OFlags::CLOEXEC | OFlags::NOFOLLOW, mode)?;
    let kept = Kept::new(made).and_then(|kept| {
        fchmod(kept.get()?, mode)?;
        Ok(kept)
    });
    kept.inspect_err(|_| {
        let _ = std::fs::remove_file(path);
    })
}

/// A file that another user has made is opened without the wish to make it:
/// Linux refuses that in sticky directories (`fs.protected_regular`).
pub fn open_or_create(path: &Path, mode: u32) -> io::Result<Opened> {
    loop {
        match open_existing(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => return other,
        }
        match create(path, mode) {
            // Somebody else was faster.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => return made.map(|made| (Some(made), true)),
        }
    }
}

/// For writing, else for a look, else not at all.
pub fn open_existing(path: &Path) -> io::Result<Opened> {
    let refused = [io::ErrorKind::PermissionDenied, io::ErrorKind::ReadOnlyFilesystem];
    let open = |flags| Kept::open(path, flags, Mode::empty());
    match open(OFlags::RDWR) {
        Err(error) if refused.contains(&error.kind()) => match open(OFlags::RDONLY) {
            Err(error) if refused.contains(&error.kind()) => Ok((None, false)),
            other => other.map(|file| (Some(file), false)),
        },
        other => other.map(|file| (Some(file), true)),
    }
}
