//! Events in a client's life.

use core::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

#[cfg(feature = "c-client")]
use crate::c_client::MirrorEvent;
use crate::tend::TendEvent;

/// A client's current role in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// It tends the cluster and publishes.
    Owner,
    /// It reads, and is first in line to become the owner.
    Standby,
    /// It reads, and may become owner.
    Follower,
    /// It has closed.
    Closed,
}

impl Role {
    /// The role in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Role::Owner => "owner",
            Role::Standby => "standby",
            Role::Follower => "follower",
            Role::Closed => "closed",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How much an event matters to an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(
    clippy::exhaustive_enums,
    reason = "the levels of the crate tracing, of which there are no more"
)]
pub enum Level {
    /// Routine activity, such as a publication.
    Debug,
    /// A change of state.
    Info,
    /// Something is wrong.
    Warning,
}

impl Level {
    /// The level in lower case.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warning => "warning",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something that an operator wants to know. Each occurrence is reported once.
/// [`Display`](core::fmt::Display) shows it in one line, with its values.
///
/// Events go to the log (the crate `tracing`) and to the [`Observer`] of the configuration.
///
/// ```
/// use tendmap::Event;
/// use tendmap::client::Level;
///
/// fn alarm(event: &Event) {
///     match event {
///         Event::Owner { term, takeover: true, .. } => println!("took over, term {term}"),
///         Event::TendFailed { error } => eprintln!("no server answers: {error}"),
///         event if event.level() >= Level::Warning => eprintln!("{event}"),
///         _ => {}
///     }
/// }
/// # alarm(&Event::Offered);
/// assert_eq!(Event::Offered.level(), Level::Warning);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// This process now owns the segment.
    Owner {
        /// The segment's generation.
        generation: u64,
        /// The new term.
        term: u16,
        /// Whether ownership was taken over from another owner; `false` = the
        /// segment was created.
        takeover: bool,
    },
    /// This process now follows.
    Follower {
        /// The segment's generation.
        generation: u64,
        /// The owner's term.
        term: u16,
    },
    /// Another process has taken over ownership from this one.
    Fenced {
        /// The term that this process had.
        term: u16,
    },
    /// Another process has become owner; reported by followers.
    NewOwner {
        /// Its term.
        term: u16,
        /// Its pid in its own pid namespace; 0 = not known yet.
        pid: u32,
    },
    /// The segment was replaced by another one.
    Moved {
        /// The generation of the new segment.
        generation: u64,
    },
    /// This owner published a map.
    Published {
        /// The sequence of the publication.
        sequence: u64,
        /// The number of nodes in it.
        nodes: usize,
        /// The number of namespaces in it.
        namespaces: usize,
    },
    /// An event of the cluster's source.
    Tend(TendEvent),
    /// A pass failed; reported when the reason changes.
    TendFailed {
        /// The reason.
        error: String,
    },
    /// Tending works again.
    TendRecovered {
        /// How long tending had failed.
        after: Duration,
    },
    /// This owner can't reach the cluster and gives up ownership.
    Abdicated {
        /// How long its passes have failed.
        failed_for: Duration,
    },
    /// This owner has replaced the segment by a larger one.
    Grown {
        /// The generation of the new segment.
        generation: u64,
        /// The number of nodes for which it has room.
        max_nodes: usize,
        /// The number of namespaces for which it has room.
        max_namespaces: usize,
        /// The number of replicas per partition for which it has room.
        max_replicas: usize,
    },
    /// The map has outgrown the segment, and a larger one can't be created: the
    /// part that fits is published. The owner tries again every second.
    NoRoom {
        /// The reason.
        error: String,
    },
    /// This owner's process has lacked a local resource for some passes. It
    /// continues with what it has, and offers ownership to a process that does
    /// not lack it. The status names the resource.
    Offered,
    /// A second connect asked for other capacities than the segment has.
    CapacityIgnored {
        /// The capacities, found and wanted.
        what: String,
    },
    /// This process may only read the segment and can't become its owner; it
    /// routes and waits as others do.
    ReadOnly {
        /// The location of the segment.
        segment: String,
        /// What it may not do.
        reason: String,
    },
    /// Other users may read a file that holds a secret of this process.
    SecretExposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Something happened to a mirror of the Aerospike C client's segment.
    #[cfg(feature = "c-client")]
    CClient {
        /// The key of that segment.
        key: u32,
        /// What happened.
        event: MirrorEvent,
    },
    /// The segment could not be used as intended; the operation is repeated.
    Trouble {
        /// What went wrong.
        error: String,
    },
}

impl Event {
    /// The severity of the event; it is logged at that level.
    #[must_use]
    pub fn level(&self) -> Level {
        match self {
            Event::Published { .. } => Level::Debug,
            Event::Fenced { .. }
            | Event::TendFailed { .. }
            | Event::Abdicated { .. }
            | Event::Offered
            | Event::NoRoom { .. }
            | Event::CapacityIgnored { .. }
            | Event::SecretExposed { .. }
            | Event::Trouble { .. }
            | Event::Tend(
                TendEvent::NodeFailed { .. }
                | TendEvent::NodeUnresolved { .. }
                | TendEvent::NodeRefused { .. }
                | TendEvent::PeersCutOff { .. }
                | TendEvent::NamespaceRefused { .. }
                | TendEvent::NamespacesCutOff { .. }
                | TendEvent::BadReply { .. }
                | TendEvent::BadEntry { .. }
                | TendEvent::NoAlternateAddress { .. }
                | TendEvent::ClusterRenamed { .. }
                | TendEvent::ClaimsContradict { .. },
            ) => Level::Warning,
            #[cfg(feature = "c-client")]
            Event::CClient { event, .. } if event.is_warning() => Level::Warning,
            _ => Level::Info,
        }
    }
}

/// Receives events, on the client's own thread.
///
/// It must not block: while it runs, this process neither tends nor takes over.
/// It may close or drop any client, even the last one of its own thread, which
/// then ends when the observer has returned; the close does not wait. It must
/// not wait for a map or a change of its own client, which can only happen
/// after it has returned. An observer that panics still receives the next
/// event; the panic is caught and logged.
///
/// ```
/// # #[cfg(feature = "sim")] {
/// use std::sync::mpsc::channel;
/// use tendmap::sim::{Sim, SimConfig};
/// use tendmap::{Client, Config, Event, Observer};
///
/// let sim = Sim::start(SimConfig::fast(2))?;
/// let (sender, receiver) = channel();
/// let mut config = Config::new(vec![sim.seeds()[0].into()]);
/// config.observer = Some(Observer::new(move |event| drop(sender.send(event.clone()))));
/// let client = Client::connect(config)?;
/// client.close(); // and the observer is dropped
/// let events: Vec<Event> = receiver.iter().collect();
/// assert!(events.iter().any(|event| matches!(event, Event::Published { nodes: 2, .. })));
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&Event) + Send + Sync>);

impl Observer {
    /// An observer that calls `f`.
    pub fn new(f: impl Fn(&Event) + Send + Sync + 'static) -> Observer {
        Observer(Arc::new(f))
    }

    /// Passes the event to the observer.
    pub fn notify(&self, event: &Event) {
        (self.0)(event);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// Passes the event to the log and the observer.
pub(super) fn notify(observer: Option<&Observer>, event: Event) {
    // A panic of the host's observer or log subscriber must not end the
    // client's thread.
    let told = catch_unwind(AssertUnwindSafe(|| {
        super::log::log(&event);
        if let Some(observer) = observer {
            observer.notify(&event);
        }
    }));
    if let Err(panic) = told {
        // The panic's payload may panic again when it is dropped.
        std::mem::forget(panic);
        let log = || super::log::observer_panicked(&event);
        std::mem::forget(catch_unwind(AssertUnwindSafe(log)));
    }
}

/// One event of every kind.
#[cfg(any(test, feature = "internals"))]
#[must_use]
#[allow(clippy::missing_panics_doc, reason = "the names are valid")]
pub fn one_of_each() -> Vec<Event> {
    use crate::map::{Build, ClusterName, NamespaceName, NodeId};

    let (id, address) = (NodeId::new("A").unwrap(), "127.0.0.1:1".parse().unwrap());
    let name = NamespaceName::new("test").unwrap();
    let (error, capacity) = (String::from("no"), 1);
    let tend = [
        TendEvent::NodeAdded { id, address },
        TendEvent::NodeRemoved { id, reason: "gone" },
        TendEvent::NodeMoved { id, from: address, to: address },
        TendEvent::NodeUpgraded { id, from: Build::OLDEST, to: Build::OLDEST },
        TendEvent::NodeFailed { id, address, error: error.clone() },
        TendEvent::NodeUnresolved { id, error: error.clone() },
        TendEvent::NodeRecovered { id },
        TendEvent::NodeRefused { id, capacity },
        TendEvent::PeersCutOff { listed: 9, followed: 1, ceiling: 1, by: Some(id) },
        TendEvent::NamespaceAdded { name },
        TendEvent::NamespaceRemoved { name },
        TendEvent::NamespaceRefused { name, capacity },
        TendEvent::NamespacesCutOff { listed: 9, ceiling: 1, by: id, by_it: 8 },
        TendEvent::BadReply { id, error: error.clone() },
        TendEvent::BadEntry { id, what: "peers", entry: "[]".into(), problem: "no" },
        TendEvent::NoAlternateAddress { id, setting: "alternate-access-address" },
        TendEvent::ClusterRenamed { from: None, to: ClusterName::new("new").ok() },
        TendEvent::ClaimsContradict { partitions: 1, nodes: vec![id] },
        TendEvent::ClaimsAgree,
    ];
    let mut events = vec![
        Event::Owner { generation: 1, term: 1, takeover: false },
        Event::Owner { generation: 1, term: 2, takeover: true },
        Event::Follower { generation: 1, term: 1 },
        Event::Fenced { term: 1 },
        Event::NewOwner { term: 1, pid: 1 },
        Event::Moved { generation: 2 },
        Event::Published { sequence: 1, nodes: 1, namespaces: 1 },
        Event::TendFailed { error: error.clone() },
        Event::TendRecovered { after: Duration::ZERO },
        Event::Abdicated { failed_for: Duration::ZERO },
        Event::Grown { generation: 2, max_nodes: 1, max_namespaces: 1, max_replicas: 3 },
        Event::Offered,
        Event::NoRoom { error: error.clone() },
        Event::CapacityIgnored { what: error.clone() },
        Event::ReadOnly { segment: "/dev/shm/s".into(), reason: error.clone() },
        Event::SecretExposed { path: "/key".into(), mode: 0o644 },
        Event::Trouble { error },
    ];
    events.extend(tend.map(Event::Tend));
    #[cfg(feature = "c-client")]
    events.extend(
        crate::c_client::one_of_each()
            .into_iter()
            .map(|event| Event::CClient { key: 0xac00_0000, event }),
    );
    events
}
