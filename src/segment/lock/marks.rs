//! Marks of attached processes: read locks, each on a random byte.

use std::io;
use std::os::fd::AsFd;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::process::geteuid;

use super::bytes::{first_lock, flock};
use crate::random::rng;

/// The offset from which marks of attached processes are placed: in a segment's
/// file, or in the file of marks of a System V segment.
pub const MARKS: u64 = 1 << 32;
pub const MARKS_END: u64 = 1 << 62;
/// The maximum number of marks to count. For each one the kernel scans all of
/// them: beyond this, counting would take more than a second.
const MOST: usize = 4000;
/// The maximum for a file of an untrusted user: there may be many such files.
const MOST_OF_A_STRANGER: usize = 100;

/// The maximum number of marks to count in a file of that user.
pub fn most(user: u32) -> usize {
    match user == 0 || user == geteuid().as_raw() {
        true => MOST,
        false => MOST_OF_A_STRANGER,
    }
}

/// Marks the holder of this descriptor as attached: a read lock of the kind that belongs to the
/// open file description, on one random byte. A forked child shares it.
///
/// # Errors
/// The error of the system call.
pub fn attach(segment: impl AsFd) -> io::Result<u64> {
    let byte = rng().u64(MARKS..MARKS_END);
    fcntl(segment, FcntlArg::F_OFD_SETLK(&flock(libc::F_RDLCK, byte, 1)))?;
    Ok(byte)
}

/// Removes the mark of [`attach`].
pub fn detach(segment: impl AsFd, byte: u64) {
    // As for `unlock`.
    let _ = fcntl(segment, FcntlArg::F_OFD_SETLK(&flock(libc::F_UNLCK, byte, 1)));
}

/// Whether a process holds any lock on a file.
///
/// # Errors
/// The error of the system call.
pub fn is_locked(file: impl AsFd) -> io::Result<bool> {
    first_lock(file, 0, 0).map(|found| found.is_some())
}

/// How many locks on a file look like marks; at least 1 if there are any locks.
///
/// # Errors
/// The error of the system call.
pub fn locks(file: impl AsFd, most: usize) -> io::Result<usize> {
    Ok(attached(&file, most)?.max(usize::from(is_locked(&file)?)))
}

/// The number of marks in a file, at most `most`, including this process's [`attach`].
///
/// F_GETLK returns *some* lock in a range, not the first: the range is split at every hit. A
/// process that may only read can lock any part of a file: a lock over many bytes counts as one,
/// and the count is limited.
///
/// # Errors
/// The error of the system call.
pub fn attached(segment: impl AsFd, most: usize) -> io::Result<usize> {
    let mut ranges = vec![(MARKS, MARKS_END)];
    let mut count = 0;
    while let Some((start, end)) = ranges.pop() {
        if start >= end || count >= most {
            continue;
        }
        if let Some(found) = first_lock(&segment, start, end - start)? {
            // A length of zero means to the end of the file.
            let (at, len) = (found.l_start as u64, found.l_len as u64);
            let past = if len == 0 { end } else { at.saturating_add(len) };
            count += 1;
            ranges.push((start, at.min(end)));
            ranges.push((past.max(start), end));
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::lock::bytes::set;

    #[test]
    fn h87_a_lock_over_all_bytes_counts_as_one_attached_process() {
        let file = tempfile::tempfile().unwrap();
        set(&file, libc::F_RDLCK, 0, 0);
        assert_eq!(attached(&file, MOST).unwrap(), 1);
        set(&file, libc::F_UNLCK, 0, 0);
        set(&file, libc::F_RDLCK, MARKS - 5, 100);
        set(&file, libc::F_RDLCK, MARKS + 200, 1);
        assert_eq!(attached(&file, MOST).unwrap(), 2);
    }

    #[test]
    fn h127_a_flood_of_locks_is_counted_up_to_an_end() {
        let file = tempfile::tempfile().unwrap();
        for mark in 0..5000 {
            set(&file, libc::F_RDLCK, MARKS + 10 * mark, 1);
        }
        let own = geteuid().as_raw();
        assert_eq!(attached(&file, most(own)).unwrap(), MOST);
        assert_eq!(attached(&file, most(own + 1)).unwrap(), MOST_OF_A_STRANGER);
    }
}
