//! Values that consist of one word.

use super::bad::BadEntries;
use super::cursor::Cursor;
use super::{GrammarError, InfoError, Reply};
use crate::map::{Build, ClusterName, NodeId};

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

/// The build that a reply contains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadBuild {
    /// The build; `None` if the server does not report one, or if what it
    /// reports can't be used.
    pub found: Option<Build>,
    /// What can't be used.
    pub bad: BadEntries,
}

/// Reads the build from a reply to `build`. Everything else works without it, so
/// that nothing that a server says there makes its reply a bad one.
///
/// # Errors
/// [`InfoError::Missing`] if the request did not ask for it.
pub fn read_build(reply: &Reply<'_>) -> Result<ReadBuild, InfoError> {
    let mut read = ReadBuild::default();
    match reply.value("build") {
        Ok(b"") | Err(InfoError::Refused { .. }) => {}
        Ok(value) => {
            read.found = Build::parse(value);
            if read.found.is_none() {
                read.bad.add("build", value, "it is not one to four numbers with points between");
            }
        }
        Err(error) => return Err(error),
    }
    Ok(read)
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
    fn a_build_is_read_if_there_is_one() {
        let read = |line: &[u8]| read_build(&Reply::parse(line, &["build"]).unwrap()).unwrap();
        let shown = |line: &[u8]| read(line).found.unwrap().to_string();
        assert_eq!(shown(b"build\t8.1.2.0\n"), "8.1.2.0");
        assert_eq!(shown(b"build\t6.4.0-rc1\n"), "6.4.0.0");
        let none: [&[u8]; 4] =
            [b"build\n", b"build\t\n", b"build\tERROR:4:unrecognized\n", b"build\tFAIL\n"];
        for line in none {
            assert_eq!(read(line), ReadBuild::default(), "{line:?}");
        }
        let bad = read(b"build\t8.1.70000.1\x1b[31m\n");
        assert_eq!((bad.found, bad.bad.count()), (None, 1));
        assert!(read_build(&Reply::parse(b"node\tA\n", &["node"]).unwrap()).is_err());
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
