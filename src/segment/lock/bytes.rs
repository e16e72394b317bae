//! Byte locks, as the kernel provides them.

use std::io;
use std::os::fd::AsFd;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

pub fn flock(kind: libc::c_int, start: u64, len: u64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start as libc::off_t,
        l_len: len as libc::off_t,
        l_pid: 0,
    }
}

/// The write lock of another process on a byte: the only kind that conflicts
/// with a read lock.
pub fn writer_of(file: impl AsFd, byte: u64) -> io::Result<Option<libc::flock>> {
    conflict(file, flock(libc::F_RDLCK, byte, 1))
}

/// Some lock of another process in the range.
pub fn first_lock(file: impl AsFd, start: u64, len: u64) -> io::Result<Option<libc::flock>> {
    conflict(file, flock(libc::F_WRLCK, start, len))
}

fn conflict(file: impl AsFd, mut probe: libc::flock) -> io::Result<Option<libc::flock>> {
    fcntl(file, FcntlArg::F_GETLK(&mut probe))?;
    if probe.l_type == libc::F_UNLCK as libc::c_short {
        return Ok(None);
    }
    Ok(Some(probe))
}

/// Locks the first byte of a file for this descriptor, without waiting; returns whether it is
/// locked now. Closing the descriptor frees it.
///
/// # Errors
/// The error of the system call, unless another process holds the byte.
pub fn try_own(file: impl AsFd) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&flock(libc::F_WRLCK, 0, 1))) {
        Ok(_) => Ok(true),
        Err(nix::errno::Errno::EACCES | nix::errno::Errno::EAGAIN) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Sets a lock that belongs to a descriptor, like another process's.
#[cfg(test)]
pub fn set(file: &std::fs::File, kind: libc::c_int, start: u64, len: u64) {
    fcntl(file, FcntlArg::F_OFD_SETLK(&flock(kind, start, len))).unwrap();
}
