//! What every node of a cluster claims to hold, as the nodes say it now.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::node::TendedNode;
use super::survey::ask_each;
use super::{AerospikeConfig, AerospikeSource, Tender};
use crate::map::{Capacity, ClusterMap, ClusterName, Node, NodeId, NodeTable};
use crate::tend::transport::{Answer, AskError, TcpTransport};
use crate::tend::{ClusterSource, TendError, Turn};
use crate::wire::Host;
use crate::wire::info::{self, Claim, InfoError, Reply};

const QUESTIONS: [&str; 3] = ["node", "partition-generation", "replicas"];

/// The claims of all nodes of a cluster.
#[derive(Clone, Debug)]
pub struct ClusterClaims {
    /// The cluster's name, if it has one.
    pub cluster_name: Option<ClusterName>,
    /// The nodes of the cluster, and the nodes that were asked for.
    pub nodes: Vec<NodeClaims>,
}

/// The claims of a node.
#[derive(Clone, Debug)]
pub struct NodeClaims {
    /// The node's id.
    pub id: NodeId,
    /// The address at which it was asked; `None` if none is known.
    pub address: Option<SocketAddr>,
    /// Whether the cluster has it: it was found by the configured hosts, or is listed by a node
    /// that was.
    pub in_cluster: bool,
    /// Its claims, or why there are none.
    pub claims: Result<Vec<Claim>, String>,
}

/// Asks a cluster for its claims, repeatedly over the same connections.
pub struct ClaimReader {
    source: Tender<TcpTransport>,
    partitions: usize,
}

impl ClaimReader {
    /// A reader for a cluster whose namespaces have that many partitions. Nothing is asked yet.
    #[must_use]
    pub fn new(config: &AerospikeConfig, partitions: usize) -> ClaimReader {
        // Room for the largest possible cluster, so that nothing is refused.
        let capacity =
            Capacity { max_nodes: 4096, max_namespaces: 256, partitions, ..Capacity::DEFAULT };
        let mut source = AerospikeSource::new(config.clone()).into_tender();
        source.start(ClusterMap::new(capacity));
        ClaimReader { source, partitions }
    }

    /// Finds the nodes as a tender does, beginning with the configured hosts, and asks each for
    /// its own claims; so it does with the nodes of `others` that the cluster does not have.
    ///
    /// # Errors
    /// [`TendError`] if no node of the cluster can be reached.
    pub fn read(
        &mut self,
        others: &NodeTable,
        turn: &mut dyn Turn,
    ) -> Result<ClusterClaims, TendError> {
        let source = &mut self.source;
        source.pass(turn)?;
        // If only logins use TLS, the nodes are asked over TLS.
        let place = |node: &TendedNode| node.secure.unwrap_or(node.address);
        let mut asks: BTreeMap<NodeId, (SocketAddr, bool)> =
            source.nodes.iter().map(|node| (node.id, (place(node), true))).collect();
        let mut nodes: BTreeMap<NodeId, NodeClaims> = BTreeMap::new();
        for (id, missing) in source.unreached.iter().filter(|(_, missing)| !missing.of_another) {
            let error = match (&missing.unresolved, missing.starting) {
                (Some(error), _) => error.clone(),
                (None, true) => STARTING.to_owned(),
                (None, false) => {
                    "it can't be reached at the addresses that the others list".to_owned()
                }
            };
            let known = others.slot_of(id).and_then(|slot| others.get(slot));
            let listed = || missing.hosts.iter().find_map(Host::address);
            let address = known.map(|node| node.address).or_else(listed);
            if !asks.contains_key(id) {
                let claims = Err(error);
                nodes.insert(*id, NodeClaims { id: *id, address, in_cluster: true, claims });
            }
        }
        let member = |id: &NodeId| asks.contains_key(id) || nodes.contains_key(id);
        let others: Vec<Node> =
            others.iter().map(|(_, node)| *node).filter(|node| !member(&node.id)).collect();
        for Node { id, address, tls_name, .. } in others {
            let host = Host::from(address).with_tls_name(tls_name.as_ref());
            if source.config.may_log_in(&host) {
                source.name(address, &host);
                asks.insert(id, (address, false));
            } else {
                let error = "it is not asked: no login is sent to an address of the map alone";
                let (address, claims) = (Some(address), Err(error.to_owned()));
                nodes.insert(id, NodeClaims { id, address, in_cluster: false, claims });
            }
        }
        let addresses: BTreeSet<SocketAddr> = asks.values().map(|&(address, _)| address).collect();
        let answers = ask_each(&mut source.transport, turn, &addresses, &QUESTIONS)?;
        for (id, (address, in_cluster)) in asks {
            let claims = claims(id, &answers[&address], self.partitions);
            nodes.insert(id, NodeClaims { id, address: Some(address), in_cluster, claims });
        }
        let cluster_name = source.map().cluster_name;
        Ok(ClusterClaims { cluster_name, nodes: nodes.into_values().collect() })
    }
}

impl core::fmt::Debug for ClaimReader {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("ClaimReader").field("partitions", &self.partitions).finish_non_exhaustive()
    }
}

const STARTING: &str = "it has not joined its cluster yet";

/// The claims in a node's answer.
fn claims(
    id: NodeId,
    answer: &Result<Answer, AskError>,
    partitions: usize,
) -> Result<Vec<Claim>, String> {
    let answer = answer.as_ref().map_err(ToString::to_string)?;
    let questions = QUESTIONS.map(String::from);
    let read = || -> Result<_, InfoError> {
        let reply = Reply::parse(&answer.body, &questions)?;
        let found = info::parse_node(reply.value("node")?)?;
        if found != id {
            return Ok(Err(format!("node {found} answers at its address")));
        }
        if info::parse_generation(reply.value("partition-generation")?)? == -1 {
            return Ok(Err(STARTING.to_owned()));
        }
        let replicas = info::parse_replicas(reply.value("replicas")?, partitions)?;
        let unread = replicas.unread.first().map(|name| format!("its entry of {name} is invalid"));
        Ok(unread.map_or(Ok(replicas.claims), Err))
    };
    read().unwrap_or_else(|error| Err(error.to_string()))
}
