//! Every error as one kind and one text, for languages without Rust's enums.

use core::ffi::CStr;

use tendmap::client::{ChangesError, ConfigError, ConnectError, SettingError, StatusError};
use tendmap::internals::text::Printable;
use tendmap::map::SnapshotError;
use tendmap::route::{DigestError, RouteError};
use tendmap::segment::SegmentError;

/// The kind of an error. The numbers are part of the C ABI: a number never changes
/// its meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Kind {
    /// An invalid argument: null, not UTF-8, or out of range.
    Argument = 1,
    /// The handle is closed.
    Closed = 2,
    /// The handle belongs to another thread.
    WrongThread = 3,
    /// A defect in tendmap, caught before it could do harm.
    Internal = 4,
    /// The handle belongs to the process from which this one was forked.
    Forked = 5,
    /// The call needs a client; the handle is a reader.
    ReadOnly = 6,
    /// A setting is unknown or out of its range.
    Config = 10,
    /// Connecting failed for a reason without a kind of its own.
    Connect = 11,
    /// The segment's files can't be created, attached or read.
    Segment = 12,
    /// The segment belongs to another cluster.
    OtherCluster = 13,
    /// This process is already connected under the key, with other hosts.
    OtherHosts = 14,
    /// The cluster can't be tended: no server gives a valid answer.
    Tend = 15,
    /// The owner did not publish a map in time.
    NoMapYet = 16,
    /// A thread can't be started.
    Thread = 17,
    /// No descriptor can be opened, or the program has closed it.
    Descriptor = 18,
    /// Routing failed for a reason without a kind of its own.
    Route = 20,
    /// No map has been published yet.
    NoMap = 21,
    /// The cluster has no nodes.
    ClusterEmpty = 22,
    /// The cluster has no namespace of that name.
    NamespaceUnknown = 23,
    /// No node of the partition may be used.
    NoNode = 24,
    /// A partition number that is out of range.
    OutOfRange = 25,
    /// The namespace handle belongs to another router.
    ForeignHandle = 26,
    /// The map in the segment is damaged.
    Map = 27,
}

impl Kind {
    /// Every kind, by number.
    pub const fn all() -> [Kind; 23] {
        [
            Kind::Argument,
            Kind::Closed,
            Kind::WrongThread,
            Kind::Internal,
            Kind::Forked,
            Kind::ReadOnly,
            Kind::Config,
            Kind::Connect,
            Kind::Segment,
            Kind::OtherCluster,
            Kind::OtherHosts,
            Kind::Tend,
            Kind::NoMapYet,
            Kind::Thread,
            Kind::Descriptor,
            Kind::Route,
            Kind::NoMap,
            Kind::ClusterEmpty,
            Kind::NamespaceUnknown,
            Kind::NoNode,
            Kind::OutOfRange,
            Kind::ForeignHandle,
            Kind::Map,
        ]
    }

    /// The kind of that number.
    pub fn of(number: i32) -> Option<Kind> {
        Kind::all().into_iter().find(|&kind| kind as i32 == number)
    }

    /// Its name, as in `tendmap.h`.
    pub const fn c_name(self) -> &'static CStr {
        match self {
            Kind::Argument => c"TENDMAP_ERROR_ARGUMENT",
            Kind::Closed => c"TENDMAP_ERROR_CLOSED",
            Kind::WrongThread => c"TENDMAP_ERROR_WRONG_THREAD",
            Kind::Internal => c"TENDMAP_ERROR_INTERNAL",
            Kind::Forked => c"TENDMAP_ERROR_FORKED",
            Kind::ReadOnly => c"TENDMAP_ERROR_READ_ONLY",
            Kind::Config => c"TENDMAP_ERROR_CONFIG",
            Kind::Connect => c"TENDMAP_ERROR_CONNECT",
            Kind::Segment => c"TENDMAP_ERROR_SEGMENT",
            Kind::OtherCluster => c"TENDMAP_ERROR_OTHER_CLUSTER",
            Kind::OtherHosts => c"TENDMAP_ERROR_OTHER_HOSTS",
            Kind::Tend => c"TENDMAP_ERROR_TEND",
            Kind::NoMapYet => c"TENDMAP_ERROR_NO_MAP_YET",
            Kind::Thread => c"TENDMAP_ERROR_THREAD",
            Kind::Descriptor => c"TENDMAP_ERROR_DESCRIPTOR",
            Kind::Route => c"TENDMAP_ERROR_ROUTE",
            Kind::NoMap => c"TENDMAP_ERROR_NO_MAP",
            Kind::ClusterEmpty => c"TENDMAP_ERROR_CLUSTER_EMPTY",
            Kind::NamespaceUnknown => c"TENDMAP_ERROR_NAMESPACE_UNKNOWN",
            Kind::NoNode => c"TENDMAP_ERROR_NO_NODE",
            Kind::OutOfRange => c"TENDMAP_ERROR_OUT_OF_RANGE",
            Kind::ForeignHandle => c"TENDMAP_ERROR_FOREIGN_HANDLE",
            Kind::Map => c"TENDMAP_ERROR_MAP",
        }
    }

    /// Its name without that prefix: `CLOSED`.
    pub fn name(self) -> &'static str {
        let name = self.c_name().to_str().unwrap_or_default();
        name.strip_prefix("TENDMAP_ERROR_").unwrap_or(name)
    }
}

/// A kind, and a text that says what was found, what was wanted and what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// The kind.
    pub kind: Kind,
    /// The text, escaped so that it has no effect on a terminal.
    pub text: String,
}

impl Failure {
    /// A failure of that kind.
    pub fn new(kind: Kind, text: impl Into<String>) -> Failure {
        Failure { kind, text: Printable(text.into()).to_string() }
    }
}

macro_rules! failures {
    ($($error:ty, $found:pat => $kind:expr;)*) => {$(
        impl From<$error> for Failure {
            #[cold]
            fn from(error: $error) -> Failure {
                let $found = &error;
                Failure::new($kind, error.to_string())
            }
        }
    )*};
}

failures! {
    SettingError, _ => Kind::Config;
    ConfigError, _ => Kind::Config;
    SegmentError, _ => Kind::Segment;
    SnapshotError, found => of_map(found);
    DigestError, _ => Kind::Argument;
    ChangesError, found => match found {
        ChangesError::Closed => Kind::Closed,
        ChangesError::Inherited => Kind::Forked,
        ChangesError::Descriptor(_) => Kind::Descriptor,
        ChangesError::Thread(_) => Kind::Thread,
        _ => Kind::Internal,
    };
    StatusError, found => match found {
        StatusError::Map(map) => of_map(map),
        _ => Kind::Segment,
    };
    ConnectError, found => match found {
        ConnectError::Config(_) => Kind::Config,
        ConnectError::Segment(_) => Kind::Segment,
        ConnectError::OtherCluster { .. }
        | ConnectError::OtherNodes { .. }
        | ConnectError::NotCompared { .. } => Kind::OtherCluster,
        ConnectError::OtherHosts { .. } => Kind::OtherHosts,
        ConnectError::Tend(_) => Kind::Tend,
        ConnectError::NoMapYet { .. } => Kind::NoMapYet,
        ConnectError::Map(_) => Kind::Map,
        ConnectError::Thread(_) => Kind::Thread,
        ConnectError::Ended => Kind::Internal,
        _ => Kind::Connect,
    };
    RouteError, found => match found {
        RouteError::NoMap => Kind::NoMap,
        RouteError::ClusterEmpty => Kind::ClusterEmpty,
        RouteError::NamespaceUnknown { .. } => Kind::NamespaceUnknown,
        RouteError::NoNode { .. } => Kind::NoNode,
        RouteError::OutOfRange { .. } => Kind::OutOfRange,
        RouteError::ForeignHandle => Kind::ForeignHandle,
        RouteError::Map(map) => of_map(map),
        _ => Kind::Route,
    };
}

fn of_map(error: &SnapshotError) -> Kind {
    match error {
        SnapshotError::Empty => Kind::NoMap,
        _ => Kind::Map,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_differ_and_are_in_order() {
        assert!(Kind::all().windows(2).all(|pair| (pair[0] as i32) < pair[1] as i32));
    }

    #[test]
    fn a_name_is_that_of_the_kind() {
        for kind in Kind::all() {
            let plain = format!("{kind:?}").to_uppercase();
            assert_eq!(kind.name().replace('_', ""), plain);
            assert_eq!(Kind::of(kind as i32), Some(kind));
        }
        assert_eq!(Kind::of(0), None);
    }

    #[test]
    fn the_shared_calls_know_every_kind() {
        let shared = include_str!("../tests/invalid.json");
        let shared: serde_json::Value = serde_json::from_str(shared).unwrap();
        let kinds = Kind::all().map(|kind| (kind.name().to_owned(), (kind as i32).into()));
        assert_eq!(*shared["kinds"].as_object().unwrap(), kinds.into_iter().collect());
    }

    #[test]
    fn an_error_keeps_its_text() {
        let failure = Failure::from(RouteError::NoMap);
        assert_eq!((failure.kind, failure.text), (Kind::NoMap, RouteError::NoMap.to_string()));
    }
}
