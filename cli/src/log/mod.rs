//! The log: the events that a command reports, and what libraries log, in one
//! stream.
//!
//! `tend` logs to standard output, because events are its answer: they can be
//! piped. All other commands have answers of their own there, and log to standard
//! error. Errors that end a command go to standard error always.

mod library;
mod line;
mod sink;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tendmap::client::Level as EventLevel;
use tracing::{Level, enabled};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::{Handle, Layer};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use crate::event::Told;
use crate::writer::Stream;
use library::Messages;
pub use line::Format;
use sink::Sink;
pub use sink::journal_prefix;

/// How long writing the last lines may take when the command ends.
const PATIENCE: Duration = Duration::from_secs(1);

/// The part under which `--log` finds the events of `tend`.
macro_rules! events {
    () => {
        "tendmap::event"
    };
}

/// Where a command logs, and what it logs by default.
#[derive(Clone, Copy, Debug)]
pub enum Use {
    /// To standard error; nothing by default.
    Beside,
    /// To standard output; by default all events, and messages from `info`.
    Answer,
}

impl Use {
    fn default_levels(self) -> &'static str {
        match self {
            Use::Beside => "off",
            Use::Answer => concat!("info,", events!(), "=debug"),
        }
    }
}

/// The log, whose level can be changed.
#[derive(Clone)]
pub struct Log {
    handle: Handle<EnvFilter, Registry>,
    sink: Arc<Sink>,
    for_: Use,
}

impl Log {
    /// Starts to log at this level.
    pub fn start(level: Option<&str>, format: Format, for_: Use) -> Log {
        let (filter, handle) = Layer::new(filter(level, for_));
        let (stream, reports_events) = match for_ {
            Use::Beside => (Stream::Error, false),
            Use::Answer => (Stream::Output, true),
        };
        let sink = Arc::new(Sink::new(stream, format));
        let messages = Messages { sink: sink.clone(), reports_events };
        // A program that contains the command line may have a log already.
        let _ = tracing_subscriber::registry().with(filter).with(messages).try_init();
        Log { handle, sink, for_ }
    }

    /// Starts the thread that writes; otherwise the first line does.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn begin(&self) -> io::Result<()> {
        self.sink.start()
    }

    /// Changes the level.
    pub fn set(&self, level: Option<&str>) {
        // This fails only if the subscriber was dropped.
        let _ = self.handle.reload(filter(level, self.for_));
    }

    /// Reports an event, if its level is wanted.
    pub fn tell(&self, told: Told) {
        let wanted = match told.level {
            EventLevel::Debug => enabled!(target: events!(), Level::DEBUG),
            EventLevel::Info => enabled!(target: events!(), Level::INFO),
            EventLevel::Warning => enabled!(target: events!(), Level::WARN),
        };
        if wanted {
            self.sink.write(&told.into());
        }
    }

    /// Waits until all lines that were logged before are written.
    pub fn flush(&self) {
        self.sink.flush(PATIENCE);
    }
}

/// The level of an event as one of the log.
fn level(level: EventLevel) -> Level {
    match level {
        EventLevel::Debug => Level::DEBUG,
        EventLevel::Info => Level::INFO,
        EventLevel::Warning => Level::WARN,
    }
}

fn filter(level: Option<&str>, for_: Use) -> EnvFilter {
    // The level was checked when it was read.
    level
        .and_then(|level| EnvFilter::try_new(level).ok())
        .unwrap_or_else(|| EnvFilter::new(for_.default_levels()))
}

/// Checks a level.
///
/// # Errors
/// The text that was found, and what was wanted.
pub fn parse(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let refused =
        || format!("{text:?}; wanted error, warn, info, debug, trace or PART=LEVEL,PART=LEVEL…");
    // The subscriber would take a word that is not a level for the name of a part.
    let is_level = |part: &str| {
        let level = part.rsplit_once('=').map_or(part, |(_, level)| level).trim();
        LEVELS.contains(&level.to_ascii_lowercase().as_str())
    };
    if !text.split(',').all(is_level) {
        return Err(refused());
    }
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|_| refused())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_checked() {
        for text in ["info", "WARN", "tendmap=debug", "warn,tendmap::tend=trace", "off"] {
            assert!(parse(text).is_ok(), "{text}");
        }
        for text in ["", "loud", "tendmap=loud", "info,", "tendmap"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
