//! Standard input as a console that may be missing.

use std::io::{self, BufRead as _, IsTerminal as _, Read};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;

/// What standard input is at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Commands may come.
    Open,
    /// It is at its end, or can't be read.
    None,
}

impl Input {
    /// Looks, without waiting for anything.
    pub fn look() -> Input {
        let input = io::stdin();
        if input.is_terminal() {
            return Input::Open;
        }
        let mut fds = [PollFd::new(&input, PollFlags::IN)];
        match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            // What can't be polled answers at once.
            Ok(1..) | Err(_) => {}
            Ok(_) => return Input::Open,
        }
        match input.lock().fill_buf() {
            Ok([]) | Err(_) => Input::None,
            Ok(_) => Input::Open,
        }
    }
}

/// How often it is looked whether the process is in the foreground.
const LOOK: Duration = Duration::from_millis(200);

/// Standard input that is read in the foreground only: a process that reads a
/// terminal in the background is stopped by it, cluster and all.
pub struct Foreground;

impl Foreground {
    fn wait() {
        let input = io::stdin();
        let in_background =
            || tcgetpgrp(&input).is_ok_and(|group| group != getpgrp()) && input.is_terminal();
        while in_background() {
            thread::sleep(LOOK);
        }
    }
}

impl Read for Foreground {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        Foreground::wait();
        io::stdin().read(into)
    }
}
