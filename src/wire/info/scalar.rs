//! Values that consist of one word.

use core::fmt;

use super::GrammarError;
use super::cursor::Cursor;
use crate::map::{ClusterName, NodeId};

/// Parses a generation: a signed 32-bit counter.
///
/// # Errors
/// [`GrammarError`] if the value is not such a number.
pub fn parse_generation(value: &[u8]) -> Result<i32, GrammarError> {
    let mut cursor = Cursor::new("generation", value);
    let generation = cursor.number("a signed 32-bit number")?;
    cursor.end()?;
    Ok(generation)
}

/// Parses the value of `node`.
///
/// # Errors
/// [`GrammarError`] if it is not a node id.
pub fn parse_node(value: &[u8]) -> Result<NodeId, GrammarError> {
    NodeId::from_bytes(value)
        .map_err(|_| Cursor::new("node", value).wanted("a node id of 1 to 19 characters"))
}

/// Parses the value of `cluster-name`; `None` for a cluster without a name, which servers report
/// as "null".
///
/// # Errors
/// [`GrammarError`] if it is not a valid cluster name.
pub fn parse_cluster_name(value: &[u8]) -> Result<Option<ClusterName>, GrammarError> {
    match value {
        b"" | b"null" => Ok(None),
        name => ClusterName::from_bytes(name).map(Some).map_err(|_| {
            Cursor::new("cluster-name", value).wanted("a name of at most 64 printable characters")
        }),
    }
}

/// A server's build, such as `8.1.2.0`; text after the numbers is ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Build([u32; 4]);

impl Build {
    /// The oldest build that supports all commands that are sent.
    pub const OLDEST: Build = Build([4, 9, 0, 3]);
    /// [`OLDEST`](Self::OLDEST) as text.
    pub const OLDEST_TEXT: &'static str = "4.9.0.3";
}

impl fmt::Display for Build {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d] = self.0;
        write!(f, "{a}.{b}.{c}.{d}")
    }
}

/// Parses the value of `build`.
///
/// # Errors
/// [`GrammarError`] if it does not start with a number.
pub fn parse_build(value: &[u8]) -> Result<Build, GrammarError> {
    let mut cursor = Cursor::new("build", value);
    let mut numbers = [0; 4];
    for (index, number) in numbers.iter_mut().enumerate() {
        if index > 0 && !cursor.eat(b'.') {
            break;
        }
        if !cursor.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return Err(cursor.wanted("numbers with points between them"));
        }
        *number = cursor.number("a number")?;
    }
    Ok(Build(numbers))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generations_are_signed_and_whole() {
        assert_eq!(parse_generation(b"-1"), Ok(-1));
        assert_eq!(parse_generation(b"2147483647"), Ok(i32::MAX));
        for text in ["", "-", "+1", "1 ", "1.5", "2147483648", "x"] {
            assert!(parse_generation(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn builds_compare_by_number() {
        let build = |text: &str| parse_build(text.as_bytes()).unwrap();
        assert!(build("4.9.0.3") == Build::OLDEST && build("4.9.0.11-7-gabc") > Build::OLDEST);
        assert!(build("4.9.0.2") < Build::OLDEST && build("3.16") < Build::OLDEST);
        assert!(build("10.0.0.0") > build("9.9.9.9"));
        assert_eq!(build("8.1.2.0").to_string(), "8.1.2.0");
        assert_eq!(Build::OLDEST.to_string(), Build::OLDEST_TEXT);
        for text in ["", "v8", "8..1", "-8.1", "8.x"] {
            assert!(parse_build(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_cluster_may_be_nameless() {
        assert_eq!(parse_cluster_name(b"null"), Ok(None));
        assert_eq!(parse_cluster_name(b""), Ok(None));
        assert_eq!(parse_cluster_name(b"lab").unwrap().unwrap().as_str(), "lab");
        assert!(parse_cluster_name(b"\x01").is_err());
        assert!(parse_node(b"").is_err() && parse_node(b"D4").is_ok());
    }
}
