//! Standard input as a console that may be absent.

use std::io::{self, BufRead as _, IsTerminal as _, Read};
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::getpgrp;
use rustix::termios::tcgetpgrp;

/// The state of standard input at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Commands may follow.
    Open,
    /// Standard input is at its end, or can't be read.
    None,
}

impl Input {
    /// Determines the state without waiting.
    pub fn look() -> Input {
        let input = io::stdin();
        if input.is_terminal() {
            return Input::Open;
        }
        let mut fds = [PollFd::new(&input, PollFlags::IN)];
        match poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
            // A read of an input that can't be polled returns at once.
            Ok(1..) | Err(_) => {}
            Ok(_) => return Input::Open,
        }
        match input.lock().fill_buf() {
            Ok([]) | Err(_) => Input::None,
            Ok(_) => Input::Open,
        }
    }
}

/// How often to check whether the process is in the foreground.
const LOOK: Duration = Duration::from_millis(200);

/// Standard input that is read only in the foreground. A background process that
/// reads a terminal is stopped, and with it the whole cluster.
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
