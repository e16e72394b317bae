//! The state of each node outside the map.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use super::entries::BadLists;
use super::slots::SlotSet;
use super::validate::ValidServer;
use crate::clock::boottime_ms;
use crate::map::{ClusterName, NamespaceName, NodeId, Slot};
use crate::wire::info::{BadEntries, Bitmap, NodeRacks};

/// The most racks of a node that are kept without checking their namespaces.
const MOST_RACKS: usize = 1024;

/// Counters of a node's process, as of the time when the corresponding data was
/// last applied completely. `None` = read it again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Generations {
    pub(super) peers: Option<i32>,
    pub(super) partitions: Option<i32>,
    pub(super) rebalance: Option<i32>,
}

/// What a node reported about itself in this pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeReport {
    pub(super) peers: i32,
    pub(super) partitions: i32,
    /// `None` if the server has no such counter.
    pub(super) rebalance: Option<i32>,
}

impl NodeReport {
    /// Whether it has joined the cluster: a starting node says -1.
    pub(super) fn is_ready(&self) -> bool {
        self.partitions != -1
    }
}

/// One node of the table.
#[derive(Clone, Debug)]
pub(super) struct TendedNode {
    pub(super) id: NodeId,
    pub(super) slot: Slot,
    pub(super) address: SocketAddr,
    /// The address for logins and for the list of peers, if only logins use TLS.
    pub(super) secure: Option<SocketAddr>,
    /// The connection over which everything below was read.
    pub(super) connection: Option<u64>,
    pub(super) generations: Generations,
    /// The nodes of the table in its latest list of peers; `None` = no list was
    /// read yet. Kept while the node fails, because a failure is no new
    /// statement about its peers.
    pub(super) peers: Option<SlotSet>,
    /// The namespaces in its latest replicas, with the regime of each claim:
    /// all that are in the map, and of the others up to twice as many as the
    /// map has room for.
    pub(super) namespaces: Option<Vec<(NamespaceName, u32)>>,
    /// Those of them that are in the map. Kept while the node fails.
    pub(super) listed: BTreeSet<NamespaceName>,
    /// The number of listed namespaces that are not kept.
    pub(super) more_namespaces: usize,
    /// Namespaces whose entry could not be used.
    pub(super) unread: Vec<NamespaceName>,
    /// Entries of its latest replies that could not be used.
    pub(super) bad_lists: BadLists,
    /// The partitions that it claims as master, with the regime.
    pub(super) masters: Vec<(NamespaceName, u32, Bitmap)>,
    /// Whether some of its latest claims were not applied because of what the
    /// nodes list: see [`PeerGroups`](super::peer_groups::PeerGroups).
    pub(super) withheld: bool,
    /// Its racks; `None` = not known yet.
    pub(super) racks: Option<Vec<(NamespaceName, i32)>>,
    /// Whether it advertises no alternate address.
    pub(super) no_alternate: bool,
    /// Whether it can be asked: see [`unlocated`](Self::unlocated).
    pub(super) located: bool,
    /// Consecutive failed passes.
    pub(super) failures: u32,
    /// The error of its last failure or bad reply; empty = none yet.
    pub(super) last_error: String,
    /// The time of that error, in milliseconds since the machine started;
    /// 0 = never.
    pub(super) last_error_ms: u64,
    /// Consecutive passes in which it reported the name of another cluster.
    pub(super) strayed: u32,
    /// Consecutive passes in which its removal was postponed.
    pub(super) put_off: u32,
    /// Whether its failure, or its bad reply, was reported.
    pub(super) told_failed: bool,
    pub(super) told_bad: bool,
    // The fields below are of the current pass only.
    pub(super) status: Option<NodeReport>,
    pub(super) failed: bool,
    /// It failed because this process lacked a local resource.
    pub(super) unasked: bool,
    pub(super) bad: bool,
    /// Another node, or one of another cluster, answers at its address.
    pub(super) gone: bool,
    /// Another node of the same cluster is at its address. If that node took
    /// over partitions, the others will report it.
    pub(super) replaced: bool,
    /// The name of another cluster that it reports.
    pub(super) stray: Option<Option<ClusterName>>,
    /// Why it is removed at the end of the pass.
    pub(super) leaving: Option<&'static str>,
    /// Whether its claims were read.
    pub(super) read: bool,
    /// Whether it was added, or got its address, in this pass.
    pub(super) fresh: bool,
}

impl TendedNode {
    pub(super) fn new(id: NodeId, slot: Slot, address: SocketAddr) -> TendedNode {
        TendedNode {
            id,
            slot,
            address,
            secure: None,
            connection: None,
            generations: Generations::default(),
            peers: None,
            namespaces: None,
            listed: BTreeSet::new(),
            more_namespaces: 0,
            unread: Vec::new(),
            bad_lists: BadLists::default(),
            masters: Vec::new(),
            withheld: false,
            racks: None,
            no_alternate: false,
            located: true,
            failures: 0,
            last_error: String::new(),
            last_error_ms: 0,
            strayed: 0,
            put_off: 0,
            told_failed: false,
            told_bad: false,
            status: None,
            failed: false,
            unasked: false,
            bad: false,
            gone: false,
            replaced: false,
            stray: None,
            leaving: None,
            read: false,
            fresh: false,
        }
    }

    /// A server that was just validated, in that slot.
    pub(super) fn found(new: ValidServer, slot: Slot) -> TendedNode {
        TendedNode {
            secure: new.secure,
            connection: Some(new.connection),
            status: Some(new.status),
            no_alternate: new.service.is_empty() && new.bad_service.is_empty(),
            bad_lists: BadLists {
                service: new.bad_service,
                build: new.build.bad,
                ..BadLists::default()
            },
            fresh: true,
            ..TendedNode::new(new.id, slot, new.address)
        }
    }

    /// A node of a published map to which no login is sent before a seed or a
    /// peer has confirmed its address over TLS: either the name of its
    /// certificate is not configured, or only logins use TLS and the map has
    /// only its plaintext address. Such a node is searched for, but not asked:
    /// the request would fail in any case.
    ///
    /// The map does not hold both addresses: that would make every record longer
    /// for a fact that one pass finds out, and an old address may only serve as a
    /// seed anyway.
    pub(super) fn unlocated(id: NodeId, slot: Slot, address: SocketAddr) -> TendedNode {
        TendedNode {
            located: false,
            last_error: "no server has reported yet where it accepts logins".into(),
            last_error_ms: boottime_ms(),
            ..TendedNode::new(id, slot, address)
        }
    }

    /// Records the current error.
    pub(super) fn note(&mut self, error: String) {
        self.last_error = error;
        self.last_error_ms = boottime_ms();
    }

    /// Resets the state of the last pass.
    pub(super) fn begin_pass(&mut self) {
        // Data that was not applied completely is read again, whatever the
        // counters are.
        let Generations { peers, partitions, rebalance } = &mut self.generations;
        let bad = &self.bad_lists;
        for (generation, bad) in
            [(peers, &bad.peers), (partitions, &bad.replicas), (rebalance, &bad.racks)]
        {
            *generation = generation.filter(|_| bad.is_empty());
        }
        self.status = None;
        self.failed = false;
        self.unasked = false;
        self.bad = false;
        self.gone = false;
        self.replaced = false;
        self.stray = None;
        self.leaving = None;
        self.read = false;
        self.fresh = false;
    }

    /// Forgets cached data. Another connection may lead to another process, and
    /// its counters may reach the same numbers.
    pub(super) fn forget(&mut self) {
        self.generations = Generations::default();
        self.namespaces = None;
        self.more_namespaces = 0;
        self.masters.clear();
    }

    /// Records the connection over which a reply came; returns whether it was
    /// known already.
    pub(super) fn on_connection(&mut self, connection: u64) -> bool {
        let same = self.connection == Some(connection);
        if !same {
            self.forget();
            self.bad_lists.service = BadEntries::default();
            self.connection = Some(connection);
        }
        same
    }

    /// Applies its racks. A namespace whose entry could not be used keeps its
    /// known rack. If there are very many racks, only those of listed namespaces
    /// are kept.
    pub(super) fn set_racks(&mut self, mut found: NodeRacks) {
        if found.racks.len() + found.unread.len() > MOST_RACKS {
            let namespaces = self.namespaces.iter().flatten().map(|&(name, _)| name);
            let listed: BTreeSet<NamespaceName> =
                namespaces.chain(self.unread.iter().copied()).collect();
            found.racks.retain(|(name, _)| listed.contains(name));
            found.unread.retain(|name| listed.contains(name));
        }
        let before = self.racks.take().unwrap_or_default();
        let stays = |(name, _): &(NamespaceName, i32)| found.unread.contains(name);
        let mut racks = found.racks;
        racks.extend(before.into_iter().filter(stays));
        self.racks = Some(racks);
        self.bad_lists.racks = found.bad;
    }

    /// Its status, if it answered well in this pass and has joined its cluster.
    pub(super) fn usable(&self) -> Option<NodeReport> {
        let usable = !self.failed && !self.bad && !self.gone;
        self.status.filter(|status| usable && status.is_ready())
    }

    /// Whether something is wrong with it in this pass.
    pub(super) fn is_failing(&self) -> bool {
        self.failed || self.gone || self.stray.is_some()
    }
}
