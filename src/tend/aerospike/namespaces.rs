//! Detects namespaces that were removed, and those that were rebuilt.

use std::collections::BTreeSet;

use super::Tender;
use super::partitions::{highest_regime, reset_regimes};
use crate::map::NamespaceName;
use crate::tend::transport::Transport;
use crate::tend::{TendEvent, Turn};

/// The number of consecutive passes that must agree before a namespace is
/// removed or its lower regimes are accepted.
const PASSES: u32 = 3;

/// The record of a namespace from pass to pass.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct NamespaceHistory {
    /// Passes in which no node listed it.
    unlisted: u32,
    /// Passes in which every claim had a lower regime than the map.
    lower: u32,
}

impl<T: Transport> Tender<T> {
    /// Drops namespaces that no node lists any more, and accepts the regimes of
    /// those that were rebuilt.
    pub(super) fn watch_namespaces(&mut self, turn: &mut dyn Turn) {
        let mut listed: BTreeSet<NamespaceName> = BTreeSet::new();
        let known =
            self.nodes.iter().all(|node| node.usable().is_some() && node.namespaces.is_some());
        for namespaces in self.nodes.iter().filter_map(|node| node.namespaces.as_ref()) {
            listed.extend(namespaces.iter().map(|&(name, _)| name));
        }
        // The entry is unreadable, but it shows that the node has the namespace.
        listed.extend(self.nodes.iter().flat_map(|node| &node.unread));
        if known && !self.nodes.is_empty() {
            self.refused_namespaces.retain(|name| listed.contains(name));
            self.more_namespaces =
                self.nodes.iter().map(|node| node.more_namespaces).max().unwrap_or(0);
        }
        let mut leaving = Vec::new();
        let mut rebuilt = Vec::new();
        for namespace in self.map.namespaces() {
            let watch = self.watch.entry(namespace.name).or_default();
            if listed.contains(&namespace.name) {
                watch.unlisted = 0;
            } else if known && !self.nodes.is_empty() {
                watch.unlisted += 1;
            }
            if watch.unlisted >= PASSES {
                leaving.push(namespace.name);
            }
            let claimed = self
                .nodes
                .iter()
                .filter(|node| node.usable().is_some())
                .filter_map(|node| node.namespaces.as_ref())
                .filter_map(|namespaces| {
                    namespaces.iter().find(|(name, _)| *name == namespace.name)
                })
                .map(|&(_, regime)| regime)
                .max();
            let unread = self.nodes.iter().any(|node| node.unread.contains(&namespace.name));
            // Without strong consistency all regimes are 0.
            match claimed.filter(|_| !unread) {
                Some(claimed) if claimed < highest_regime(namespace) => watch.lower += 1,
                _ => watch.lower = 0,
            }
            if watch.lower >= PASSES {
                rebuilt.push(namespace.name);
            }
        }
        for name in leaving {
            self.map.remove_namespace(&name);
            self.changed = true;
            turn.event(TendEvent::NamespaceRemoved { name });
        }
        for name in rebuilt {
            tracing::warn!(namespace = %name, "all nodes claim lower regimes: the namespace was rebuilt");
            if let Some(watch) = self.watch.get_mut(&name) {
                watch.lower = 0;
            }
            let namespace = self.map.namespaces_mut().iter_mut().find(|known| known.name == name);
            namespace.into_iter().for_each(reset_regimes);
            self.changed = true;
            for node in &mut self.nodes {
                node.generations.partitions = None;
            }
        }
        let map = &self.map;
        self.watch.retain(|name, _| map.namespace(name).is_some());
    }
}
