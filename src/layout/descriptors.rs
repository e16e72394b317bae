//! Counts how many file descriptors this process has left.

use std::os::fd::{BorrowedFd, RawFd};

use nix::sys::resource::Resource;
use rustix::io::fcntl_getfd;

use crate::limits::limit;

/// The maximum number of descriptors to check.
const LOOKS: u64 = 4096;

/// The maximum number of descriptors of this process; `None` if it is not
/// limited, or not known.
pub fn descriptor_limit() -> Option<u64> {
    limit(Resource::RLIMIT_NOFILE)
}

/// Whether `wanted` more descriptors could be opened.
///
/// It checks from the highest number downwards, where none is in use in a
/// process that has many left, and opens none: another thread may be about to
/// need it.
pub fn descriptors_left(wanted: u64) -> bool {
    let Some(limit) = descriptor_limit() else { return true };
    let numbers = (limit.saturating_sub(LOOKS.max(wanted))..limit).rev();
    let free = numbers.filter(|&number| RawFd::try_from(number).is_ok_and(|fd| !is_open(fd)));
    free.take(wanted as usize).count() as u64 == wanted
}

fn is_open(number: RawFd) -> bool {
    // SAFETY: the descriptor's owner keeps it. This only reads a flag, which
    // changes nothing; for a number without a descriptor the call returns
    // EBADF; and the number is not -1.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    fcntl_getfd(descriptor).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "it needs the system")]
    fn no_process_has_more_left_than_it_may_have() {
        let limit = descriptor_limit().unwrap_or(1024);
        assert!(descriptors_left(1));
        assert!(descriptor_limit().is_none() || !descriptors_left(limit), "three are in use");
    }
}
