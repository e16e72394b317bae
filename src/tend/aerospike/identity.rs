//! Which cluster a node belongs to, by the name that it reports.
//!
//! The name is asked for with every reply that counts. With a name configured,
//! only nodes that report it count. Without one, the name is the one that was
//! published last, and most of the known nodes decide together whether it has
//! changed: then the cluster was renamed.

use std::collections::BTreeSet;

use super::Tender;
use super::pass::StatusInput;
use super::validate::ValidServer;
use crate::map::{Build, ClusterName, Node, NodeId, Slot};
use crate::tend::transport::Transport;
use crate::tend::{Condition, TendEvent, Turn};
use crate::wire::info::{self, InfoError, Reply};

/// A cluster's name as a node reports it; `None` = it has none.
pub(super) type Name = Option<ClusterName>;

/// Without a configured name, a node that reports another name than most nodes
/// is removed in this consecutive pass: by then the others may report the new
/// name, too.
const STRAY_PASSES: u32 = 2;

/// Appended to every request whose reply is used, to identify the sender.
pub(super) const WHO: [&str; 2] = ["node", "cluster-name"];

/// A name as texts show it.
pub(super) fn shown(name: &Name) -> String {
    name.as_ref().map_or("null".into(), |name| name.to_string())
}

impl<T: Transport> Tender<T> {
    /// The required name: `None` = not known yet, any name is accepted.
    pub(super) fn expected(&self) -> Option<Name> {
        let known = self.map.cluster_name.is_some() || !self.map.nodes.is_empty();
        match self.config.cluster_name {
            Some(name) => Some(Some(name)),
            None => known.then_some(self.map.cluster_name),
        }
    }

    /// Evaluates each status: the node answers, another node answers at its
    /// address, or the node belongs to another cluster.
    pub(super) fn take_statuses(
        &mut self,
        turn: &mut dyn Turn,
        statuses: Vec<(usize, u64, StatusInput)>,
    ) {
        let of_known = statuses.iter().filter(|(index, _, read)| read.id == self.nodes[*index].id);
        let named: Vec<(NodeId, Name)> =
            of_known.map(|(_, _, read)| (read.id, read.cluster)).collect();
        if let Some(name) = self.new_name(&named) {
            self.rename(turn, name);
        }
        let expected = self.expected();
        for (index, connection, read) in statuses {
            if expected.is_some_and(|expected| read.cluster != expected) {
                self.strays(turn, index, read.cluster);
                continue;
            }
            let node = &mut self.nodes[index];
            if read.id != node.id {
                (node.gone, node.replaced) = (true, true);
                node.note(format!("node {} answers at its address", read.id));
                continue;
            }
            node.strayed = 0;
            node.on_connection(connection);
            if node.failures > 0 {
                node.forget();
            }
            node.status = Some(read.status);
            node.bad_lists.build = read.build.bad;
            let slot = node.slot;
            self.note_build(turn, slot, read.build.found);
        }
    }

    /// The name that most of the known nodes report now, if it is another one.
    fn new_name(&self, named: &[(NodeId, Name)]) -> Option<Name> {
        let expected = self.expected()?;
        if let Some(name) = self.config.cluster_name {
            // Here the map is what has the other name.
            let reported = named.iter().any(|&(_, reported)| reported == Some(name));
            return (reported && self.map.cluster_name != Some(name)).then_some(Some(name));
        }
        let others = named.iter().map(|&(_, name)| name).filter(|&name| name != expected);
        others.into_iter().find(|name| {
            let mut members: BTreeSet<NodeId> =
                named.iter().filter(|(_, reported)| reported == name).map(|&(id, _)| id).collect();
            members.extend(self.left_for(name));
            self.is_most_of_us(&members)
        })
    }

    /// The nodes that were removed because they reported this name.
    fn left_for(&self, name: &Name) -> impl Iterator<Item = NodeId> {
        self.left.iter().filter(move |(_, left)| *left == name).map(|(&id, _)| id)
    }

    /// Whether `members` includes most of the nodes that are or were known.
    /// Nodes that do not answer count as unchanged, because they may come back.
    fn is_most_of_us(&self, members: &BTreeSet<NodeId>) -> bool {
        let stay = self.nodes.iter().filter(|node| !members.contains(&node.id)).count();
        let is_ours = |id: &&NodeId| {
            self.left.contains_key(id) || self.nodes.iter().any(|node| node.id == **id)
        };
        members.iter().filter(is_ours).count() > stay
    }

    /// Whether a server that reports another name shows that the cluster was
    /// renamed while none of its nodes answered: it and its peers are most of
    /// the known nodes.
    pub(super) fn was_renamed(&self, seed: &ValidServer) -> bool {
        let peers = seed.peers.peers.iter().map(|peer| peer.id);
        let members: BTreeSet<NodeId> = peers.chain([seed.id]).collect();
        self.config.cluster_name.is_none() && !self.nodes.is_empty() && self.is_most_of_us(&members)
    }

    /// Changes the name of the cluster.
    pub(super) fn rename(&mut self, turn: &mut dyn Turn, to: Name) {
        let from = core::mem::replace(&mut self.map.cluster_name, to);
        self.changed = true;
        self.left.retain(|_, name| *name != to);
        turn.event(TendEvent::ClusterRenamed { from, to });
    }

    /// Records the build that a known node reports now.
    pub(super) fn note_build(&mut self, turn: &mut dyn Turn, slot: Slot, to: Option<Build>) {
        let Some(&Node { id, build: from, .. }) = self.map.nodes.get(slot) else { return };
        if !self.map.nodes.set_build(slot, to) {
            return;
        }
        self.changed = true;
        if let (Some(from), Some(to)) = (from, to) {
            turn.event(TendEvent::NodeUpgraded { id, from, to });
        }
    }

    /// Records that the node, or another one at its address, belongs to another
    /// cluster.
    fn strays(&mut self, turn: &mut dyn Turn, index: usize, name: Name) {
        let wanted = shown(&self.expected().flatten());
        self.conditions.add(Condition::OtherCluster, 1);
        let configured = self.config.cluster_name.is_some();
        let node = &mut self.nodes[index];
        node.stray = Some(name);
        node.strayed = node.strayed.saturating_add(1);
        node.gone = configured || node.strayed >= STRAY_PASSES;
        node.note(format!("reports cluster {:?}, wanted {wanted:?}", shown(&name)));
        if !core::mem::replace(&mut node.told_failed, true) {
            let (id, address, error) = (node.id, node.address, node.last_error.clone());
            turn.event(TendEvent::NodeFailed { id, address, error });
        }
    }

    /// Whether a reply that includes [`WHO`] is from this node and this cluster.
    pub(super) fn is_of(&self, index: usize, reply: &Reply<'_>) -> Result<bool, InfoError> {
        let [node, cluster] = WHO;
        let id = info::parse_node(reply.value(node)?)?;
        let name = info::parse_cluster_name(reply.value(cluster)?)?;
        Ok(id == self.nodes[index].id && self.expected().is_none_or(|expected| expected == name))
    }
}
