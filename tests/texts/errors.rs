//! The texts of errors: written for people, never a value in Rust's debug format.

use std::sync::Arc;
use std::time::Duration;

use tendmap::client::{ChangesError, ConfigError, ConnectError};
use tendmap::internals::protocol::{Head, NewerTag, PublishError, ReadRaced, TakeoverLost, Term};
use tendmap::internals::segment::OwnershipLost;
use tendmap::internals::tend::transport::Interrupted;
use tendmap::internals::text::is_printable;
use tendmap::map::Capacity;
use tendmap::map::{NodeId, SnapshotError};
use tendmap::route::{Policy, RouteError};
use tendmap::segment::HeaderError;
use tendmap::segment::SegmentError;
use tendmap::tend::TendError;

const FOREIGN: &str = "\u{1b}[2J\r\n\u{9b}\u{202e}\u{feff}";

fn errors() -> Vec<Box<dyn std::error::Error>> {
    let foreign = || FOREIGN.to_owned();
    let at = || format!("/dev/shm/{FOREIGN}").into();
    vec![
        Box::new(RouteError::NamespaceUnknown { name: foreign(), known: Vec::new() }),
        Box::new(RouteError::NamespaceUnknown {
            name: "a".into(),
            known: vec!["b".into(), foreign()],
        }),
        Box::new(RouteError::NoNode { namespace: foreign(), partition: 1, policy: Policy::Master }),
        Box::new(SegmentError::Owner { at: at(), found: 7, wanted: vec![0, 5001] }),
        Box::new(SegmentError::Owner { at: at(), found: 7, wanted: vec![0] }),
        Box::new(SegmentError::Maker { at: at(), owner: 0, creator: 7, wanted: vec![0] }),
        Box::new(SegmentError::GroupWrite { at: at(), found: 0o660 }),
        Box::new(ConfigError::GroupWrite { found: 0o660 }),
        Box::new(SegmentError::NotFound { key: 1, directory: FOREIGN.into() }),
        Box::new(SegmentError::NoSpace { wanted: 2, directory: FOREIGN.into(), free: 1 }),
        Box::new(SegmentError::NoInode { directory: FOREIGN.into() }),
        Box::new(SegmentError::Directory {
            directory: FOREIGN.into(),
            error: Arc::new(std::io::Error::from_raw_os_error(2)),
        }),
        Box::new(SegmentError::FileLimit { directory: FOREIGN.into(), wanted: 2, found: 1 }),
        Box::new(SegmentError::OtherDirectory { at: at(), directory: FOREIGN.into() }),
        Box::new(SegmentError::Io {
            action: "open",
            at: at(),
            error: Arc::new(std::io::Error::from_raw_os_error(13)),
        }),
        Box::new(SegmentError::Header { at: at(), error: HeaderError::Magic }),
        Box::new(ConnectError::Tend(TendError::NoSeed { tried: vec![foreign()] })),
        Box::new(ConnectError::Thread(Arc::new(std::io::Error::from_raw_os_error(11)))),
        Box::new(ConnectError::Segment(SegmentError::NoKey)),
        Box::new(ChangesError::Closed),
        Box::new(ChangesError::Inherited),
        Box::new(ChangesError::Descriptor(Arc::new(std::io::Error::from_raw_os_error(24)))),
        Box::new(ChangesError::Thread(Arc::new(std::io::Error::from_raw_os_error(11)))),
        Box::new(ConnectError::NoMapYet { waited: Duration::from_secs(1), owner: 7 }),
        Box::new(SegmentError::HalfMade { at: at() }),
        Box::new(SegmentError::InUse { at: at(), attached: 2 }),
        Box::new(RouteError::NoMap),
        Box::new(RouteError::ClusterEmpty),
        Box::new(SegmentError::TooLarge { capacity: Capacity::DEFAULT }),
        Box::new(SnapshotError::Corrupt { what: foreign() }),
        Box::new(OwnershipLost::Fenced),
        Box::new(PublishError::Fenced),
        Box::new(PublishError::Corrupt { index: 3 }),
        Box::new(PublishError::Exhausted),
        Box::new(TakeoverLost { found: Head::new(Term::FIRST, 7) }),
        Box::new(NewerTag { found: 3, term: 2 }),
        Box::new(ReadRaced),
        Box::new(Interrupted),
        Box::new(NodeId::new(FOREIGN).unwrap_err()),
        Box::new(ConfigError::TooLong { name: "tend_interval", found: Duration::MAX }),
        Box::new(ConnectError::OtherCluster { key: 1, found: foreign(), wanted: foreign() }),
        Box::new(ConnectError::OtherNodes { key: 1, found: foreign(), wanted: foreign() }),
        Box::new(ConnectError::NotCompared { key: 1, found: foreign(), tried: foreign() }),
        Box::new(ConnectError::OtherHosts { key: 1, found: foreign(), wanted: foreign() }),
    ]
}

#[test]
fn h113_no_text_of_an_error_does_anything_to_a_terminal() {
    for error in errors() {
        let text = error.to_string();
        assert!(text.chars().all(is_printable), "{text:?}");
    }
}

#[test]
fn h115_no_text_of_an_error_is_debug_output() {
    for text in errors().iter().map(ToString::to_string) {
        for sign in ["Some(", "None", "Ok(", "Err(", " { ", "Os ", "[\"", "[0", "[]", "kind:"] {
            assert!(!text.contains(sign), "{sign:?} in {text:?}");
        }
    }
    let unknown =
        RouteError::NamespaceUnknown { name: "a".into(), known: vec!["test".into(), "bar".into()] };
    assert_eq!(
        unknown.to_string(),
        "no namespace \"a\" in the cluster; there are \"test\", \"bar\""
    );
}

/// A chain is printed link by link: the text of an error must not repeat the text of
/// its source.
#[test]
fn no_text_of_an_error_holds_that_of_its_source() {
    for error in errors() {
        let text = error.to_string();
        let mut source = error.source();
        while let Some(found) = source {
            assert!(!text.contains(&found.to_string()), "{found} in {text}");
            source = found.source();
        }
    }
}

/// Whatever is wrong with the directory, the text says what to do.
#[test]
fn a_directory_that_can_not_be_used_is_an_error_with_advice() {
    for (errno, advice) in [
        (2, "; create it, or configure another"),
        (13, "; permit this user to use it, or configure another"),
        (20, "; configure a directory"),
    ] {
        let error = Arc::new(std::io::Error::from_raw_os_error(errno));
        let text = SegmentError::Directory { directory: "/x".into(), error }.to_string();
        assert!(text.ends_with(advice), "{text}");
    }
}

/// Users of a binding do not have the command line.
#[test]
fn no_text_of_an_error_names_the_command_line() {
    for text in errors().iter().map(ToString::to_string) {
        for tool in ["tendmap ls", "tendmap rm", "tendmap status", "tendmap tend", "--force"] {
            assert!(!text.contains(tool), "{tool} in {text}");
        }
    }
}
