//! Runs code in a forked child and in its parent.

use std::os::unix::net::UnixStream;
use std::time::Duration;

use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, fork};

/// Runs `child` in a forked child and `parent` at the same time, joined by a pair of
/// sockets.
pub fn forked(child: impl FnOnce(&mut UnixStream), parent: impl FnOnce(&mut UnixStream)) {
    let (mut ours, mut theirs) = UnixStream::pair().unwrap();
    // SAFETY: the child only reads memory, makes system calls and allocates,
    // which the C library's fork handlers allow for; it never returns.
    match unsafe { fork() }.unwrap() {
        ForkResult::Child => {
            drop(ours);
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
            ours.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
            parent(&mut ours);
            let status = waitpid(child, None).unwrap();
            let killed = matches!(status, WaitStatus::Signaled(_, nix::sys::signal::SIGKILL, _));
            assert!(killed, "the child failed: {status:?}");
        }
    }
}
