//! What a simulated cluster reports about itself.

use serde::Serialize;

/// What a node is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum NodeState {
    /// It answers, but is not in the cluster yet.
    Starting,
    /// It answers as a member of the cluster.
    Running,
    /// It accepts connections and answers nothing.
    Frozen,
    /// It answers as if it were the only node.
    Isolated,
    /// Its process is gone.
    Stopped,
}

impl NodeState {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            NodeState::Starting => "starting",
            NodeState::Running => "running",
            NodeState::Frozen => "frozen",
            NodeState::Isolated => "isolated",
            NodeState::Stopped => "stopped",
        }
    }
}

/// One node of a [`SimStatus`].
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct NodeStatus {
    /// Its number, from 1 on.
    pub number: usize,
    /// What it calls itself.
    pub node: String,
    /// Where it listens, or did before it was stopped.
    pub address: String,
    /// What it is doing.
    pub state: NodeState,
    /// Connections that are open now.
    pub connections: usize,
    /// Connections ever accepted, by all its processes.
    pub connections_accepted: u64,
    /// Those of them over TLS.
    pub tls_accepted: u64,
    /// Info requests (messages, of one or more commands) ever received.
    pub info_requests: u64,
    /// Record commands ever received.
    pub record_commands: u64,
    /// Its partition generation; -1 before it has joined or while it is stopped.
    pub partition_generation: i32,
    /// Its peers generation.
    pub peers_generation: i32,
    /// Its rebalance generation.
    pub rebalance_generation: i32,
}

/// How the cluster stands.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SimStatus {
    /// Its name, if it has one.
    pub cluster_name: Option<String>,
    /// Logins that were taken, by all nodes.
    pub logins: u64,
    /// Logins, and authentications by a token, that were refused.
    pub logins_refused: u64,
    /// Connections that were authenticated by a token.
    pub authentications: u64,
    /// Replicas that are still to migrate.
    pub migrations: usize,
    /// Whether nothing will change any more by itself: no death is still to be
    /// noticed, no node is about to join, and no migration is left.
    pub settled: bool,
    /// The nodes, by number.
    pub nodes: Vec<NodeStatus>,
}

/// What a record command did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum RecordKind {
    /// It read bins.
    Read,
    /// It read the record's header only.
    Exists,
    /// It wrote.
    Write,
    /// It deleted the record.
    Delete,
}

/// A record command that a node received.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RecordCommand {
    /// The number of the node that received it.
    pub number: usize,
    /// What that node calls itself.
    pub node: String,
    /// The namespace.
    pub namespace: String,
    /// The set, if it was sent.
    pub set: String,
    /// The record's digest, 40 hexadecimal digits.
    pub digest: String,
    /// The partition that the digest belongs to.
    pub partition: usize,
    /// What it did.
    pub kind: RecordKind,
}
