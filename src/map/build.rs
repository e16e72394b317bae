//! The build of a server.

use core::fmt;
use core::str::FromStr;

/// A server's build, such as `8.1.2.0`. Builds compare by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(clippy::exhaustive_structs, reason = "the numbers are all there is")]
pub struct Build {
    /// The first number.
    pub major: u16,
    /// The second number.
    pub minor: u16,
    /// The third number.
    pub patch: u16,
    /// The fourth number.
    pub build: u16,
}

impl Build {
    /// The oldest build that supports all commands that are sent.
    pub const OLDEST: Build = Build { major: 4, minor: 9, patch: 0, build: 3 };
    /// [`OLDEST`](Self::OLDEST) as text.
    #[cfg(feature = "tend")]
    pub(crate) const OLDEST_TEXT: &'static str = "4.9.0.3";

    internal! {
        /// The build in a server's reply, which need not be text.
        #[must_use]
        fn parse(text: &[u8]) -> Option<Build> {
            let (mut numbers, mut rest) = ([0; 4], text);
            for (index, number) in numbers.iter_mut().enumerate() {
                match rest.strip_prefix(b".") {
                    _ if index == 0 => {}
                    Some(after) => rest = after,
                    None => break,
                }
                let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
                let (text, after) = rest.split_at(digits);
                *number = core::str::from_utf8(text).ok()?.parse().ok()?;
                rest = after;
            }
            let [major, minor, patch, build] = numbers;
            Some(Build { major, minor, patch, build })
        }
    }
}

/// A text that is not a server's build.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a server's build; wanted one to four numbers, such as 8.1.2.0")]
#[non_exhaustive]
pub struct BuildError {
    /// The text that was given.
    pub found: String,
}

/// The build in a text as servers send it: one to four numbers below 65,536
/// with points between them. Missing numbers are 0, and what follows the
/// numbers is ignored: `7.0.0.26-rc1`, `6.4.0`.
///
/// ```
/// use tendmap::map::Build;
/// let build: Build = "7.0.0.26-rc1".parse().unwrap();
/// assert_eq!(build.to_string(), "7.0.0.26");
/// assert!(build < "7.1".parse().unwrap());
/// assert!("unknown".parse::<Build>().is_err());
/// ```
impl FromStr for Build {
    type Err = BuildError;

    fn from_str(text: &str) -> Result<Build, BuildError> {
        Build::parse(text.as_bytes()).ok_or_else(|| BuildError { found: text.to_owned() })
    }
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Build { major, minor, patch, build } = self;
        f.pad(&format!("{major}.{minor}.{patch}.{build}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(text: &str) -> Option<String> {
        text.parse().ok().map(|build: Build| build.to_string())
    }

    #[test]
    fn builds_are_read_as_servers_write_them() {
        for (text, build) in [
            ("8.1.2.0", "8.1.2.0"),
            ("7.0.0.26-rc1", "7.0.0.26"),
            ("6.4.0", "6.4.0.0"),
            ("4.9.0.11-7-gabc", "4.9.0.11"),
            ("8.1-rc1.2", "8.1.0.0"),
            ("8", "8.0.0.0"),
            ("8.1.2.0.99999999", "8.1.2.0"),
            ("65535.65535.65535.65535", "65535.65535.65535.65535"),
            ("0.0.0.0", "0.0.0.0"),
        ] {
            assert_eq!(shown(text).as_deref(), Some(build), "{text}");
        }
        for text in [
            "",
            "v8",
            "8..1",
            "-8.1",
            "+8.1",
            "8.x",
            "8.",
            "8.1.2.",
            ".8",
            " 8",
            "65536",
            "8.65536",
            "8.1.2.99999999999999999999",
            "\u{661}.1",
        ] {
            assert_eq!(shown(text), None, "{text}");
        }
    }

    #[test]
    fn builds_compare_by_number() {
        let build = |text: &str| text.parse::<Build>().unwrap();
        assert!(build("4.9.0.3") == Build::OLDEST && build("4.9.0.11-7-gabc") > Build::OLDEST);
        assert!(build("4.9.0.2") < Build::OLDEST && build("3.16") < Build::OLDEST);
        assert!(build("10.0.0.0") > build("9.9.9.9"));
        assert_eq!(Build::OLDEST.to_string(), Build::OLDEST_TEXT);
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(major: u16, minor: u16, patch: u16, build: u16) {
            let build = Build { major, minor, patch, build };
            prop_assert_eq!(build.to_string().parse(), Ok(build));
        }

        #[test]
        fn any_bytes_are_harmless(bytes: Vec<u8>) {
            let _ = Build::parse(&bytes);
        }
    }
}
