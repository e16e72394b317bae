//! The status of a simulated cluster.

use serde::Serialize;

/// The state of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum SimNodeState {
    /// It answers, but is not in the cluster yet.
    Starting,
    /// It answers as a member of the cluster.
    Running,
    /// It accepts connections and does not answer.
    Frozen,
    /// It answers as if it were the only node.
    Isolated,
    /// Its process has ended.
    Stopped,
}

impl SimNodeState {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            SimNodeState::Starting => "starting",
            SimNodeState::Running => "running",
            SimNodeState::Frozen => "frozen",
            SimNodeState::Isolated => "isolated",
            SimNodeState::Stopped => "stopped",
        }
    }
}

/// One node of a [`SimStatus`].
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SimNodeStatus {
    /// Its number, from 1.
    pub number: usize,
    /// Its node id.
    pub node: String,
    /// The address at which it listens, or listened before it was stopped.
    pub address: String,
    /// The build that it reports.
    pub build: String,
    /// The state that it is in.
    pub state: SimNodeState,
    /// Connections that are open now.
    pub connections: usize,
    /// Connections ever accepted, by all its processes.
    pub connections_accepted: u64,
    /// The accepted connections that used TLS.
    pub tls_accepted: u64,
    /// Info requests (messages, of one or more commands) ever received.
    pub info_requests: u64,
    /// Those of them that only named the client (`user-agent-set`).
    pub user_agents: u64,
    /// Record commands ever received.
    pub record_commands: u64,
    /// Its partition generation; -1 before it has joined or while it is stopped.
    pub partition_generation: i32,
    /// Its peers generation.
    pub peers_generation: i32,
    /// Its rebalance generation.
    pub rebalance_generation: i32,
}

/// The state of a simulated cluster.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct SimStatus {
    /// Its name, if it has one.
    pub cluster_name: Option<String>,
    /// Logins that were accepted, by all nodes.
    pub logins: u64,
    /// Logins, and authentications by a token, that were refused.
    pub logins_refused: u64,
    /// Connections that were authenticated by a token.
    pub authentications: u64,
    /// Replicas that must still migrate.
    pub migrations: usize,
    /// Whether nothing will change any more without a command: every death was
    /// noticed, every node has joined, and no migration is left.
    pub settled: bool,
    /// The nodes, by number.
    pub nodes: Vec<SimNodeStatus>,
}

/// The effect of a record command.
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
    /// The id of that node.
    pub node: String,
    /// The namespace.
    pub namespace: String,
    /// The set, if it was sent.
    pub set: String,
    /// The record's digest, 40 hexadecimal digits.
    pub digest: String,
    /// The partition that the digest belongs to.
    pub partition: usize,
    /// The effect of the command.
    pub kind: RecordKind,
}
