//! Decides which namespaces enter the map if more are listed than it has room
//! for.
//!
//! The nodes choose in turn, one namespace each. A node prefers the namespaces
//! that most nodes list, then those that are already in the map, then the order
//! of the names. Choosing a namespace that another node has chosen uses no turn.
//! So each node gets an equal share, even if one node lists a million
//! namespaces. A published namespace that no node lists at the moment is the
//! last choice of the nodes that listed it before, because they may only be
//! silent. Published namespaces that no known node has listed are chosen as if
//! one further node listed them. The result depends on what is listed, not on
//! the order of lists or replies.

use core::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::Tender;
use crate::map::{NamespaceName, NodeId};
use crate::tend::transport::Transport;
use crate::tend::{TendEvent, Turn};

/// The namespaces that each node lists, in the order of node ids.
pub(super) type Listed = BTreeMap<NodeId, BTreeSet<NamespaceName>>;

/// Chooses at most `ceiling` namespaces. `before` holds the published namespaces
/// that each node of the table has listed.
pub(super) fn admit(
    ceiling: usize,
    published: &BTreeSet<NamespaceName>,
    listed: &Listed,
    before: &Listed,
) -> BTreeSet<NamespaceName> {
    let mut votes: BTreeMap<NamespaceName, usize> = BTreeMap::new();
    for &name in listed.values().flatten() {
        *votes.entry(name).or_default() += 1;
    }
    let unlisted: BTreeSet<NamespaceName> =
        published.iter().filter(|name| !votes.contains_key(name)).copied().collect();
    if votes.len() + unlisted.len() <= ceiling {
        return votes.into_keys().chain(unlisted).collect();
    }
    let (mut listed, mut orphans) = (listed.clone(), unlisted.clone());
    for (&id, names) in before {
        let last = names.intersection(&unlisted).copied();
        last.clone().for_each(|name| {
            orphans.remove(&name);
        });
        listed.entry(id).or_default().extend(last);
    }
    let order = |names: &BTreeSet<NamespaceName>| {
        let mut names: Vec<NamespaceName> = names.iter().copied().collect();
        let votes = |name: &NamespaceName| votes.get(name).copied().unwrap_or(0);
        names.sort_by_cached_key(|name| (Reverse(votes(name)), !published.contains(name), *name));
        names
    };
    let lists: Vec<Vec<NamespaceName>> = listed.values().chain([&orphans]).map(order).collect();
    let longest = lists.iter().map(Vec::len).max().unwrap_or(0);
    let mut admitted = BTreeSet::new();
    for turn in 0..longest {
        for name in lists.iter().filter_map(|list| list.get(turn)) {
            if admitted.len() == ceiling {
                return admitted;
            }
            admitted.insert(*name);
        }
    }
    admitted
}

impl<T: Transport> Tender<T> {
    /// The namespaces listed by the nodes whose claims count.
    fn listed_namespaces(&self) -> Listed {
        let counts = |(index, node): &(usize, &super::node::TendedNode)| {
            node.usable().is_some() && self.peer_groups.counts(*index)
        };
        let names = |(_, node): (usize, &super::node::TendedNode)| {
            let namespaces = node.namespaces.as_ref()?;
            let names = namespaces.iter().map(|&(name, _)| name).chain(node.unread.iter().copied());
            Some((node.id, names.collect()))
        };
        self.nodes.iter().enumerate().filter(counts).filter_map(names).collect()
    }

    /// The admitted namespaces that each node listed when it last answered.
    fn listed_before(&self) -> Listed {
        self.nodes.iter().map(|node| (node.id, node.listed.clone())).collect()
    }

    fn published_namespaces(&self) -> BTreeSet<NamespaceName> {
        self.map.namespaces().iter().map(|namespace| namespace.name).collect()
    }

    /// Asks nodes again if there may now be room for a namespace that they list
    /// and that was refused before.
    pub(super) fn readmit(&mut self) {
        if self.refused_namespaces.is_empty() {
            return;
        }
        let (listed, published) = (self.listed_namespaces(), self.published_namespaces());
        let ceiling = self.map.capacity().max_namespaces;
        let admitted = admit(ceiling, &published, &listed, &self.listed_before());
        let new: BTreeSet<NamespaceName> = admitted.difference(&published).copied().collect();
        for node in &mut self.nodes {
            let names = node.namespaces.iter().flatten();
            if !new.is_empty() && names.into_iter().any(|(name, _)| new.contains(name)) {
                node.generations.partitions = None;
            }
        }
    }

    /// Chooses the namespaces of the map, and removes those that no longer have
    /// room.
    pub(super) fn admit_namespaces(&mut self, turn: &mut dyn Turn) -> BTreeSet<NamespaceName> {
        let capacity = self.map.capacity().max_namespaces;
        let (listed, published) = (self.listed_namespaces(), self.published_namespaces());
        let admitted = admit(capacity, &published, &listed, &self.listed_before());
        for node in &mut self.nodes {
            if let Some(names) = listed.get(&node.id) {
                node.listed = names.intersection(&admitted).copied().collect();
            }
        }
        for &name in published.difference(&admitted) {
            self.map.remove_namespace(&name);
            self.changed = true;
            turn.event(TendEvent::NamespaceRemoved { name });
        }
        let left_out = |names: &BTreeSet<NamespaceName>| names.difference(&admitted).count();
        let refused: BTreeSet<NamespaceName> =
            listed.values().flatten().filter(|name| !admitted.contains(name)).copied().collect();
        for &name in refused.difference(&self.refused_namespaces) {
            if self.namespace_tells > 0 {
                self.namespace_tells -= 1;
                turn.event(TendEvent::NamespaceRefused { name, capacity });
            }
        }
        // Namespaces in addition to those that are kept of the node's list.
        let more = self.nodes.iter().map(|node| (node.id, node.more_namespaces));
        let more: BTreeMap<NodeId, usize> = more.filter(|(_, more)| *more > 0).collect();
        let before = self.cut_off_namespaces();
        self.refused_namespaces = refused;
        self.more_namespaces = more.values().copied().max().unwrap_or(0);
        let cut_off = self.cut_off_namespaces();
        if cut_off > 0 && before == 0 {
            let of = |id: &NodeId| {
                listed.get(id).map_or(0, left_out) + more.get(id).copied().unwrap_or(0)
            };
            let most = listed.keys().map(|id| (of(id), Reverse(*id))).max();
            if let Some((by_it, Reverse(by))) = most {
                let listed = admitted.len() + cut_off;
                turn.event(TendEvent::NamespacesCutOff { listed, ceiling: capacity, by, by_it });
            }
        }
        admitted
    }

    /// The number of namespaces without room.
    pub(super) fn cut_off_namespaces(&self) -> usize {
        self.refused_namespaces.len() + self.more_namespaces
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> BTreeSet<NamespaceName> {
        text.split_whitespace().map(|name| NamespaceName::new(name).unwrap()).collect()
    }

    fn admitted(ceiling: usize, published: &str, lists: &[&str]) -> String {
        admitted_after(&[], ceiling, published, lists)
    }

    /// The admitted namespaces after the nodes have sent these lists.
    fn admitted_after(
        before: &[(usize, &str)],
        ceiling: usize,
        published: &str,
        lists: &[&str],
    ) -> String {
        let id = |index: usize| NodeId::new(&format!("N{index}")).unwrap();
        let listed =
            lists.iter().enumerate().map(|(index, list)| (id(index), names(list))).collect();
        let before = before.iter().map(|&(index, list)| (id(index), names(list))).collect();
        let admitted = admit(ceiling, &names(published), &listed, &before);
        admitted.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn h134_where_there_is_room_all_have_a_place() {
        assert_eq!(admitted(4, "a x", &["a b", "b c"]), "a b c x");
        assert_eq!(admitted(4, "", &[]), "");
    }

    #[test]
    fn h134_each_node_has_its_share_of_the_places() {
        // One node lists many: the others still get their namespaces, whatever
        // the order of the names.
        assert_eq!(admitted(4, "", &["a b c d e f", "x y", "x y"]), "a b x y");
        assert_eq!(admitted(4, "a b c d", &["a b c d e f", "x y", "x y"]), "a b x y");
        assert_eq!(admitted(3, "a b c", &["a b c d e f", "x"]), "a b x");
        // Two such nodes, and namespaces that only one node lists.
        assert_eq!(admitted(6, "", &["a b c d", "e f g h", "x y"]), "a b e f x y");
        // First those that most nodes list, then those already in the map.
        assert_eq!(admitted(3, "c", &["a b c d", "b x"]), "b c x");
        assert_eq!(admitted(2, "d", &["a b c d"]), "a d");
    }

    #[test]
    fn h134_namespaces_of_silent_nodes_have_a_share_too() {
        assert_eq!(admitted(4, "x y", &["a b c d e f"]), "a b x y");
        assert_eq!(admitted(4, "u v w x", &["a b"]), "a b u v");
        let silent = [(7, "x y")];
        assert_eq!(admitted_after(&silent, 4, "u v x y", &["a b c"]), "a b u x");
        let lists = ["g1 g2 g3", "x y z"];
        let same = [(0, "h1 h2 h3"), (1, "x y z")];
        assert_eq!(admitted_after(&same, 6, "h1 h2 h3 x y z", &lists), "g1 g2 g3 x y z");
    }

    #[test]
    fn h134_what_has_a_place_keeps_it() {
        let lists = ["h1 h2 h3 h4 h5 h6 h7", "a b", "a b c"];
        let first = admitted(5, "", &lists);
        assert_eq!(admitted(5, &first, &lists), first);
        // If the node that lists many sends other names, only its own share
        // changes.
        let other = admitted(5, &first, &["g1 g2 g3 g4 g5 g6 g7", "a b", "a b c"]);
        assert!(other.starts_with("a b "), "{other}");
    }
}
