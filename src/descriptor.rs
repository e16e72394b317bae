//! File descriptors that the library keeps in the host program's process.
//!
//! The host program may close any descriptor at any time, and open something of
//! its own under the same number. So a kept descriptor is checked before every
//! use: it is valid only while its number still refers to the object that was
//! kept. Otherwise the caller opens another one, and the number is left to the
//! host: it is neither written to nor closed.
//!
//! None of them is a standard stream, or another of the low numbers that
//! programs close, replace and rely on: the host's output must not go into a
//! lock file or to a server. All are closed by `exec`.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, IntoRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use nix::sys::resource::Resource;
use rustix::buffer::spare_capacity;
use rustix::fs::{FileType, Mode, OFlags, RawDir, Stat, fstat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};

use crate::layout::ForkLocal;
use crate::limits::limit;

/// The lowest number used where the process may have many descriptors: shells,
/// and programs that pass descriptors on, refer to the lower ones by number.
const LOWEST: RawFd = 32;
/// The lowest number ever used.
const FIRST: RawFd = 3;

fn lowest() -> RawFd {
    match limit(Resource::RLIMIT_NOFILE) {
        Some(limit) if limit < 8 * LOWEST as u64 => FIRST,
        _ => LOWEST,
    }
}

/// The identity of a system object, independent of its number or name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileId {
    /// The device of its file system; sockets have one, too.
    pub device: u64,
    /// Its inode on that device.
    pub inode: u64,
}

impl FileId {
    #[allow(clippy::unnecessary_cast, reason = "types differ between architectures")]
    pub fn of(found: &Stat) -> FileId {
        FileId { device: found.st_dev as u64, inode: found.st_ino as u64 }
    }

    /// The object that a path leads to.
    pub fn at(path: &Path) -> io::Result<FileId> {
        Ok(FileId::of(&rustix::fs::stat(path)?))
    }
}

/// A descriptor that is kept. Dropping it closes it, if it is still the same
/// object.
#[derive(Debug)]
pub(crate) struct KeptDescriptor {
    /// `None` only during drop.
    descriptor: Option<OwnedFd>,
    id: FileId,
    kind: FileType,
}

impl KeptDescriptor {
    /// Keeps a descriptor that was just opened, under a number of its own choice.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn new(descriptor: impl Into<OwnedFd>) -> io::Result<KeptDescriptor> {
        let descriptor = raised(descriptor.into())?;
        let found = fstat(&descriptor)?;
        let kind = FileType::from_raw_mode(found.st_mode);
        Ok(KeptDescriptor { descriptor: Some(descriptor), id: FileId::of(&found), kind })
    }

    /// Opens a file without following a link at the end of its path, and without blocking,
    /// whatever kind of file it is.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn open(path: &Path, flags: OFlags, mode: Mode) -> io::Result<KeptDescriptor> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        KeptDescriptor::new(rustix::fs::open(path, flags, mode)?)
    }

    /// Opens the same object with other flags, whether or not it has a name. The kernel checks
    /// the permission of now.
    ///
    /// # Errors
    /// The error of the system call; `NotFound` without /proc.
    pub fn opened_again(&self, flags: OFlags) -> io::Result<KeptDescriptor> {
        let flags = flags | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::open(self.path()?, flags, Mode::empty())?;
        let file = KeptDescriptor::new(file)?;
        if file.id == self.id { Ok(file) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    /// A path that leads to the object, not to its name.
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn path(&self) -> io::Result<PathBuf> {
        Ok(format!("/proc/self/fd/{}", self.get()?.as_raw_fd()).into())
    }

    /// The identity of the object.
    pub fn id(&self) -> FileId {
        self.id
    }

    fn descriptor(&self) -> &OwnedFd {
        self.descriptor.as_ref().expect("there until it is dropped")
    }

    /// The descriptor, whether or not the host has closed it.
    pub fn number(&self) -> BorrowedFd<'_> {
        self.descriptor().as_fd()
    }

    /// Leaves the number to the host.
    pub fn forget(mut self) {
        if let Some(descriptor) = self.descriptor.take() {
            let _ = descriptor.into_raw_fd();
        }
    }

    /// The result of fstat(2); `None` if the host has closed the descriptor.
    pub fn stat(&self) -> Option<Stat> {
        let found = fstat(self.descriptor()).ok()?;
        let kind = FileType::from_raw_mode(found.st_mode);
        (FileId::of(&found) == self.id && kind == self.kind).then_some(found)
    }

    /// Whether the number still refers to the same object.
    pub fn is_there(&self) -> bool {
        self.stat().is_some()
    }

    /// Borrows the descriptor for immediate use.
    ///
    /// # Errors
    /// `EBADF` if the host has closed it, even if the number is in use again.
    pub fn get(&self) -> io::Result<BorrowedFd<'_>> {
        match self.is_there() {
            true => Ok(self.descriptor().as_fd()),
            false => Err(Errno::BADF.into()),
        }
    }
}

impl Drop for KeptDescriptor {
    fn drop(&mut self) {
        let there = self.descriptor.is_some() && self.is_there();
        if let Some(descriptor) = self.descriptor.take().filter(|_| !there) {
            // The number is the host's now, or unused.
            let _ = descriptor.into_raw_fd();
        }
    }
}

/// Moves the descriptor to a number above the low ones.
fn raised(descriptor: OwnedFd) -> io::Result<OwnedFd> {
    let (number, lowest) = (descriptor.as_raw_fd(), lowest());
    if number >= lowest {
        return Ok(descriptor);
    }
    match fcntl_dupfd_cloexec(&descriptor, lowest) {
        // There are no higher numbers left.
        Err(Errno::INVAL | Errno::MFILE) if number >= FIRST => Ok(descriptor),
        Err(Errno::INVAL | Errno::MFILE) => Ok(fcntl_dupfd_cloexec(&descriptor, FIRST)?),
        other => Ok(other?),
    }
}

/// Held by the thread that opens a descriptor again: if two threads did so at
/// once, one of the two descriptors would be closed, and the locks of both
/// would be lost. A forked child has its own lock.
pub(crate) fn reopening() -> MutexGuard<'static, ()> {
    static REOPENING: ForkLocal<Mutex<()>> = ForkLocal::new();
    REOPENING.get_or_init(Mutex::default).lock().unwrap_or_else(PoisonError::into_inner)
}

/// The content of a file.
///
/// # Errors
/// The error of the system call.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let file = KeptDescriptor::new(rustix::fs::open(path, flags, Mode::empty())?)?;
    // Allocated at full size: the content may be a key, and a growing buffer
    // would leave copies behind.
    let length = file.stat().map_or(0, |found| found.st_size);
    // Files that the kernel generates have no length, and some must be read
    // with one call.
    let mut content = Vec::with_capacity(usize::try_from(length).unwrap_or(0).max(4095) + 1);
    loop {
        if content.len() == content.capacity() {
            content.reserve(4096);
        }
        match rustix::io::read(file.get()?, spare_capacity(&mut content)) {
            Ok(0) => return Ok(content),
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The names in a directory that are valid text, except `.` and `..`.
///
/// # Errors
/// The error of the system call.
pub(crate) fn names(directory: &Path) -> io::Result<Vec<String>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = KeptDescriptor::new(rustix::fs::open(directory, flags, Mode::empty())?)?;
    let mut buffer = Vec::with_capacity(8192);
    let mut entries = RawDir::new(directory.get()?, buffer.spare_capacity_mut());
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        match entry?.file_name().to_str() {
            Ok("." | "..") | Err(_) => {}
            Ok(name) => names.push(name.to_owned()),
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    /// Uses numbers that no other test of this process uses.
    fn far(descriptor: impl AsFd, number: RawFd) -> OwnedFd {
        let far = fcntl_dupfd_cloexec(descriptor, number).unwrap();
        assert_eq!(far.as_raw_fd(), number);
        far
    }

    #[test]
    fn h74_a_number_that_the_host_has_closed_or_used_again_is_neither_used_nor_closed() {
        let number = 900;
        let kept = KeptDescriptor::new(far(tempfile::tempfile().unwrap(), number)).unwrap();
        assert_eq!(kept.get().unwrap().as_raw_fd(), number);
        nix::unistd::close(number).unwrap();
        assert!(!kept.is_there());
        assert_eq!(kept.get().unwrap_err().raw_os_error(), Some(Errno::BADF.raw_os_error()));
        // The host uses the number again.
        let hosts = far(File::open("/dev/null").unwrap(), number);
        assert!(kept.get().is_err());
        drop(kept);
        assert_eq!(FileId::of(&fstat(&hosts).unwrap()), FileId::at("/dev/null".as_ref()).unwrap());
    }

    #[test]
    fn h74_sockets_are_told_apart() {
        let number = 901;
        let socket = || std::os::unix::net::UnixStream::pair().unwrap().0;
        let kept = KeptDescriptor::new(far(socket(), number)).unwrap();
        nix::unistd::close(number).unwrap();
        let theirs = far(socket(), number);
        assert!(kept.get().is_err());
        drop(kept);
        assert!(fstat(&theirs).is_ok());
    }

    #[test]
    fn h73_what_is_kept_has_no_low_number_and_is_closed_by_exec() {
        let kept = KeptDescriptor::new(File::open("/dev/null").unwrap()).unwrap();
        assert!(kept.get().unwrap().as_raw_fd() >= lowest());
        let flags = rustix::io::fcntl_getfd(kept.get().unwrap()).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    }

    #[test]
    fn files_and_directories_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let long = vec![7; 10_000];
        std::fs::write(folder.path().join("long"), &long).unwrap();
        for number in 0..1000 {
            std::fs::write(folder.path().join(format!("{number:0100}")), "").unwrap();
        }
        assert_eq!(read(&folder.path().join("long")).unwrap(), long);
        assert_eq!(names(folder.path()).unwrap().len(), 1001);
        assert!(names(&folder.path().join("long")).is_err());
    }
}
