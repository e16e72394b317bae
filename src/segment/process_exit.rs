//! Waits for the end of the process that holds a byte.

use std::os::fd::BorrowedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::fstatfs;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::lock::LockFile;
use crate::descriptor::KeptDescriptor;

/// The type of the file system (`PID_FS_MAGIC`) in which each process has its
/// own inode.
const PID_FS: u64 = 0x5049_4446;

/// A pidfd of the lock holder; readable once the process has exited, even as a
/// zombie.
#[derive(Debug)]
pub struct ProcessExit(KeptDescriptor);

/// The result of waiting for the end of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WaitOutcome {
    /// The process has ended.
    Ended,
    /// The process did not end in that time.
    TimedOut,
    /// Waiting is no longer possible: the host has closed the descriptor.
    Lost,
}

impl ProcessExit {
    /// The process that holds that byte. `None` if there is none, or if its pid
    /// is not available: in another pid namespace, or on kernels before 6.9,
    /// where a pidfd can't be told apart from other descriptors that the host
    /// may have under the same number.
    pub fn of(lock: &LockFile, byte: u64) -> Option<ProcessExit> {
        let pid = lock.holder(byte)?;
        // A pid may be reused, but not while its process still holds the byte.
        ProcessExit::watch(pid, || lock.holder(byte) == Some(pid))
    }

    /// The process of that pid, if `is_it` still finds it to be the wanted one
    /// after it has been opened.
    pub fn watch(pid: i32, is_it: impl FnOnce() -> bool) -> Option<ProcessExit> {
        let process = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        #[allow(clippy::unnecessary_cast, reason = "types differ between architectures")]
        let has_inode = fstatfs(&process).is_ok_and(|found| found.f_type as u64 == PID_FS);
        let process = KeptDescriptor::new(process).ok().filter(|_| has_inode)?;
        is_it().then_some(ProcessExit(process))
    }

    /// Waits for the end, at most that long.
    pub fn wait(&self, timeout: Duration) -> WaitOutcome {
        self.wait_or(None, timeout)
    }

    /// Like [`wait`](Self::wait), but also returns when `other` is readable.
    pub fn wait_or(&self, other: Option<BorrowedFd<'_>>, timeout: Duration) -> WaitOutcome {
        let Ok(process) = self.0.get() else { return WaitOutcome::Lost };
        let timeout = Timespec {
            tv_sec: timeout.as_secs().min(3600) as i64,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let polled = |other| PollFd::from_borrowed_fd(other, PollFlags::IN);
        let mut polled: Vec<PollFd<'_>> =
            core::iter::once(process).chain(other).map(polled).collect();
        match poll(&mut polled, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => WaitOutcome::TimedOut,
            Ok(_) if polled[0].revents().contains(PollFlags::IN) => WaitOutcome::Ended,
            Ok(_) if polled[0].revents().is_empty() => WaitOutcome::TimedOut,
            _ => WaitOutcome::Lost,
        }
    }
}
