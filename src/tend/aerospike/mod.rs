//! An Aerospike cluster as a [`ClusterSource`].
//!
//! A pass asks all known nodes at the same time for their generations, and reads again only what
//! has changed: on an idle cluster that is one request per node. Each result is applied to the
//! working map completely or not at all.

mod admission;
mod allowance;
mod alternates;
mod belongs;
mod claims;
mod config;
mod contradictions;
mod entries;
mod glance;
mod identity;
mod known;
mod leaving;
mod namespaces;
mod node;
mod partitions;
mod pass;
mod peer_groups;
mod peers;
mod refresh;
mod search;
mod seed;
mod slots;
mod source;
mod survey;
mod unreached;
mod validate;

pub use claims::{ClaimReader, ClusterClaims, NodeClaims};
pub use config::AerospikeConfig;
pub use source::AerospikeSource;
pub use survey::{Survey, SurveyedAddress, SurveyedHost, SurveyedNode, survey};

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use self::config::Commands;
use self::contradictions::Contradictions;
use self::identity::Name;
use self::known::KnownHosts;
use self::namespaces::NamespaceHistory;
use self::node::TendedNode;
use self::pass::MOST_TELLS;
use self::peer_groups::PeerGroups;
use self::unreached::UnreachedPeers;
use self::validate::Invalid;
use super::transport::Transport;
use super::{ClusterSource, Conditions, MapIdentity, TendError, TendReport, Turn};
use crate::map::{
    Capacity, ClusterMap, ClusterName, NamespaceName, NodeHealth, NodeId, NodeTable, Slot,
};
use crate::wire::Host;
use crate::wire::info::BadEntry;
use crate::wire::login::Credentials;

/// The tender of an Aerospike cluster, over any transport.
pub struct Tender<T> {
    config: AerospikeConfig,
    commands: Commands,
    transport: T,
    map: ClusterMap,
    /// Whether the map has changed since the last report.
    changed: bool,
    nodes: Vec<TendedNode>,
    /// Every address that was ever advertised.
    known: KnownHosts,
    /// Nodes that did not fit in the map.
    refused_nodes: BTreeSet<NodeId>,
    refused_namespaces: BTreeSet<NamespaceName>,
    /// The number of namespaces that nodes list beyond those that are kept.
    more_namespaces: usize,
    /// How many namespaces without room may still be reported by events.
    namespace_tells: usize,
    /// Peers that were not reached yet.
    unreached: UnreachedPeers,
    /// The number of peers that are not contacted, because the map has no room
    /// for them.
    cut_off: usize,
    /// How many unreachable peers may still be reported by events.
    tells: usize,
    /// Nodes that were reported for advertising no alternate address.
    no_alternate: BTreeSet<NodeId>,
    /// Addresses that are known not to answer: they are not asked.
    silent: BTreeMap<SocketAddr, Invalid>,
    watch: BTreeMap<NamespaceName, NamespaceHistory>,
    /// The bad entries that were reported.
    bad_entries: BTreeSet<BadEntry>,
    /// Nodes that were removed because they reported another cluster's name.
    left: BTreeMap<NodeId, Name>,
    peer_groups: PeerGroups,
    contradictions: Contradictions,
    /// Replies in the current pass.
    answers: usize,
    /// The index of the known address that [`ClusterSource::glance`] asks next.
    glanced: usize,
    /// The names that the servers' certificates must have.
    names: BTreeMap<SocketAddr, String>,
    /// The report of the last failed pass.
    failed_pass: TendReport,
    /// The irregularities of the current pass.
    conditions: Conditions,
    /// The local resource that this process lacked in the last pass.
    shortage: Option<String>,
}

impl<T: Transport> Tender<T> {
    internal! {
        /// A source that reaches the servers by other means.
        fn with_transport(config: AerospikeConfig, transport: T) -> Tender<T> {
            Tender {
                commands: config.commands(),
                config,
                transport,
                map: ClusterMap::new(Capacity::DEFAULT),
                changed: false,
                nodes: Vec::new(),
                known: KnownHosts::default(),
                refused_nodes: BTreeSet::new(),
                refused_namespaces: BTreeSet::new(),
                more_namespaces: 0,
                namespace_tells: MOST_TELLS,
                unreached: UnreachedPeers::default(),
                cut_off: 0,
                tells: MOST_TELLS,
                no_alternate: BTreeSet::new(),
                silent: BTreeMap::new(),
                watch: BTreeMap::new(),
                bad_entries: BTreeSet::new(),
                left: BTreeMap::new(),
                peer_groups: PeerGroups::default(),
                contradictions: Contradictions::default(),
                answers: 0,
                glanced: 0,
                names: BTreeMap::new(),
                failed_pass: TendReport::default(),
                conditions: Conditions::default(),
                shortage: None,
            }
        }
    }

    internal! {
        /// The transport.
        fn transport_mut(&mut self) -> &mut T {
            &mut self.transport
        }
    }

    /// Notes the name that the certificate of the server at an address of this
    /// host must have.
    fn name(&mut self, address: SocketAddr, host: &Host) {
        let name = match self.config.secure() {
            (true, _) => Some(host.certificate_name()),
            _ => host.tls_name(),
        };
        if let Some(name) = name {
            self.transport.name(address, name);
            self.names.insert(address, name.to_owned());
        }
    }
}

impl<T: Transport> ClusterSource for Tender<T> {
    fn start(&mut self, map: ClusterMap) {
        self.stop();
        for (slot, node) in map.nodes.iter() {
            let host = Host::from(node.address).with_tls_name(node.tls_name.as_ref());
            if !self.config.may_log_in(&host) {
                self.nodes.push(TendedNode::unlocated(node.id, slot, node.address));
                continue;
            }
            self.nodes.push(TendedNode::new(node.id, slot, node.address));
            self.name(node.address, &host);
            self.known.found(&host);
        }
        self.map = map;
        self.changed = false;
    }

    fn tend(&mut self, turn: &mut dyn Turn) -> Result<TendReport, TendError> {
        self.pass(turn)
    }

    fn failed_pass(&self) -> TendReport {
        self.failed_pass
    }

    fn shortage(&self) -> Option<&str> {
        self.shortage.as_deref()
    }

    fn identify(
        &mut self,
        name: Option<ClusterName>,
        nodes: &NodeTable,
        turn: &mut dyn Turn,
    ) -> MapIdentity {
        let found = self.compare(name, nodes, turn).unwrap_or(MapIdentity::Unknown);
        self.transport.close();
        found
    }

    fn glance(&mut self, turn: &mut dyn Turn) -> bool {
        self.look_around(turn).unwrap_or(false)
    }

    fn map(&self) -> &ClusterMap {
        &self.map
    }

    fn node_healths(&self, each: &mut dyn FnMut(Slot, NodeId, NodeHealth)) {
        for node in &self.nodes {
            let health = NodeHealth::new(node.failures, &node.last_error).at(node.last_error_ms);
            each(node.slot, node.id, health);
        }
    }

    fn set_credentials(&mut self, credentials: Credentials) {
        self.config.credentials = Some(credentials.clone());
        self.transport.set_credentials(credentials);
    }

    fn stop(&mut self) {
        self.transport.close();
        self.nodes.clear();
        self.refused_nodes.clear();
        self.refused_namespaces.clear();
        self.more_namespaces = 0;
        self.unreached = UnreachedPeers::default();
        self.cut_off = 0;
        self.no_alternate.clear();
        self.watch.clear();
        self.bad_entries.clear();
        self.left.clear();
        self.peer_groups = PeerGroups::default();
        self.contradictions = Contradictions::default();
        self.names.clear();
    }
}
