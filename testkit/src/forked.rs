//! Runs code in a forked child and in its parent.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, alarm, fork};

/// How long a child may take, in seconds: one that hangs must not outlive the test.
const LIMIT: u32 = 240;

/// Ends a child whose parent fails.
struct Unfinished(Option<Pid>);

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(child) = self.0 {
            let _ = kill(child, Signal::SIGKILL);
            let _ = waitpid(child, None);
        }
    }
}

/// Runs `child` in a forked child and `parent` at the same time, joined by a pair of
/// sockets.
pub fn forked(child: impl FnOnce(&mut UnixStream), parent: impl FnOnce(&mut UnixStream)) {
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    // SAFETY: the child only reads memory, makes system calls and allocates,
    // which the C library's fork handlers allow for; it never returns.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            drop(ours);
            alarm::set(LIMIT);
            let done =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| child(&mut theirs)));
            // Neither the harness nor the parent's destructors run here.
            rustix::process::kill_process(
                rustix::process::getpid(),
                if done.is_ok() {
                    rustix::process::Signal::KILL
                } else {
                    rustix::process::Signal::ABORT
                },
            )
            .unwrap();
            unreachable!();
        }
        ForkResult::Parent { child } => {
            drop(theirs);
            let mut unfinished = Unfinished(Some(child));
            ours.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            parent(&mut ours);
            unfinished.0 = None;
            let status = waitpid(child, None).unwrap();
            let killed = matches!(status, WaitStatus::Signaled(_, Signal::SIGKILL, _));
            assert!(killed, "the child failed: {status:?}");
        }
    }
}
