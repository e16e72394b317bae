//! A node and its process.

use std::collections::HashMap;
use std::sync::Arc;

use super::status::SimNodeState;
use super::view::ClusterView;

/// The view that a process answers from.
#[derive(Clone, Debug)]
pub(super) enum Outlook {
    /// None: the process has not joined.
    Starting,
    /// The current view of the cluster.
    Following,
    /// An outdated or wrong view.
    Apart(Arc<ClusterView>),
}

/// The running process of a node. Its generations end with it.
#[derive(Debug)]
pub(super) struct Process {
    pub outlook: Outlook,
    pub frozen: bool,
    pub isolated: bool,
    pub partition_generation: i32,
    pub peers_generation: i32,
    pub rebalance_generation: i32,
}

impl Process {
    pub fn new() -> Process {
        Process {
            outlook: Outlook::Starting,
            frozen: false,
            isolated: false,
            partition_generation: -1,
            peers_generation: 0,
            rebalance_generation: 0,
        }
    }

    pub fn is_following(&self) -> bool {
        matches!(self.outlook, Outlook::Following)
    }

    pub fn state(&self) -> SimNodeState {
        match &self.outlook {
            _ if self.frozen => SimNodeState::Frozen,
            _ if self.isolated => SimNodeState::Isolated,
            Outlook::Starting => SimNodeState::Starting,
            Outlook::Following | Outlook::Apart(_) => SimNodeState::Running,
        }
    }
}

/// A node, whether it runs or not.
#[derive(Debug)]
pub(super) struct SimNode {
    pub number: u16,
    pub id: String,
    /// The port at which it listens.
    pub port: u16,
    /// The port under which the other nodes list it.
    pub listed_port: u16,
    /// The number of its current process, from 1.
    pub incarnation: u32,
    pub process: Option<Process>,
    /// It is removed as soon as the others notice that it has ended.
    pub retired: bool,
    /// Hosts that are advertised before its true address, as written in replies.
    pub extra_hosts: Vec<String>,
    /// Replies to commands that replace the true ones.
    pub overrides: HashMap<String, String>,
    /// Bytes that replace every info reply, including the header.
    pub raw_reply: Option<Vec<u8>>,
    /// Its build, if it differs from that of the others.
    pub build: Option<String>,
    /// Its rack in each namespace.
    pub racks: HashMap<String, i32>,
    pub accepted: u64,
    pub tls_accepted: u64,
    pub info_requests: u64,
    pub user_agents: u64,
    pub record_commands: u64,
}

impl SimNode {
    pub fn new(number: u16, port: u16) -> SimNode {
        SimNode {
            number,
            id: format!("BB9{number:06}{port:06}"),
            port,
            listed_port: port,
            incarnation: 0,
            process: None,
            retired: false,
            extra_hosts: Vec::new(),
            overrides: HashMap::new(),
            raw_reply: None,
            build: None,
            racks: HashMap::new(),
            accepted: 0,
            tls_accepted: 0,
            info_requests: 0,
            user_agents: 0,
            record_commands: 0,
        }
    }

    pub fn state(&self) -> SimNodeState {
        self.process.as_ref().map_or(SimNodeState::Stopped, Process::state)
    }

    pub fn is_frozen(&self) -> bool {
        self.process.as_ref().is_some_and(|process| process.frozen)
    }

    /// The process, if it still has this incarnation.
    pub fn process_of(&mut self, incarnation: u32) -> Option<&mut Process> {
        self.process.as_mut().filter(|_| self.incarnation == incarnation)
    }
}
