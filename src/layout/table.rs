//! A descriptor table that belongs to one thread.

use nix::libc;

/// Gives the calling thread its own, empty descriptor table: descriptors that
/// it opens have numbers that mean nothing to the host, and it keeps none of
/// the host's open. Returns whether that worked; kernels before 5.9 can't do
/// it.
///
/// Record locks belong to a table: this drops none of the process's locks.
#[cfg_attr(not(feature = "tend"), allow(dead_code, reason = "a reader looks nothing up"))]
pub(crate) fn own_descriptors() -> bool {
    let (first, last) = (0 as libc::c_uint, libc::c_uint::MAX);
    // SAFETY: the call takes plain numbers. The descriptors are closed in the
    // table that the same call creates for this thread, which uses none of
    // them.
    let answer =
        unsafe { libc::syscall(libc::SYS_close_range, first, last, libc::CLOSE_RANGE_UNSHARE) };
    answer == 0
}

#[cfg(test)]
mod tests {
    use super::own_descriptors;
    use std::fs::File;
    use std::os::fd::AsRawFd;

    #[test]
    #[cfg_attr(miri, ignore = "it needs the system")]
    fn h73_what_a_thread_with_a_table_of_its_own_opens_is_not_seen_by_the_others() {
        let held = File::open("/dev/null").unwrap();
        let opened = std::thread::spawn(|| {
            own_descriptors().then(|| {
                let files: Vec<File> = (0..5).map(|_| File::open("/dev/zero").unwrap()).collect();
                files.iter().map(AsRawFd::as_raw_fd).collect::<Vec<_>>()
            })
        });
        match opened.join().unwrap() {
            Some(opened) => assert_eq!(opened, [0, 1, 2, 3, 4]),
            None => tendmap_testkit::skipped("the kernel has no such call"),
        }
        assert!(held.metadata().is_ok(), "the process's own are still open");
    }
}
