//! System V shared memory: the kernel's calls and their results.

use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, fence};
use std::io;

use nix::libc;
use rustix::mm::{MprotectFlags, mprotect};

use super::geometry::WORD;
use super::header::Header;
use crate::sync::Ordering;

/// What the kernel reports about a System V segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShmStat {
    /// The segment's key; 0 after it was removed.
    pub key: u32,
    /// The user that the segment belongs to.
    pub uid: u32,
    /// The user that created it, who can still change and remove it.
    pub cuid: u32,
    /// The permission bits.
    pub mode: u32,
    /// The size in bytes.
    pub bytes: u64,
    /// The number of its mappings, of all processes.
    pub mappings: u64,
    /// When it was created, or its user or mode changed since: Unix time in seconds.
    pub changed: u64,
    /// Whether it was removed: it then has no key, and ends with its last
    /// mapping.
    pub removed: bool,
}

/// Linux's additions to System V, with the numbers that they have on every
/// 64-bit machine.
mod linux {
    use nix::libc::c_int;

    /// shmctl: the highest index in use in the kernel's table.
    pub const SHM_INFO: c_int = 14;
    /// shmctl: IPC_STAT by table index; returns the id.
    pub const SHM_STAT: c_int = 13;
    /// Mode bit of a removed segment.
    pub const SHM_DEST: u32 = 0o1000;
}

fn checked(answer: libc::c_int) -> io::Result<libc::c_int> {
    if answer == -1 { Err(io::Error::last_os_error()) } else { Ok(answer) }
}

/// The kernel's key type is signed; the sign has no meaning.
fn key_of(key: u32) -> libc::key_t {
    key as libc::key_t
}

/// The id of the segment with this key; `None` if there is none. Needs no permission.
///
/// # Errors
/// The kernel's error.
pub fn shm_find(key: u32) -> io::Result<Option<i32>> {
    if key == libc::IPC_PRIVATE as u32 {
        return Ok(None);
    }
    // SAFETY: the call takes and returns plain numbers.
    match checked(unsafe { libc::shmget(key_of(key), 0, 0) }) {
        Ok(id) => Ok(Some(id)),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Creates a segment, all zero; returns its id.
///
/// # Errors
/// The kernel's error; `AlreadyExists` if the key is in use.
pub fn shm_create(key: u32, bytes: usize, mode: u32) -> io::Result<i32> {
    let flags = libc::IPC_CREAT | libc::IPC_EXCL | (mode & 0o777) as libc::c_int;
    // SAFETY: the call takes and returns plain numbers.
    checked(unsafe { libc::shmget(key_of(key), bytes, flags) })
}

/// What the kernel reports about a segment.
///
/// # Errors
/// The kernel's error.
pub fn shm_stat(id: i32) -> io::Result<ShmStat> {
    stat(id, libc::IPC_STAT).map(|(_, found)| found)
}

/// The result of a command that fills a `shmid_ds`, and its content.
fn stat(at: i32, command: libc::c_int) -> io::Result<(i32, ShmStat)> {
    let mut found = core::mem::MaybeUninit::<libc::shmid_ds>::zeroed();
    // SAFETY: both commands fill the structure that they are given, which has
    // the kernel's layout for this C library.
    let answer = checked(unsafe { libc::shmctl(at, command, found.as_mut_ptr()) })?;
    // SAFETY: the kernel filled it; and all its fields are numbers, for which
    // zeros are valid too.
    let found = unsafe { found.assume_init() };
    #[allow(clippy::unnecessary_cast, reason = "types differ between C libraries")]
    let mode = found.shm_perm.mode as u32;
    #[cfg(target_env = "musl")]
    #[allow(deprecated, reason = "the next major version of libc has another name for it")]
    let key = found.shm_perm.__ipc_perm_key;
    #[cfg(not(target_env = "musl"))]
    let key = found.shm_perm.__key;
    #[allow(clippy::unnecessary_cast, reason = "types differ between C libraries")]
    let found = ShmStat {
        key: key as u32,
        uid: found.shm_perm.uid,
        cuid: found.shm_perm.cuid,
        mode: mode & 0o777,
        bytes: found.shm_segsz as u64,
        mappings: found.shm_nattch as u64,
        changed: u64::try_from(found.shm_ctime).unwrap_or(0),
        removed: mode & linux::SHM_DEST != 0,
    };
    Ok((answer, found))
}

/// The segments of this host (of the IPC namespace) that were removed but are
/// still mapped, with their ids, as far as this process may read them. An id
/// refers to its segment until the last mapping ends.
pub fn shm_removed() -> Vec<(i32, ShmStat)> {
    let mut info = core::mem::MaybeUninit::<libc::shmid_ds>::zeroed();
    // SAFETY: SHM_INFO fills a smaller structure (`shm_info`), of numbers only.
    let last = unsafe { libc::shmctl(0, linux::SHM_INFO, info.as_mut_ptr()) };
    let found = (0..=last).filter_map(|index| stat(index, linux::SHM_STAT).ok());
    found.filter(|(_, found)| found.removed).collect()
}

/// Assigns a segment to a user, with these permission bits.
///
/// # Errors
/// The kernel's error.
pub fn shm_permit(id: i32, uid: u32, mode: u32) -> io::Result<()> {
    let mut wanted = core::mem::MaybeUninit::<libc::shmid_ds>::zeroed();
    // SAFETY: as for `shm_stat`; IPC_SET then reads what IPC_STAT has filled,
    // except for the two fields that are set here.
    unsafe {
        checked(libc::shmctl(id, libc::IPC_STAT, wanted.as_mut_ptr()))?;
        let permissions = &mut (*wanted.as_mut_ptr()).shm_perm;
        permissions.uid = uid;
        permissions.mode = (mode & 0o777) as _;
        checked(libc::shmctl(id, libc::IPC_SET, wanted.as_mut_ptr()))?;
    }
    Ok(())
}

/// Removes a segment: its key is free at once, its memory when the last mapping ends. A segment
/// that is already gone is not an error.
///
/// # Errors
/// The kernel's error.
pub fn shm_remove(id: i32) -> io::Result<()> {
    // SAFETY: IPC_RMID does not use the pointer.
    match checked(unsafe { libc::shmctl(id, libc::IPC_RMID, core::ptr::null_mut()) }) {
        Err(error) if !is_gone(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Whether the error means that the segment no longer exists.
pub fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EIDRM | libc::EINVAL))
}

/// A mapped System V segment. Dropping it unmaps it.
#[derive(Debug)]
pub struct Shm {
    base: NonNull<AtomicU64>,
    stat: ShmStat,
    writable: bool,
}

impl Shm {
    /// Maps a segment, read-only unless `writable`.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn attach(id: i32, writable: bool) -> io::Result<Shm> {
        let flags = if writable { 0 } else { libc::SHM_RDONLY };
        // SAFETY: the kernel chooses the address, so that nothing of this
        // process is replaced.
        let base = unsafe { libc::shmat(id, core::ptr::null(), flags) };
        if base.addr() == usize::MAX {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast::<AtomicU64>())
            .ok_or_else(|| io::Error::other("the kernel mapped memory at address zero"))?;
        let empty = ShmStat {
            key: 0,
            uid: 0,
            cuid: 0,
            mode: 0,
            bytes: 0,
            mappings: 0,
            changed: 0,
            removed: false,
        };
        let mut shm = Shm { base, stat: empty, writable };
        // While it is mapped, its id is not reused for another segment.
        shm.stat = shm_stat(id)?;
        Ok(shm)
    }

    /// Maps a segment for reading, in such a way that it can be mapped for writing later if the
    /// permission exists now.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn attach_to_read(id: i32) -> io::Result<Shm> {
        let mut shm = match Shm::attach(id, true) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Shm::attach(id, false);
            }
            other => other?,
        };
        let (base, bytes) = shm.start();
        let bytes = bytes.next_multiple_of(rustix::param::page_size());
        // SAFETY: the pages are this mapping's own, and no other code has seen
        // them.
        unsafe { mprotect(base.as_ptr().cast(), bytes, MprotectFlags::READ) }?;
        shm.writable = false;
        Ok(shm)
    }

    /// What the kernel reported when it was mapped.
    pub fn stat(&self) -> ShmStat {
        self.stat
    }

    /// Whether it was mapped for writing.
    pub fn is_writable(&self) -> bool {
        self.writable
    }

    /// The start address, and the size in bytes.
    pub(super) fn start(&self) -> (NonNull<AtomicU64>, usize) {
        (self.base, usize::try_from(self.stat.bytes).unwrap_or(0))
    }

    /// A private copy of its first bytes, at most the length of a header.
    pub fn header(&self) -> Vec<u8> {
        let words = self.start().1.min(size_of::<Header>()) / WORD;
        // SAFETY: this many words are mapped (the kernel rounds up to pages),
        // the address is page-aligned, and every access to them is atomic.
        let words = unsafe { core::slice::from_raw_parts(self.base.as_ptr(), words) };
        copy_header(words)
    }
}

/// A private copy of the words of a header; the magic is loaded first.
pub(super) fn copy_header(words: &[AtomicU64]) -> Vec<u8> {
    // Relaxed, followed by a fence: the memory may be read-only.
    let magic = words.first().map(|word| word.load(Ordering::Relaxed));
    // Pairs with the Release of the magic, which was stored last.
    fence(Ordering::Acquire);
    let rest = words.iter().skip(1).map(|word| word.load(Ordering::Relaxed));
    magic.into_iter().chain(rest).flat_map(u64::to_ne_bytes).collect()
}

impl Drop for Shm {
    fn drop(&mut self) {
        // SAFETY: mapped by `attach`, and there are no references into it any
        // more. A `WriteMapping`, which excludes it from children, does not
        // drop it there.
        unsafe { libc::shmdt(self.base.as_ptr().cast()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "it needs the system")]
    fn a_segment_is_found_described_changed_and_removed() {
        let key = 0xBE5D_0000 | std::process::id() & 0xffff;
        match shm_find(key) {
            Ok(found) => assert_eq!(found, None),
            Err(error) => {
                return tendmap_testkit::skipped(&format!(
                    "no System V shared memory here: {error}"
                ));
            }
        }
        // A private key finds nothing, and creates nothing.
        assert_eq!(shm_find(libc::IPC_PRIVATE as u32).unwrap(), None);
        let id = shm_create(key, 5000, 0o7640).unwrap();
        let again = shm_create(key, 5000, 0o600).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(shm_find(key).unwrap(), Some(id));
        let user = rustix::process::getuid().as_raw();
        let mut wanted = ShmStat {
            key,
            uid: user,
            cuid: user,
            mode: 0o640,
            bytes: 5000,
            mappings: 0,
            changed: shm_stat(id).unwrap().changed,
            removed: false,
        };
        assert_eq!(shm_stat(id).unwrap(), wanted);
        shm_permit(id, user, 0o7600).unwrap();
        wanted.mode = 0o600;
        wanted.changed = shm_stat(id).unwrap().changed;
        assert_eq!(shm_stat(id).unwrap(), wanted);

        let to_read = Shm::attach_to_read(id).unwrap();
        let mapped = Shm::attach(id, true).unwrap();
        assert!(mapped.is_writable() && !to_read.is_writable());
        wanted.mappings = 2;
        assert_eq!(mapped.stat(), wanted);
        assert_eq!(mapped.start().1, 5000);
        // SAFETY: one word of a mapping that is writable and exists.
        unsafe { mapped.base.as_ref() }.store(77, Ordering::Relaxed);
        let header = to_read.header();
        assert_eq!(header.len(), size_of::<Header>().min(5000) / WORD * WORD);
        assert_eq!(header[..8], 77_u64.to_ne_bytes());

        assert!(!shm_removed().iter().any(|(other, _)| *other == id));
        shm_remove(id).unwrap();
        assert_eq!(shm_find(key).unwrap(), None);
        let (_, removed) = shm_removed().into_iter().find(|(other, _)| *other == id).unwrap();
        assert_eq!((removed.removed, removed.mode), (true, 0o600));
        drop((to_read, mapped));
        let gone = shm_stat(id).unwrap_err();
        assert!(is_gone(&gone), "{gone}");
        shm_remove(id).unwrap();
        assert!(Shm::attach(id, false).is_err_and(|error| is_gone(&error)));
        assert!(!is_gone(&io::Error::from_raw_os_error(libc::EPERM)));
    }
}
