//! Where the lines of the log go.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use super::line::{Format, Line, Look, now};
use crate::event::Told;
use crate::writer::{Stream, Writer};

/// A stream for lines. It never fails and never blocks, because the library's own
/// threads log.
pub struct Sink {
    stream: Stream,
    look: Look,
    /// Started at the first line; `None` if its thread could not be started.
    writer: OnceLock<Option<Writer>>,
}

impl Sink {
    /// Lines in this format for this stream.
    pub fn new(stream: Stream, format: Format) -> Sink {
        let (journal, terminal) = match stream {
            Stream::Output => (is_journal(io::stdout()), io::stdout().is_terminal()),
            Stream::Error => (is_journal(io::stderr()), io::stderr().is_terminal()),
        };
        let colours = terminal && may_colour();
        Sink { stream, look: Look { format, journal, colours }, writer: OnceLock::new() }
    }

    /// Starts the thread that writes, if it does not run yet.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn start(&self) -> io::Result<()> {
        let look = self.look;
        let notice = move |lost| Line::from(Told::output_lost(lost)).text(look);
        if self.writer.get().is_none() {
            let writer = Writer::start(self.stream, Box::new(notice));
            let (writer, result) = match writer {
                Ok(writer) => (Some(writer), Ok(())),
                Err(error) => (None, Err(error)),
            };
            // A thread that another one has started is used.
            let _ = self.writer.set(writer);
            return result;
        }
        Ok(())
    }

    /// Writes a line.
    pub fn write(&self, line: &Line) {
        let _ = self.start();
        if let Some(Some(writer)) = self.writer.get() {
            writer.write(line.text(self.look));
        }
    }

    /// Waits until all lines are written, at most for `patience`.
    pub fn flush(&self, patience: Duration) {
        if let Some(Some(writer)) = self.writer.get() {
            writer.flush(patience);
        }
    }
}

impl From<Told> for Line {
    fn from(told: Told) -> Line {
        let Told { level, message, mut values } = told;
        let name = match values.shift_remove("event") {
            Some(Value::String(name)) => name,
            _ => String::new(),
        };
        let (time, level) = (now(), super::level(level));
        Line { time, level, name, part: None, message, values }
    }
}

/// Whether colours may be used: see <https://no-color.org>.
fn may_colour() -> bool {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb")
}

/// Whether a stream is connected to the journal: systemd names its device and
/// inode in `JOURNAL_STREAM` (systemd.exec(5)).
pub fn is_journal(stream: impl AsFd) -> bool {
    let Ok(named) = std::env::var("JOURNAL_STREAM") else { return false };
    let Some((device, inode)) = named.split_once(':') else { return false };
    let (Ok(device), Ok(inode)) = (device.parse::<u64>(), inode.parse::<u64>()) else {
        return false;
    };
    rustix::fs::fstat(stream).is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (device, inode))
}

/// The start of a line on standard error: its priority, if it goes to the journal.
pub fn journal_prefix(is_error: bool) -> &'static str {
    match (is_journal(io::stderr()), is_error) {
        (false, _) => "",
        (true, true) => "<3>",
        (true, false) => "<4>",
    }
}
