//! What kinds of values settings have.

use super::duration::DurationError;

/// A kind of values: what text is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// Any text.
    Text,
    /// A text that is never shown.
    Secret,
    /// The path of a file.
    File,
    /// The path of a directory.
    Directory,
    /// `true` or `false`.
    Switch,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// A whole number.
    Number {
        /// What is counted.
        unit: &'static str,
    },
    /// A number of 32 bits, decimal or `0x…`.
    Key,
    /// Octal mode bits.
    Mode,
    /// A duration, see [`parse_duration`](super::parse_duration).
    Duration,
    /// Servers, separated by commas.
    Hosts,
    /// Pairs of hosts, separated by commas.
    Pairs,
    /// Users of this host, separated by commas.
    Users,
    /// Numbers of racks, separated by commas.
    Racks,
}

impl Kind {
    /// The unit of a bare number, if values of this kind have one.
    #[must_use]
    pub fn unit(self) -> Option<&'static str> {
        match self {
            Kind::Number { unit } => Some(unit),
            Kind::Duration => Some("seconds"),
            Kind::Mode => Some("octal"),
            _ => None,
        }
    }

    /// Whether every text is a value.
    #[must_use]
    pub fn takes_any_text(self) -> bool {
        matches!(self, Kind::Text | Kind::Secret | Kind::File | Kind::Directory)
    }

    /// Whether a value is made of others, separated by commas.
    #[must_use]
    pub fn is_list(self) -> bool {
        matches!(self, Kind::Hosts | Kind::Pairs | Kind::Users | Kind::Racks)
    }

    /// What a value is, as errors say it.
    #[must_use]
    pub fn wanted(self) -> String {
        let wanted = match self {
            Kind::Text | Kind::Secret => "a text",
            Kind::File => "a file",
            Kind::Directory => "a directory",
            Kind::Switch => "true or false",
            Kind::Choice(words) => return choice(words),
            Kind::Number { .. } => "a whole number",
            Kind::Key => {
                "a number of 32 bits, decimal or 0x and up to 8 hex digits, at most 0xffffffff"
            }
            Kind::Mode => "octal digits, such as 0640",
            Kind::Duration => DurationError::WANTED,
            Kind::Hosts => {
                "one or more NAME:PORT, IPv4:PORT or [IPv6]:PORT, with a TLS name before the \
                 port if need be, separated by commas"
            }
            Kind::Pairs => {
                "TOLD=USED, such as 10.0.0.1=db1, several separated by commas, each TOLD once"
            }
            Kind::Users => "names or numbers of users of this host, separated by commas",
            Kind::Racks => "whole numbers of 32 bits, separated by commas, the best first",
        };
        wanted.to_owned()
    }
}

fn choice(words: &[&str]) -> String {
    match words {
        [words @ .., last] if !words.is_empty() => format!("{} or {last}", words.join(", ")),
        words => words.concat(),
    }
}
