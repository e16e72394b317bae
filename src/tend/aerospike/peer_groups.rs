//! Decides by the lists of peers which nodes' claims are used.
//!
//! A node that the others have expelled may not notice it, and may continue to
//! send claims and lists as before. A cluster may also split. Nodes that list
//! each other form a group; the claims of the largest group are used. Groups of
//! equal size keep the entries that they have.

use std::collections::{BTreeMap, BTreeSet};

use super::Tender;
use super::node::TendedNode;
use super::slots::SlotSet;
use crate::map::{NodeId, Slot};
use crate::tend::transport::Transport;

/// A node that takes part in the grouping, by its index in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Membership {
    id: NodeId,
    /// Whether it answers in this pass.
    answers: bool,
    /// Its group, named by the index of one of the members.
    group: usize,
    /// The number of nodes in the group.
    size: usize,
}

/// Which nodes list each other.
#[derive(Debug, Default)]
pub(super) struct PeerGroups {
    /// Whether a list has changed since the groups were found.
    stale: bool,
    /// `None` = the node takes no part in this pass: it is gone, leaving or
    /// starting.
    parts: Vec<Option<Membership>>,
    /// The size of the largest group of which any node answers.
    largest: usize,
}

impl PeerGroups {
    /// Notes that a node's list of peers has changed.
    pub(super) fn list_changed(&mut self) {
        self.stale = true;
    }

    /// Whether the claims of the node with this index are used.
    pub(super) fn counts(&self, index: usize) -> bool {
        let part = self.parts.get(index).copied().flatten();
        part.is_some_and(|part| part.answers && part.size == self.largest)
    }

    /// The nodes of other groups of the same size, whose entries the node with
    /// that index must not change.
    pub(super) fn protected(&self, index: usize, nodes: &[TendedNode]) -> BTreeSet<Slot> {
        let Some(own) = self.parts.get(index).copied().flatten() else { return BTreeSet::new() };
        let rivals = self.parts.iter().zip(nodes).filter(|(part, _)| {
            part.is_some_and(|part| {
                part.answers && part.group != own.group && part.size >= own.size
            })
        });
        rivals.map(|(_, node)| node.slot).collect()
    }
}

impl<T: Transport> Tender<T> {
    /// Finds the groups of this pass. If they have changed, the nodes whose claims
    /// were withheld are asked again.
    pub(super) fn find_peer_groups(&mut self) {
        let answers = |node: &TendedNode| {
            let is_out = node.gone || node.stray.is_some() || node.leaving.is_some();
            let starts = node.status.is_some_and(|status| !status.is_ready());
            (!is_out && !starts).then(|| node.usable().is_some())
        };
        let found: Vec<Option<(NodeId, bool)>> =
            self.nodes.iter().map(|node| Some((node.id, answers(node)?))).collect();
        let known =
            self.peer_groups.parts.iter().map(|part| part.map(|part| (part.id, part.answers)));
        if !self.peer_groups.stale && known.eq(found.iter().copied()) {
            return;
        }
        let parts = groups(&self.nodes, &found);
        let largest = parts.iter().flatten().filter(|part| part.answers).map(|part| part.size);
        let largest = largest.max().unwrap_or(0);
        if parts != self.peer_groups.parts {
            for node in self.nodes.iter_mut().filter(|node| node.withheld) {
                node.generations.partitions = None;
            }
        }
        self.peer_groups = PeerGroups { stale: false, parts, largest };
    }
}

/// The groups of nodes that list each other, as far as their lists are known. A
/// list that could not be read contradicts nothing.
fn groups(nodes: &[TendedNode], found: &[Option<(NodeId, bool)>]) -> Vec<Option<Membership>> {
    let there: Vec<usize> = (0..nodes.len()).filter(|&index| found[index].is_some()).collect();
    let place: BTreeMap<Slot, usize> =
        there.iter().map(|&index| (nodes[index].slot, index)).collect();
    // Each node points to an earlier one of its group, the first to itself.
    let mut group: Vec<usize> = (0..nodes.len()).collect();
    let first = |group: &[usize], mut index: usize| {
        while group[index] != index {
            index = group[index];
        }
        index
    };
    for &one in &there {
        for slot in nodes[one].peers.iter().flat_map(SlotSet::iter) {
            let Some(&other) = place.get(&slot) else { continue };
            let back = nodes[other].peers.as_ref();
            if back.is_none_or(|peers| peers.contains(nodes[one].slot)) {
                let (a, b) = (first(&group, one), first(&group, other));
                group[a.max(b)] = a.min(b);
                (group[one], group[other]) = (a.min(b), a.min(b));
            }
        }
    }
    for &index in &there {
        group[index] = first(&group, index);
    }
    let mut sizes = vec![0; nodes.len()];
    there.iter().for_each(|&index| sizes[group[index]] += 1);
    let part = |(index, found): (usize, &Option<(NodeId, bool)>)| {
        let (id, answers) = (*found)?;
        Some(Membership { id, answers, group: group[index], size: sizes[group[index]] })
    };
    found.iter().enumerate().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes of the groups of nodes A, B, C, …, given the nodes that each of
    /// them lists; `?` = the list is not known.
    fn sizes(lists: &[&str]) -> Vec<usize> {
        let id = |name: char| NodeId::new(&name.to_string()).unwrap();
        let place = |name: char| Slot::new(name as usize - 'A' as usize).unwrap();
        let names = ('A'..='Z').take(lists.len());
        let nodes: Vec<TendedNode> = names
            .zip(lists)
            .enumerate()
            .map(|(index, (name, list))| {
                let slot = Slot::new(index).unwrap();
                let mut node = TendedNode::new(id(name), slot, "127.0.0.1:1".parse().unwrap());
                node.peers = (*list != "?").then(|| list.chars().map(place).collect());
                node
            })
            .collect();
        let found: Vec<_> = nodes.iter().map(|node| Some((node.id, true))).collect();
        groups(&nodes, &found).iter().map(|part| part.unwrap().size).collect()
    }

    #[test]
    fn nodes_that_list_each_other_are_a_group() {
        assert_eq!(sizes(&["BC", "AC", "AB"]), [3, 3, 3]);
        assert_eq!(
            sizes(&["BC", "C", "B"]),
            [1, 2, 2],
            "A lists the others, but they do not list A"
        );
        assert_eq!(sizes(&["", "AC", "AB"]), [1, 2, 2], "A believes that it is alone");
        assert_eq!(sizes(&["B", "A", "D", "C"]), [2, 2, 2, 2], "a split");
        assert_eq!(sizes(&["BD", "AD", "D", "AB"]), [3, 3, 1, 3], "C is expelled");
        assert_eq!(sizes(&["", ""]), [1, 1]);
        assert_eq!(sizes(&["B", "AC", "B"]), [3, 3, 3], "one link is enough");
        assert_eq!(sizes(&["?", "AC", "AB"]), [3, 3, 3], "an unread list contradicts nothing");
        assert_eq!(sizes(&["?", "C", "B"]), [1, 2, 2]);
        assert_eq!(sizes(&["?", "?"]), [1, 1]);
    }
}
