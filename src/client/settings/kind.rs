//! What kinds of values settings have.

use super::duration::DurationError;

/// A kind of values: what text is one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SettingKind {
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
    /// Keys of C client segments with the versions of their clients, separated
    /// by commas.
    #[cfg(feature = "c-client")]
    Targets,
}

impl SettingKind {
    /// The unit of a bare number, if values of this kind have one.
    #[must_use]
    pub fn unit(self) -> Option<&'static str> {
        match self {
            SettingKind::Number { unit } => Some(unit),
            SettingKind::Duration => Some("seconds"),
            SettingKind::Mode => Some("octal"),
            _ => None,
        }
    }

    /// Whether every text is a value.
    #[must_use]
    pub fn takes_any_text(self) -> bool {
        matches!(
            self,
            SettingKind::Text | SettingKind::Secret | SettingKind::File | SettingKind::Directory
        )
    }

    /// Whether a value is made of others, separated by commas.
    #[must_use]
    pub fn is_list(self) -> bool {
        #[cfg(feature = "c-client")]
        if self == SettingKind::Targets {
            return true;
        }
        matches!(
            self,
            SettingKind::Hosts | SettingKind::Pairs | SettingKind::Users | SettingKind::Racks
        )
    }

    /// What a value is, as errors say it.
    #[must_use]
    pub fn wanted(self) -> String {
        let wanted = match self {
            SettingKind::Text | SettingKind::Secret => "a text",
            SettingKind::File => "a file",
            SettingKind::Directory => "a directory",
            SettingKind::Switch => "true or false",
            SettingKind::Choice(words) => return choice(words),
            SettingKind::Number { .. } => "a whole number",
            SettingKind::Key => {
                "a number of 32 bits, decimal or 0x and up to 8 hex digits, at most 0xffffffff"
            }
            SettingKind::Mode => "octal digits, such as 0640",
            SettingKind::Duration => DurationError::WANTED,
            SettingKind::Hosts => {
                "one or more NAME:PORT, IPv4:PORT or [IPv6]:PORT, with a TLS name before the \
                 port if need be, separated by commas"
            }
            SettingKind::Pairs => {
                "TOLD=USED, such as 10.0.0.1=db1, several separated by commas, each TOLD once"
            }
            SettingKind::Users => "names or numbers of users of this host, separated by commas",
            #[cfg(feature = "c-client")]
            SettingKind::Targets => {
                "KEY:VERSION, such as 0xAC000000:7.6.1 or 0xA8000000:python-19.3, several \
                 separated by commas"
            }
            SettingKind::Racks => "whole numbers of 32 bits, separated by commas, the best first",
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
