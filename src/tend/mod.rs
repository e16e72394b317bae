//! Tending: asking a cluster for its nodes and partition maps.
//!
//! [`ClusterSource`] is the interface. The owner of a segment drives a source
//! and publishes its map. The owner's loop knows nothing about Aerospike, and a
//! source knows nothing about segments.

#![forbid(unsafe_code)]

use core::ops::ControlFlow;
use std::net::SocketAddr;
use std::time::Duration;

use crate::map::{
    Build, ClusterMap, ClusterName, NamespaceName, NodeHealth, NodeId, NodeTable, Slot,
};

mod aerospike;
mod condition;
mod error;
mod identity;
#[cfg(feature = "tls")]
pub mod tls;
pub(crate) mod transport;

pub use crate::map::Condition;
pub use aerospike::{AerospikeConfig, AerospikeSource};
pub use condition::Conditions;
pub use error::TendError;
pub use identity::MapIdentity;

/// Further items for the rest of the crate, its tests and tools.
pub(crate) mod internals {
    pub use super::aerospike::{
        ClaimReader, ClusterClaims, NodeClaims, Survey, SurveyedAddress, SurveyedHost,
        SurveyedNode, Tender, survey,
    };
}

/// How often a source calls the beat of its [`Turn`] while it waits for the
/// network.
pub(crate) const BEAT: Duration = Duration::from_millis(50);

/// A source of cluster maps.
///
/// A source keeps its own working [`ClusterMap`], and changes it only by data
/// that was checked completely: after an error the map holds what was known
/// before.
///
/// A source for a cluster of another kind, or for a fixed list of nodes:
///
/// ```
/// use tendmap::map::{Capacity, ClusterMap, NamespaceName};
/// use tendmap::tend::{ClusterSource, TendError, TendReport, Turn};
/// use tendmap::{Client, Config, Node, NodeId, Partition, Policy};
///
/// struct Fixed {
///     node: Node,
///     map: ClusterMap,
/// }
///
/// impl ClusterSource for Fixed {
///     fn start(&mut self, map: ClusterMap) {
///         self.map = map;
///     }
///
///     fn tend(&mut self, _turn: &mut dyn Turn) -> Result<TendReport, TendError> {
///         let mut report = TendReport::default();
///         if self.map.nodes.is_empty() {
///             let slot = self.map.nodes.insert(self.node).expect("room for one node");
///             let name = NamespaceName::new("test").expect("a valid name");
///             let namespace = self.map.namespace_entry(name).expect("room for one namespace");
///             namespace.replication_factor = 1;
///             for partition in 0..namespace.partitions.len() {
///                 namespace.partitions.set_holder(partition, 0, Some(slot));
///             }
///             report.changed = true;
///         }
///         report.nodes_ok = 1;
///         report.answers = 1;
///         Ok(report)
///     }
///
///     fn map(&self) -> &ClusterMap {
///         &self.map
///     }
///
///     fn stop(&mut self) {}
/// }
///
/// let address = "192.0.2.1:3000".parse()?;
/// let node = Node::new(NodeId::new("A1")?, address);
/// let source = Fixed { node, map: ClusterMap::new(Capacity::DEFAULT) };
/// let client = Client::connect_with(Config::new(vec![address.into()]), Box::new(source))?;
/// let mut router = client.router();
/// assert_eq!(router.route("test", Partition(7), Policy::Master)?.address(), address);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait ClusterSource: Send {
    /// Starts tending, continuing from `map`: the last published map, or an
    /// empty one in a new segment. Its capacity is the limit to which the map
    /// may grow. Its nodes serve as seeds, and its cluster name is the required
    /// one, unless one is configured.
    fn start(&mut self, map: ClusterMap);

    /// One pass over the cluster: all known nodes are asked at the same time, each with its own
    /// deadline.
    ///
    /// While it waits it calls [`Turn::beat`] at least every 50 ms, and stops if that returns
    /// an interruption.
    ///
    /// # Errors
    /// [`TendError`] if no node could be tended; the map is then unchanged.
    fn tend(&mut self, turn: &mut dyn Turn) -> Result<TendReport, TendError>;

    /// The report of the last failed pass: which nodes failed and what was
    /// received, to be counted like that of a successful one. The default
    /// reports nothing.
    fn failed_pass(&self) -> TendReport {
        TendReport::default()
    }

    /// The local resource that this process lacked in the last pass, as text,
    /// if the pass found [`Condition::Shortage`].
    fn shortage(&self) -> Option<&str> {
        None
    }

    /// Whether any server answers again. While passes fail, the time between them
    /// grows. The owner then calls this method once per interval, and the first
    /// `true` starts a pass. The call does not change the map. The default, for
    /// sources that can find this out only by a pass, returns `false`.
    fn glance(&mut self, _turn: &mut dyn Turn) -> bool {
        false
    }

    /// Whether the source's own seeds lead to the cluster with this name and
    /// these nodes, which another process has published. A process without a
    /// configured name asks before it routes from that map, and not while it
    /// tends.
    fn identify(
        &mut self,
        _name: Option<ClusterName>,
        _nodes: &NodeTable,
        _turn: &mut dyn Turn,
    ) -> MapIdentity {
        MapIdentity::Unknown
    }

    /// The map as of the last pass.
    fn map(&self) -> &ClusterMap;

    /// Reports how each node of the map fails, as text without secrets. The
    /// default reports nothing.
    fn node_healths(&self, _each: &mut dyn FnMut(Slot, NodeId, NodeHealth)) {}

    /// Sets the credentials for future logins. Existing sessions are kept. A
    /// source without logins does nothing.
    fn set_credentials(&mut self, _credentials: crate::wire::login::Credentials) {}

    /// Ends tending: closes every connection and forgets cached data.
    /// [`start`](Self::start) may follow.
    fn stop(&mut self);
}

/// The loop's side of a pass.
pub trait Turn {
    /// A sign of life. `Break` = stop waiting and return
    /// [`TendError::Interrupted`] at once: the process closes or was fenced.
    fn beat(&mut self) -> ControlFlow<()>;

    /// Something happened that an operator wants to know.
    fn event(&mut self, event: TendEvent);
}

/// The result of a pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TendReport {
    /// Whether the map may have changed.
    pub changed: bool,
    /// Nodes that answered.
    pub nodes_ok: usize,
    /// Nodes that did not answer, refused the login, or sent an unusable reply;
    /// if a pass failed, also those at whose address another node answered.
    pub nodes_failed: usize,
    /// Nodes and namespaces that did not fit in the map in this pass.
    pub refused: usize,
    /// Those of the failed nodes that answered, but with an unusable reply.
    pub bad_replies: usize,
    /// The number of replies in this pass, whatever their content: 0 = the
    /// cluster is silent.
    pub answers: usize,
    /// Bytes received from the servers since the last report, including
    /// headers, logins and TLS overhead.
    pub bytes_in: u64,
    /// The irregularities of this pass.
    pub conditions: Conditions,
}

/// Something that happened in a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TendEvent {
    /// A node was added to the map.
    NodeAdded {
        /// Its id.
        id: NodeId,
        /// Its address.
        address: SocketAddr,
    },
    /// A node was removed from the map.
    NodeRemoved {
        /// Its id.
        id: NodeId,
        /// Why, in a few words.
        reason: &'static str,
    },
    /// A node answers at another address.
    NodeMoved {
        /// Its id.
        id: NodeId,
        /// Where it was.
        from: SocketAddr,
        /// Where it is.
        to: SocketAddr,
    },
    /// The server of a known node runs another build than before: usually it was
    /// restarted after an upgrade. Not reported where either build is not known.
    NodeUpgraded {
        /// The node's id.
        id: NodeId,
        /// The build before.
        from: Build,
        /// The build now; it may be an older one.
        to: Build,
    },
    /// A node began to fail; reported once until it answers again.
    NodeFailed {
        /// Its id.
        id: NodeId,
        /// Its address.
        address: SocketAddr,
        /// The error.
        error: String,
    },
    /// A node is listed, but none of its listed hosts has an address; reported
    /// once until one has.
    NodeUnresolved {
        /// Its id.
        id: NodeId,
        /// The error of one of the hosts.
        error: String,
    },
    /// A node that had failed answers again.
    NodeRecovered {
        /// Its id.
        id: NodeId,
    },
    /// A node did not fit in the map; reported once per node.
    NodeRefused {
        /// Its id.
        id: NodeId,
        /// How many nodes the map holds.
        capacity: usize,
    },
    /// More peers are listed than the map has room for: the others are not
    /// contacted. The nodes in the map stay. Reported once until the lists fit.
    PeersCutOff {
        /// How many are listed, as far as they were counted.
        listed: usize,
        /// How many of them are followed.
        followed: usize,
        /// How many nodes the map holds.
        ceiling: usize,
        /// The node with the longest list, if that alone is too long.
        by: Option<NodeId>,
    },
    /// A namespace was added.
    NamespaceAdded {
        /// Its name.
        name: NamespaceName,
    },
    /// A namespace was removed, because no node lists it any more, or because
    /// more namespaces are listed than there is room for.
    NamespaceRemoved {
        /// Its name.
        name: NamespaceName,
    },
    /// A namespace did not fit in the map; reported once per namespace.
    NamespaceRefused {
        /// Its name.
        name: NamespaceName,
        /// How many namespaces the map holds.
        capacity: usize,
    },
    /// More namespaces are listed than the map has room for. Reported once
    /// until the lists fit.
    NamespacesCutOff {
        /// How many are listed.
        listed: usize,
        /// How many namespaces the map holds.
        ceiling: usize,
        /// The node that lists most of those without a place.
        by: NodeId,
        /// How many of them it lists.
        by_it: usize,
    },
    /// A reply could not be used; the map is unchanged. Reported once until the
    /// node's replies are good again.
    BadReply {
        /// The node that sent the reply.
        id: NodeId,
        /// What was found and what was wanted.
        error: String,
    },
    /// An entry of a reply could not be used and was skipped; all others are
    /// used. Reported once, however many nodes list it, until it is gone.
    BadEntry {
        /// The node that sent the reply.
        id: NodeId,
        /// The list that it is in.
        what: &'static str,
        /// The beginning of the entry, printable.
        entry: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A node advertises no alternate address, although these are configured.
    /// Reported once until it does.
    NoAlternateAddress {
        /// Its id.
        id: NodeId,
        /// The server's setting.
        setting: &'static str,
    },
    /// Most of the known nodes report another name for the cluster, and none is
    /// configured: the cluster was renamed and is tended under its new name.
    ClusterRenamed {
        /// The old name; `None` = it had none.
        from: Option<ClusterName>,
        /// The new name; `None` = it has none any more.
        to: Option<ClusterName>,
    },
    /// Several nodes have claimed to be the master of the same partitions for
    /// more than a few passes. Reported once until they agree.
    ClaimsContradict {
        /// How many partitions, over all namespaces.
        partitions: usize,
        /// The nodes that claim them.
        nodes: Vec<NodeId>,
    },
    /// The claims that contradicted each other agree again.
    ClaimsAgree,
}
