//! What happens in a client's life.

use core::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::tend::TendEvent;

/// A client's part in its segment at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Role {
    /// It tends the cluster and publishes.
    Owner,
    /// It reads, and would be the next owner.
    Standby,
    /// It reads, and may become owner.
    Follower,
    /// It has closed.
    Closed,
}

impl Role {
    /// Its name in lower case.
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
pub enum Level {
    /// What goes on all the time.
    Debug,
    /// A change.
    Info,
    /// Something is wrong.
    Warning,
}

impl Level {
    /// Its name in lower case.
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warning => "warning",
        }
    }
}

/// Something that an operator wants to know. Nothing is told twice.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// This process owns the segment now.
    Owner {
        /// The segment's generation.
        generation: u64,
        /// The term entered.
        term: u16,
        /// Whether it was taken over from another owner, as against made.
        takeover: bool,
    },
    /// This process follows now.
    Follower {
        /// The segment's generation.
        generation: u64,
        /// The owner's term.
        term: u16,
    },
    /// Another process has taken the ownership from this one.
    Fenced {
        /// The term that this process had.
        term: u16,
    },
    /// Another process has become owner; told by followers.
    NewOwner {
        /// Its term.
        term: u16,
        /// Its pid as it sees itself; 0 = not told yet.
        pid: u32,
    },
    /// The segment was replaced by another one.
    Moved {
        /// The new one's generation.
        generation: u64,
    },
    /// This owner published a map.
    Published {
        /// Its sequence.
        sequence: u64,
        /// Nodes in it.
        nodes: usize,
        /// Namespaces in it.
        namespaces: usize,
    },
    /// What the cluster's source tells.
    Tend(TendEvent),
    /// A pass failed; told when the reason changes.
    TendFailed {
        /// Why.
        error: String,
    },
    /// Tending works again.
    TendRecovered {
        /// How long it had failed.
        after: Duration,
    },
    /// This owner can't reach the cluster and gives the ownership away.
    Abdicated {
        /// How long its tends have failed.
        failed_for: Duration,
    },
    /// This owner has replaced the segment by a larger one.
    Grown {
        /// The new one's generation.
        generation: u64,
        /// Nodes that it has room for.
        max_nodes: usize,
        /// Namespaces that it has room for.
        max_namespaces: usize,
        /// Replicas of a partition that it has room for.
        max_replicas: usize,
    },
    /// The map has outgrown the segment, and a larger one can't be made: what
    /// fits is published. It is tried again every second.
    NoRoom {
        /// Why.
        error: String,
    },
    /// This owner's process lacks something of its machine, for some passes:
    /// it goes on with what it has, and offers the ownership to a process that
    /// can do better. Its status says what is lacking.
    Offered,
    /// A second connect asked for other capacities than the segment has.
    CapacityIgnored {
        /// Which, found and wanted.
        what: String,
    },
    /// This process may only read the segment, and can't become its owner; it
    /// routes and waits as others do.
    ReadOnly {
        /// The segment.
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
    /// The segment could not be used as it should; it is tried again.
    Trouble {
        /// What went wrong.
        error: String,
    },
}

impl Event {
    /// How much it matters; it is logged at that level.
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
            _ => Level::Info,
        }
    }
}

/// Is told of events, on the client's own thread.
///
/// It must not block: meanwhile this process neither tends nor takes over. It
/// may close or drop any client, also the last one of its own thread, which then
/// ends when the observer has returned: closing waits for nothing there. It must
/// not wait for a map or a change of its own client, which comes only after it
/// has returned. One that panics is told of the next event all the same; what
/// it panics with is dropped, and logged.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&Event) + Send + Sync>);

impl Observer {
    /// An observer that calls `f`.
    pub fn new(f: impl Fn(&Event) + Send + Sync + 'static) -> Observer {
        Observer(Arc::new(f))
    }

    /// Tells it.
    pub fn tell(&self, event: &Event) {
        (self.0)(event);
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

/// Tells the log and the observer.
pub(super) fn tell(observer: Option<&Observer>, event: Event) {
    // Neither the host's observer nor its subscriber may end what must go on.
    let told = catch_unwind(AssertUnwindSafe(|| {
        super::log::log(&event);
        if let Some(observer) = observer {
            observer.tell(&event);
        }
    }));
    if let Err(panic) = told {
        // What was thrown may throw again when it is dropped.
        std::mem::forget(panic);
        let log = || super::log::observer_panicked(&event);
        std::mem::forget(catch_unwind(AssertUnwindSafe(log)));
    }
}

/// An event of every kind.
#[cfg(test)]
pub(super) fn one_of_each() -> Vec<Event> {
    use crate::map::{ClusterName, NamespaceName, NodeId};

    let (id, address) = (NodeId::new("A").unwrap(), "127.0.0.1:1".parse().unwrap());
    let name = NamespaceName::new("test").unwrap();
    let (error, capacity) = (String::from("no"), 1);
    let tend = [
        TendEvent::NodeAdded { id, address },
        TendEvent::NodeRemoved { id, reason: "gone" },
        TendEvent::NodeMoved { id, from: address, to: address },
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
    events
}
