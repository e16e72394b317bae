//! The library's log on standard error, if it is turned on.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::{Handle, Layer};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry};

use crate::fields;
use crate::writer::{Stream, Writer};

/// How long writing the last lines may take when the command ends.
const PATIENCE: Duration = Duration::from_millis(500);

/// The log, whose level can be changed.
pub struct Log(Handle<EnvFilter, Registry>);

impl Log {
    /// Starts to log at this level; without one, nothing is logged.
    pub fn start(level: Option<&str>) -> Log {
        let (filter, handle) = Layer::new(filter(level));
        let colours = io::stderr().is_terminal() && may_colour();
        let format = tracing_subscriber::fmt::layer()
            .with_ansi(colours)
            .fmt_fields(fields::printable())
            .with_writer(|| Lines);
        tracing_subscriber::registry().with(filter).with(format).init();
        Log(handle)
    }

    /// Changes the level.
    pub fn set(&self, level: Option<&str>) {
        // This fails only if the subscriber was dropped.
        let _ = self.0.reload(filter(level));
    }

    /// Waits until all lines that were logged before are written.
    pub fn flush(&self) {
        if let Some(Some(writer)) = WRITER.get() {
            writer.flush(PATIENCE);
        }
    }
}

/// Whether colours may be used: see <https://no-color.org>.
fn may_colour() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The writer of the log, started at the first line; `None` if its thread could
/// not be started.
static WRITER: OnceLock<Option<Writer>> = OnceLock::new();

/// The target of the log. It never fails and never blocks, because the library's
/// own threads log.
struct Lines;

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let notice = |lost| format!("tendmap: {lost} lines of the log were lost\n");
        let start = || Writer::start(Stream::Error, Box::new(notice)).ok();
        if let Some(writer) = WRITER.get_or_init(start) {
            writer.write(String::from_utf8_lossy(bytes).into_owned());
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn filter(level: Option<&str>) -> EnvFilter {
    // The level was checked when it was read.
    level.and_then(|level| EnvFilter::try_new(level).ok()).unwrap_or_else(|| EnvFilter::new("off"))
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
