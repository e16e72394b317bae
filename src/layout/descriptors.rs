//! How many file descriptors this process has left.

use std::os::fd::{BorrowedFd, RawFd};

use rustix::io::fcntl_getfd;
use rustix::process::{Resource, getrlimit};

/// Numbers that are looked at, at most.
const LOOKS: u64 = 4096;

/// The most descriptors that this process may have; `None` if there is no limit.
pub fn descriptor_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Whether so many more descriptors could be opened.
///
/// It looks from the highest number downwards, where none is in use in a process
/// that has many left, and opens none: another thread may be about to need it.
pub fn descriptors_left(wanted: u64) -> bool {
    let Some(limit) = descriptor_limit() else { return true };
    let numbers = (limit.saturating_sub(LOOKS.max(wanted))..limit).rev();
    let free = numbers.filter(|&number| RawFd::try_from(number).is_ok_and(|fd| !is_open(fd)));
    free.take(wanted as usize).count() as u64 == wanted
}

fn is_open(number: RawFd) -> bool {
    // SAFETY: whoever's descriptor it is stays its owner. It is asked for a flag,
    // which changes nothing; a number without a descriptor is answered with
    // EBADF; and it is not -1.
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
