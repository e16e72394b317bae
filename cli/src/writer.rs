//! Writes lines to a stream whose reader may be slow or closed, or to a disk that
//! may be full.
//!
//! A process that tends must not depend on the reader of its output. So a
//! separate thread writes: the process that passes a line to it never waits,
//! and lines that can't be written are counted. The next line after lost ones
//! reports their number.

use crossbeam::channel::{Receiver, Sender, bounded};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// The most lines that wait for a slow reader.
const ROOM: usize = 4096;

/// The target of the lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output. A failure to write to it is reported once on standard
    /// error.
    Output,
    /// Standard error.
    Error,
}

impl Stream {
    fn write(self, bytes: &[u8]) -> rustix::io::Result<usize> {
        match self {
            Stream::Output => rustix::io::write(io::stdout().as_fd(), bytes),
            Stream::Error => rustix::io::write(io::stderr().as_fd(), bytes),
        }
    }

    /// Waits until more can be written, because the stream may be nonblocking.
    fn wait(self) {
        let ready = |fd: BorrowedFd<'_>| {
            let mut fds = [PollFd::from_borrowed_fd(fd, PollFlags::OUT)];
            let _ = poll(&mut fds, Some(&Timespec { tv_sec: 1, tv_nsec: 0 }));
        };
        match self {
            Stream::Output => ready(io::stdout().as_fd()),
            Stream::Error => ready(io::stderr().as_fd()),
        }
    }

    /// Writes all bytes. An error includes the number of bytes written before.
    fn write_all(self, bytes: &[u8]) -> Result<(), (usize, Errno)> {
        let mut written = 0;
        while written < bytes.len() {
            match self.write(&bytes[written..]) {
                Ok(0) => return Err((written, Errno::IO)),
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => self.wait(),
                Err(error) => return Err((written, error)),
            }
        }
        Ok(())
    }
}

/// Returns the text that reports the number of lost lines.
pub type Notice = Box<dyn Fn(u64) -> String + Send>;

enum Message {
    Line(String),
    /// To be answered when all before it is written.
    Flush(Sender<()>),
}

/// Hands lines to the thread that writes them.
#[derive(Clone)]
pub struct Writer {
    to: Sender<Message>,
    lost: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn start(stream: Stream, notice: Notice) -> io::Result<Writer> {
        let (to, lines) = bounded(ROOM);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = lost.clone();
        let write = move || serve(stream, &lines, &counted, &notice);
        thread::Builder::new().name("tendmap-output".into()).spawn(write)?;
        Ok(Writer { to, lost })
    }

    /// Passes a text, including its newlines, to the thread.
    pub fn write(&self, text: String) {
        if self.to.try_send(Message::Line(text)).is_err() {
            // Relaxed: a counter on its own.
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until every line that was passed before is written, at most for
    /// `patience`.
    pub fn flush(&self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let (answer, written) = bounded(1);
        while self.to.try_send(Message::Flush(answer.clone())).is_err() {
            if Instant::now() >= deadline {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let _ = written.recv_timeout(deadline.saturating_duration_since(Instant::now()));
    }
}

fn serve(stream: Stream, lines: &Receiver<Message>, lost: &AtomicU64, notice: &Notice) {
    // Whether a line was cut in the middle, and whether that was reported.
    let (mut cut, mut told) = (false, false);
    let mut put = |text: &str| {
        let whole = if cut { format!("\n{text}") } else { text.to_owned() };
        let result = stream.write_all(whole.as_bytes());
        match result {
            Ok(()) => cut = false,
            Err((written, _)) => cut |= written > 0,
        }
        if let (Err((_, error)), Stream::Output, false) = (result, stream, told) {
            told = true;
            let error = io::Error::from(error);
            let text = format!(
                "tendmap: can't write to standard output: {error}; tending goes on without it\n"
            );
            let _ = Stream::Error.write(text.as_bytes());
        }
        result.is_ok()
    };
    for message in lines {
        let line = match message {
            Message::Line(line) => line,
            Message::Flush(answer) => {
                let _ = answer.try_send(());
                continue;
            }
        };
        let missing = lost.load(Ordering::Relaxed);
        if missing > 0 && put(&notice(missing)) {
            lost.fetch_sub(missing, Ordering::Relaxed);
        }
        if !put(&line) {
            lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}
