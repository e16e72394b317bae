//! A descriptor that is readable or not: an eventfd.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;

use super::ringing::Ring;
use crate::descriptor::{KeptDescriptor, read};

/// An eventfd of its own. It becomes readable when it is rung, until it is
/// cleared.
#[derive(Debug)]
pub(super) struct Bell {
    /// `None` only during drop.
    descriptor: Option<KeptDescriptor>,
    /// The kernel's number of this eventfd; `None` if the kernel does not give
    /// it (before 5.2, or without /proc).
    id: Option<u64>,
}

impl Bell {
    /// A new one, not rung.
    ///
    /// # Errors
    /// The error of the system call; nothing is left open.
    pub fn new() -> io::Result<Bell> {
        let made = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        let descriptor = KeptDescriptor::new(made)?;
        let id = eventfd_id(descriptor.number());
        Ok(Bell { descriptor: Some(descriptor), id })
    }

    /// The descriptor, for the host program.
    pub fn number(&self) -> BorrowedFd<'_> {
        self.descriptor().number()
    }

    fn descriptor(&self) -> &KeptDescriptor {
        self.descriptor.as_ref().expect("there until it is dropped")
    }

    /// The descriptor, if its number still refers to this eventfd. All eventfds
    /// have one inode, so the inode alone does not identify it.
    fn get(&self) -> io::Result<BorrowedFd<'_>> {
        let descriptor = self.descriptor().get()?;
        match (self.id, self.id.and_then(|_| eventfd_id(descriptor))) {
            (Some(own), Some(found)) if own != found => Err(Errno::BADF.into()),
            _ => Ok(descriptor),
        }
    }
}

impl Ring for Bell {
    type Error = io::Error;

    fn ring(&self) {
        // If the host has closed it, there is nothing to ring. If the count is
        // at its limit, it is readable already.
        if let Ok(descriptor) = self.get() {
            let _ = rustix::io::write(descriptor, &1u64.to_ne_bytes());
        }
    }

    /// `EBADF` if the host has closed the descriptor.
    fn clear(&self) -> io::Result<()> {
        match rustix::io::read(self.get()?, &mut [0; 8]) {
            // It has not been rung.
            Ok(_) | Err(Errno::AGAIN) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl Drop for Bell {
    fn drop(&mut self) {
        let there = self.get().is_ok();
        if let Some(descriptor) = self.descriptor.take().filter(|_| !there) {
            // The number is the host's now, or unused.
            descriptor.forget();
        }
    }
}

fn eventfd_id(descriptor: BorrowedFd<'_>) -> Option<u64> {
    use std::os::fd::AsRawFd;
    let path = format!("/proc/thread-self/fdinfo/{}", descriptor.as_raw_fd());
    let text = String::from_utf8(read(path.as_ref()).ok()?).ok()?;
    let id = text.lines().find_map(|line| line.strip_prefix("eventfd-id:"))?;
    id.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::os::fd::{AsFd, AsRawFd};

    use rustix::event::{PollFd, PollFlags, poll};
    use rustix::io::fcntl_dupfd_cloexec;

    use super::*;

    fn is_readable(descriptor: BorrowedFd<'_>) -> bool {
        let mut asked = [PollFd::from_borrowed_fd(descriptor, PollFlags::IN)];
        poll(&mut asked, Some(&rustix::time::Timespec { tv_sec: 0, tv_nsec: 0 })).unwrap() == 1
    }

    #[test]
    fn it_is_readable_from_the_ring_to_the_clear() {
        let bell = Bell::new().unwrap();
        assert!(!is_readable(bell.number()));
        bell.clear().unwrap();
        for _ in 0..3 {
            bell.ring();
            assert!(is_readable(bell.number()));
        }
        bell.clear().unwrap();
        assert!(!is_readable(bell.number()));
    }

    #[test]
    fn it_can_always_be_rung() {
        let bell = Bell::new().unwrap();
        rustix::io::write(bell.number(), &(u64::MAX - 1).to_ne_bytes()).unwrap();
        bell.ring();
        assert!(is_readable(bell.number()));
        bell.clear().unwrap();
        assert!(!is_readable(bell.number()));
    }

    #[test]
    fn h160_an_eventfd_of_the_host_under_its_number_is_neither_rung_nor_cleared_nor_closed() {
        let bell = Bell::new().unwrap();
        if bell.id.is_none() {
            tendmap_testkit::skipped("the kernel gives eventfds no number");
            return;
        }
        let theirs = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).unwrap();
        // The host closes the bell's descriptor, and uses the number for its own.
        let number = bell.number().as_raw_fd();
        nix::unistd::close(number).unwrap();
        let other = fcntl_dupfd_cloexec(&theirs, number).unwrap();
        assert_eq!(other.as_raw_fd(), number);
        bell.ring();
        assert!(!is_readable(theirs.as_fd()));
        rustix::io::write(&theirs, &1u64.to_ne_bytes()).unwrap();
        assert!(bell.clear().is_err() && is_readable(theirs.as_fd()));
        drop(bell);
        assert!(rustix::io::fcntl_getfd(&other).is_ok(), "it was closed");
    }
}
