//! One line of the log: as text for people or for the journal, or as JSON.

use core::fmt::Write as _;
use std::process;
use std::time::SystemTime;

use anstyle::{AnsiColor, Style};
use serde_json::{Map, Value};
use tendmap::internals::text::Printable;
use tracing::Level;

use crate::json;

/// The format of the log.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A line for people: the time, the level, and the message with its values.
    Text,
    /// One object per line.
    Json,
}

/// How lines are written.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// The format.
    pub format: Format,
    /// Whether the stream is the journal: text then begins with its priority, and
    /// has no time, which the journal records.
    pub journal: bool,
    /// Whether text has colours.
    pub colours: bool,
}

/// A line.
pub struct Line {
    /// When it happened.
    pub time: SystemTime,
    /// How much it matters.
    pub level: Level,
    /// The name of the event; `log` for a message of a library.
    pub name: String,
    /// The part of the library that logs.
    pub part: Option<String>,
    /// The sentence, with the values.
    pub message: String,
    /// The values, as JSON: those of an event are keys of the line.
    pub values: Map<String, Value>,
}

/// The name of a level, as in [`tendmap::client::Level`].
fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

/// The priority of a level in the journal (syslog(3)).
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

fn colour(level: Level) -> Style {
    let colour = match level {
        Level::ERROR => AnsiColor::Red,
        Level::WARN => AnsiColor::Yellow,
        Level::INFO => AnsiColor::Green,
        Level::DEBUG => AnsiColor::Blue,
        Level::TRACE => AnsiColor::Magenta,
    };
    colour.on_default()
}

/// The time of a line.
#[expect(clippy::disallowed_methods, reason = "shown, never waited for")]
pub fn now() -> SystemTime {
    SystemTime::now()
}

/// The moment in UTC, as RFC 3339 with milliseconds.
fn moment(time: SystemTime) -> impl core::fmt::Display {
    humantime::format_rfc3339_millis(time)
}

impl Line {
    /// The line with its newline.
    pub fn text(&self, look: Look) -> String {
        match look.format {
            Format::Json => json::line(&self.json()) + "\n",
            Format::Text => self.plain(look),
        }
    }

    fn plain(&self, look: Look) -> String {
        let mut line = String::new();
        // Writing to memory does not fail.
        let _ = match (look.journal, look.colours) {
            (true, _) => write!(line, "<{}>", priority(self.level)),
            (_, false) => {
                let level = name(self.level).to_uppercase();
                write!(line, "{} {level:<7} ", moment(self.time))
            }
            (_, true) => {
                let (style, dim) = (colour(self.level), Style::new().dimmed());
                let (level, time) = (name(self.level).to_uppercase(), moment(self.time));
                write!(line, "{dim}{time}{dim:#} {style}{level:<7}{style:#} ")
            }
        };
        let name = Printable(self.part.as_ref().unwrap_or(&self.name));
        let message = Printable(self.shortened());
        let _ = match self.shortened() {
            "" => writeln!(line, "{name}"),
            _ => writeln!(line, "{name}: {message}"),
        };
        line
    }

    /// The message without the name of its event, which the line has anyway.
    fn shortened(&self) -> &str {
        let words = self.name.replace('_', " ");
        match self.message.strip_prefix(&words) {
            Some("") => "",
            Some(rest) => rest.strip_prefix(": ").unwrap_or(&self.message),
            None => &self.message,
        }
    }

    fn json(&self) -> Value {
        let mut object = Map::new();
        object.insert("time".into(), moment(self.time).to_string().into());
        object.insert("level".into(), name(self.level).into());
        object.insert("event".into(), self.name.clone().into());
        if let Some(part) = &self.part {
            object.insert("part".into(), part.clone().into());
        }
        object.extend(self.values.clone());
        object.insert("message".into(), self.message.clone().into());
        object.insert("pid".into(), process::id().into());
        Value::Object(object)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::time::{Duration, UNIX_EPOCH};

    const PLAIN: Look = Look { format: Format::Text, journal: false, colours: false };

    fn line() -> Line {
        let Value::Object(values) = json!({ "node": "A", "address": "127.0.0.1:1" }) else {
            unreachable!()
        };
        Line {
            time: UNIX_EPOCH + Duration::from_millis(1_795_900_000_007),
            level: Level::INFO,
            name: "node_added".into(),
            part: None,
            message: "node added: id A, address 127.0.0.1:1".into(),
            values,
        }
    }

    #[test]
    fn h150_a_line_has_time_level_name_and_values_in_every_format() {
        let line = line();
        let rest = "node_added: id A, address 127.0.0.1:1\n";
        assert_eq!(line.text(PLAIN), format!("2026-11-28T21:06:40.007Z INFO    {rest}"));
        assert_eq!(line.text(Look { journal: true, ..PLAIN }), format!("<6>{rest}"));
        let coloured = line.text(Look { colours: true, ..PLAIN });
        assert!(coloured.contains("\u{1b}[32mINFO"), "{coloured:?}");
        assert!(coloured.ends_with(&format!("\u{1b}[0m {rest}")), "{coloured:?}");
        let found = line.text(Look { format: Format::Json, journal: true, colours: true });
        let wanted = format!(
            "{{\"time\":\"2026-11-28T21:06:40.007Z\",\"level\":\"info\",\"event\":\"node_added\",\
             \"node\":\"A\",\"address\":\"127.0.0.1:1\",\"message\":\"node added: id A, address \
             127.0.0.1:1\",\"pid\":{}}}\n",
            process::id()
        );
        assert_eq!(found, wanted);
    }

    #[test]
    fn h150_the_journal_gets_a_priority_for_each_level() {
        let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
        assert_eq!(levels.map(priority), [3, 4, 6, 7, 7]);
        assert_eq!(levels.map(name), ["error", "warning", "info", "debug", "trace"]);
    }

    #[test]
    fn h150_a_message_that_only_repeats_its_name_is_shown_once() {
        let shown = |name: &str, message: &str| {
            let line = Line { name: name.into(), message: message.into(), ..line() };
            line.text(Look { journal: true, ..PLAIN })
        };
        assert_eq!(shown("closed", "closed"), "<6>closed\n");
        assert_eq!(shown("owner", "owner: term 1"), "<6>owner: term 1\n");
        assert_eq!(shown("owner", "ownership"), "<6>owner: ownership\n");
        let part = Some("tendmap::tend".to_owned());
        let line = Line { name: "log".into(), part, message: "logged in a=1".into(), ..line() };
        assert!(line.text(PLAIN).ends_with(" INFO    tendmap::tend: logged in a=1\n"));
        assert_eq!(shown("trouble", "a\nb\u{1b}[2J"), "<6>trouble: a\\nb\\u{1b}[2J\n");
    }
}
