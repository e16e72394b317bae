//! Nodes that leave the table, and with it the map.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::Tender;
use super::node::TendedNode;
use super::peers::List;
use super::seed::MAX_FAILURES;
use crate::map::{NodeId, Slot};
use crate::tend::transport::Transport;
use crate::tend::{TendEvent, Turn};

/// For how many passes the removal of a node is postponed at most.
const MAX_PUT_OFF: u32 = 3;

/// The most nodes that are remembered because they left with another cluster's
/// name. It is bounded because a server may report a different id each time, and
/// larger than any map.
const MOST_LEFT: usize = 4096;

impl<T: Transport> Tender<T> {
    /// Decides which nodes are removed. All others are then asked for their
    /// claims, so that the map without the node has the masters that they report.
    pub(super) fn choose_leaving(
        &mut self,
        lists: &[List],
        listed: &BTreeSet<NodeId>,
        found: &BTreeSet<NodeId>,
        taken: &BTreeSet<SocketAddr>,
    ) {
        let others = self.nodes.len() + found.len() > 1;
        // A node that is starting knows no peers yet, so its list does not count.
        let joined = |node: &TendedNode| node.status.is_some_and(|status| status.is_ready());
        let nobody_lists = lists.is_empty() && self.nodes.iter().any(joined);
        let mut leaving = Vec::new();
        for node in &self.nodes {
            let is_moving = found.contains(&node.id) && (!node.gone || node.replaced);
            let by_others = lists.iter().any(|list| list.id != node.id);
            let idle = || {
                let holds =
                    |namespace: &crate::map::Namespace| namespace.partitions.holds(node.slot);
                !self.map.namespaces().iter().any(holds)
            };
            let unlisted = others && by_others && !listed.contains(&node.id);
            let reason = if node.stray.is_some() && node.gone {
                "it belongs to another cluster"
            } else if is_moving {
                continue;
            } else if node.gone && node.failures + 1 >= MAX_FAILURES {
                "it no longer answers"
            } else if node.gone
                && (!node.replaced || unlisted || !by_others || taken.contains(&node.address))
            {
                "another node answers at its address"
            } else if nobody_lists && node.failed && node.failures + 1 >= MAX_FAILURES {
                "it no longer answers"
            } else if unlisted && node.failed {
                "it does not answer and no node lists it"
            } else if unlisted && idle() {
                "no node lists it and it holds nothing"
            } else {
                continue;
            };
            leaving.push((node.slot, reason));
        }
        if leaving.is_empty() {
            return;
        }
        let leaving: BTreeMap<Slot, &'static str> = leaving.into_iter().collect();
        for node in &mut self.nodes {
            node.leaving = leaving.get(&node.slot).copied();
            node.generations.partitions = None;
        }
        for namespace in self.map.namespaces_mut() {
            let partitions = &mut namespace.partitions;
            for partition in 0..partitions.len() {
                // Any current claim is better than the entry of a node that
                // leaves.
                let owner = partitions.holder(partition, 0);
                if owner.is_some_and(|slot| leaving.contains_key(&slot)) {
                    self.changed |= partitions.set_regime(partition, 0);
                }
            }
        }
    }

    /// Removes the nodes that leave, once all nodes that answer have reported
    /// their claims. If one has not, the removal is postponed for a few passes:
    /// the partitions that it is about to claim would have no holder.
    pub(super) fn remove_leaving(&mut self, turn: &mut dyn Turn) {
        let unread = self.nodes.iter().any(|node| {
            let answers = node.status.is_some_and(|status| status.is_ready());
            node.leaving.is_none() && answers && !node.read
        });
        for node in self.nodes.iter_mut() {
            let put_off = node.leaving.is_some() && unread && node.stray.is_none();
            node.put_off = if put_off { node.put_off + 1 } else { 0 };
        }
        self.take_out(turn, |node| !(1..=MAX_PUT_OFF).contains(&node.put_off));
    }

    /// Removes those of the leaving nodes that `which` selects.
    pub(super) fn take_out(&mut self, turn: &mut dyn Turn, which: impl Fn(&TendedNode) -> bool) {
        let mut at = 0;
        while let Some(node) = self.nodes.get(at) {
            let Some(reason) = node.leaving.filter(|_| which(node)) else {
                at += 1;
                continue;
            };
            let node = self.nodes.remove(at);
            if let Some(name) = node.stray.filter(|_| self.left.len() < MOST_LEFT) {
                self.left.insert(node.id, name);
            }
            self.map.remove_node(node.slot);
            for peers in self.nodes.iter_mut().filter_map(|other| other.peers.as_mut()) {
                peers.remove(node.slot);
            }
            self.changed = true;
            turn.event(TendEvent::NodeRemoved { id: node.id, reason });
        }
    }
}
