//! Waiting for the end of the process that holds a byte.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::lock::LockFile;

/// A process whose end can be waited for. It ends when the process does,
/// reaped or not.
#[derive(Debug)]
pub struct Death(OwnedFd);

impl Death {
    /// Of the process that holds that byte. `None` if nobody does, and where its
    /// pid can't be had: in another pid namespace, or on kernels before 5.3.
    pub fn of(lock: &LockFile, byte: u64) -> Option<Death> {
        let pid = lock.holder(byte)?;
        let process = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        // A pid may be used again; not one that still holds the byte.
        (lock.holder(byte) == Some(pid)).then_some(Death(process))
    }

    /// Waits for it, at most that long; whether the process has ended.
    pub fn wait(&self, timeout: Duration) -> bool {
        let timeout = Timespec {
            tv_sec: timeout.as_secs().min(3600) as i64,
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let mut polled = [PollFd::new(&self.0, PollFlags::IN)];
        // An interrupted wait is one that found nothing.
        poll(&mut polled, Some(&timeout)).is_ok_and(|ended| ended > 0)
    }
}
