//! Versions of clients, and the layout of the segment that each expects.
//!
//! The segment itself says neither its version nor its layout, so both are given with
//! the key. The ranges are those of releases whose debug information was read. A version
//! outside them is refused, since a wrong layout makes clients fail every command and
//! write into the wrong fields.

use core::fmt;
use core::str::FromStr;

use super::layout::Layout;
use crate::segment::PlaceError;

/// The version of a client that attaches to a segment, and the layout that it expects.
///
/// It is parsed from the version of a C client (`7.6.1`, `c-7.4.0`, `6.3`) or of a client
/// that has the C client inside (`python-19.3`, `node-6.7`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientVersion {
    client: Client,
    major: u16,
    minor: u16,
    /// `None` if it was not given; all patches of that minor version have one layout then.
    patch: Option<u16>,
    layout: Layout,
}

/// A kind of client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// The C client itself.
    C,
    /// PyPI `aerospike`.
    Python,
    /// npm `aerospike`.
    Node,
}

type Number = (u16, u16, u16);

/// Stands for any patch.
const ANY: u16 = u16::MAX;

/// Released versions, oldest first, and the layout of each range (both ends included).
const RELEASES: [(Client, Number, Number, Layout); 7] = [
    (Client::C, (4, 3, 21), (6, 3, ANY), Layout::D),
    (Client::C, (6, 4, 0), (7, 4, 0), Layout::E),
    (Client::C, (7, 4, 1), (7, 6, 1), Layout::F),
    (Client::Python, (4, 0, 0), (11, 0, 1), Layout::D),
    (Client::Python, (11, 2, 0), (19, 2, 1), Layout::E),
    (Client::Python, (19, 2, 2), (19, 3, 0), Layout::F),
    // Earlier versions have C clients of several layouts inside.
    (Client::Node, (6, 0, 0), (6, 7, ANY), Layout::E),
];

/// A text that is not `KEY:VERSION`, or a version whose layout is not known.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// There is no colon.
    #[error(
        "{found:?} is not KEY:VERSION; wanted a key and the version of the clients, such as 0xAC000000:7.6.1 or 0xA8000000:python-19.3"
    )]
    Form {
        /// The text that was given.
        found: String,
    },
    /// The key is invalid.
    #[error(transparent)]
    Key(#[from] PlaceError),
    /// The key is 0, which the kernel uses for segments without a key.
    #[error("the key 0 names no segment; wanted 1 to 0xffffffff")]
    NoKey,
    /// It is not a version.
    #[error("invalid client version {found:?}; wanted {}; {}", FORM, Supported)]
    Malformed {
        /// The text.
        found: String,
    },
    /// It is newer than any version whose layout is known.
    #[error(
        "client version {found} is newer than {newest}, the newest whose segment layout is known; \
         use a newer tendmap, or let these clients keep a segment of their own under another key; \
         {}",
        Supported
    )]
    TooNew {
        /// The version.
        found: String,
        /// The newest known version of that client.
        newest: String,
    },
    /// It is not in any range of versions whose layout is known.
    #[error(
        "the segment layout of client version {found} is not known; upgrade the client, or name \
         the version of the C client inside it (as in c-6.3.0); {}",
        Supported
    )]
    Unknown {
        /// The version.
        found: String,
    },
    /// Patches of that minor version differ in their layout.
    #[error(
        "client version {found} does not determine the segment layout; give its patch number: \
         {choices}"
    )]
    Ambiguous {
        /// The version.
        found: String,
        /// The ranges in question.
        choices: String,
    },
}

const FORM: &str = "MAJOR.MINOR or MAJOR.MINOR.PATCH of a C client, or after \"python-\" or \
                    \"node-\" of such a client, as in 7.6.1, python-19.3 or node-6.7";

/// The supported versions as text, for the end of an error.
struct Supported;

impl fmt::Display for Supported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("supported: ")?;
        for (index, release) in RELEASES.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{}", Range(release))?;
        }
        Ok(())
    }
}

/// A range of versions as text.
struct Range<'a>(&'a (Client, Number, Number, Layout));

impl fmt::Display for Range<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (client, first, last, layout) = *self.0;
        write!(f, "{} {} to {} ({layout})", client.name(), Dotted(first), Dotted(last))
    }
}

struct Dotted(Number);

impl fmt::Display for Dotted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = self.0;
        match patch {
            ANY => write!(f, "{major}.{minor}.x"),
            _ => write!(f, "{major}.{minor}.{patch}"),
        }
    }
}

impl Client {
    /// Its name in a sentence.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Client::C => "C",
            Client::Python => "Python",
            Client::Node => "Node.js",
        }
    }

    /// What stands before its version.
    const fn prefix(self) -> &'static str {
        match self {
            Client::C => "c-",
            Client::Python => "python-",
            Client::Node => "node-",
        }
    }
}

impl ClientVersion {
    internal! {
        /// The layout that a client of this version expects.
        #[must_use]
        fn layout(self) -> Layout {
            self.layout
        }
    }

    internal! {
        /// The kind of client.
        #[must_use]
        fn client(self) -> Client {
            self.client
        }
    }
}

impl FromStr for ClientVersion {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<ClientVersion, TargetError> {
        let malformed = || TargetError::Malformed { found: text.into() };
        let clients = [Client::C, Client::Python, Client::Node];
        let prefixed = clients.iter().find_map(|&c| Some((c, text.strip_prefix(c.prefix())?)));
        let (client, digits) = prefixed.unwrap_or((Client::C, text));
        let (major, minor, patch) = numbers(digits).ok_or_else(malformed)?;
        let low = (major, minor, patch.unwrap_or(0));
        let high = (major, minor, patch.unwrap_or(ANY));
        let known = || RELEASES.iter().filter(move |release| release.0 == client);
        let matching: Vec<_> = known().filter(|&&(_, a, b, _)| a <= high && low <= b).collect();
        match matching[..] {
            // All patches that it can stand for, except unreleased ones after the newest.
            [&(_, first, _, layout)] if first <= low => {
                Ok(ClientVersion { client, major, minor, patch, layout })
            }
            [] if known().all(|release| release.2 < low) => {
                let newest = known().next_back().map_or((0, 0, 0), |release| release.2);
                let newest = format!("{} {}", client.name(), Dotted(newest));
                Err(TargetError::TooNew { found: text.into(), newest })
            }
            [] => Err(TargetError::Unknown { found: text.into() }),
            _ => {
                let choices: Vec<_> = matching.into_iter().map(|r| Range(r).to_string()).collect();
                let choices = choices.join(" or ");
                Err(TargetError::Ambiguous { found: text.into(), choices })
            }
        }
    }
}

/// `major.minor` or `major.minor.patch`, in digits alone.
fn numbers(text: &str) -> Option<(u16, u16, Option<u16>)> {
    let number = |part: &str| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        let number: Option<u16> = if digits { part.parse().ok() } else { None };
        number.filter(|&number| number != ANY)
    };
    let mut parts = text.split('.');
    let (major, minor) = (number(parts.next()?)?, number(parts.next()?)?);
    let patch = match parts.next() {
        Some(part) => Some(number(part)?),
        None => None,
    };
    if parts.next().is_some() { None } else { Some((major, minor, patch)) }
}

impl fmt::Display for ClientVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.client == Client::C { "" } else { self.client.prefix() };
        write!(f, "{prefix}{}.{}", self.major, self.minor)?;
        self.patch.map_or(Ok(()), |patch| write!(f, ".{patch}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn layout(text: &str) -> Result<Layout, TargetError> {
        text.parse().map(ClientVersion::layout)
    }

    #[test]
    fn each_known_version_has_its_layout() {
        let known = [
            (Layout::D, "4.3.21 4.4 5.0.0 6.3 6.3.4 c-6.3 python-4.0 python-11.0.1 python-11.0"),
            (Layout::E, "6.4 6.4.0 7.3.0 7.4.0 c-7.4.0 python-11.2 python-19.1 python-19.2.1"),
            (Layout::E, "node-6.0 node-6.7 node-6.7.1 node-6.7.9"),
            (
                Layout::F,
                "7.4.1 7.5 7.6.0 7.6 7.6.1 c-7.6.1 python-19.2.2 python-19.3 python-19.3.0",
            ),
        ];
        for (wanted, texts) in known {
            for text in texts.split(' ') {
                assert_eq!(layout(text), Ok(wanted), "{text}");
            }
        }
    }

    #[test]
    fn a_version_of_an_unknown_layout_is_refused_with_what_to_do() {
        for text in ["7.6.2", "7.7", "8.0.0", "python-19.3.1", "python-20.0", "node-6.8"] {
            let error = layout(text).unwrap_err();
            assert!(matches!(error, TargetError::TooNew { .. }), "{error}");
            assert!(error.to_string().contains(text), "{error}");
        }
        for text in ["4.2", "4.3.20", "3.0.1", "python-3.9", "python-11.1", "node-5.13"] {
            let error = layout(text).unwrap_err();
            assert!(matches!(error, TargetError::Unknown { .. }), "{error}");
        }
        for text in ["7.4", "python-19.2", "4.3"] {
            let error = layout(text).unwrap_err();
            assert!(matches!(error, TargetError::Ambiguous { .. }), "{error}");
        }
        for text in [
            "",
            "7",
            "7.",
            "7.6.",
            "7.6.1.0",
            "7.6.1-2",
            "+7.6",
            "v7.6.1",
            "python",
            "python-",
            "ruby-1.0",
            "7.65535",
            "70000.1",
            "Python-19.3",
            " 7.6",
            "7.6\n",
        ] {
            let error = layout(text).unwrap_err();
            assert!(matches!(error, TargetError::Malformed { .. }), "{text:?}: {error}");
        }
        let error = layout("7.7.0").unwrap_err().to_string();
        for part in ["7.7.0", "C 7.6.1", "newer tendmap", "Python 19.2.2 to 19.3.0 (F)"] {
            assert!(error.contains(part), "{error}");
        }
    }

    proptest! {
        #[test]
        fn a_version_reads_as_it_is_shown(text in "(c-|python-|node-)?[0-9]{1,2}\\.[0-9]{1,2}(\\.[0-9]{1,2})?") {
            if let Ok(version) = text.parse::<ClientVersion>() {
                prop_assert_eq!(version.to_string().parse(), Ok(version));
            }
        }

        #[test]
        fn any_text_gets_a_version_or_an_error(text in ".{0,40}") {
            let _ = text.parse::<ClientVersion>().map_err(|error| error.to_string());
        }
    }
}
