//! Waiting for the end of the process that holds a byte.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::fstatfs;
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::lock::LockFile;
use crate::descriptor::Kept;

/// The kind of file system (`PID_FS_MAGIC`) in which each process has an inode
/// of its own.
const PID_FS: u64 = 0x5049_4446;

/// A process whose end can be waited for. It ends when the process does,
/// reaped or not.
#[derive(Debug)]
pub struct ProcessExit(Kept);

/// What came of waiting for an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The process has ended.
    Ended,
    /// It had not in that time.
    TimedOut,
    /// It can't be waited for any more: the host has closed the descriptor.
    Lost,
}

impl ProcessExit {
    /// Of the process that holds that byte. `None` if nobody does, and where its
    /// pid can't be had: in another pid namespace, or on kernels before 6.9, whose
    /// descriptors of processes can't be told from others that the host may have
    /// under the same number.
    pub fn of(lock: &LockFile, byte: u64) -> Option<ProcessExit> {
        let pid = lock.holder(byte)?;
        let process = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        #[allow(clippy::unnecessary_cast, reason = "types differ between architectures")]
        let has_inode = fstatfs(&process).is_ok_and(|found| found.f_type as u64 == PID_FS);
        let process = Kept::new(process).ok().filter(|_| has_inode)?;
        // A pid may be used again; not one that still holds the byte.
        (lock.holder(byte) == Some(pid)).then_some(ProcessExit(process))
    }

    /// Waits for it, at most that long.
    pub fn wait(&self, timeout: Duration) -> Waited {
        let Ok(process) = self.0.get() else { return Waited::Lost };
        let timeout = Timespec {
            tv_sec: timeout.as_secs().min(3600) as i64,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let mut polled = [PollFd::from_borrowed_fd(process, PollFlags::IN)];
        match poll(&mut polled, Some(&timeout)) {
            Ok(0) | Err(Errno::INTR) => Waited::TimedOut,
            Ok(_) if polled[0].revents().contains(PollFlags::IN) => Waited::Ended,
            _ => Waited::Lost,
        }
    }
}
