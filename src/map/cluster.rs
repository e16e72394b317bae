//! The whole map.

use super::names::{ClusterName, NamespaceName, NodeId};
use super::namespace::Namespace;
use super::node::{Node, NodeTable, Slot};
use crate::layout::Capacity;

/// There is no room in the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MapFull {
    /// There is no room for another node.
    #[error("no room for node {id}: the table holds at most {capacity} nodes")]
    Node {
        /// The node that did not fit.
        id: NodeId,
        /// The number of nodes for which the table has room.
        capacity: usize,
    },
    /// There is no room for another namespace.
    #[error("no room for namespace {name}: the map holds at most {capacity} namespaces")]
    Namespace {
        /// The namespace that did not fit.
        name: NamespaceName,
        /// The number of namespaces for which the map has room.
        capacity: usize,
    },
}

/// The nodes of a cluster, and which of them holds what.
///
/// ```
/// use tendmap::map::{Capacity, ClusterMap, NamespaceName, Node, NodeId};
///
/// let mut map = ClusterMap::new(Capacity::DEFAULT);
/// let slot = map.nodes.insert(Node::new(NodeId::new("A1")?, "192.0.2.1:3000".parse()?))?;
/// let namespace = map.namespace_entry(NamespaceName::new("test")?)?;
/// namespace.replication_factor = 1;
/// namespace.partitions.set_holder(7, 0, Some(slot));
/// assert_eq!(map.namespaces()[0].partitions.holder(7, 0), Some(slot));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterMap {
    capacity: Capacity,
    /// The cluster's name according to the servers, if they were asked and it
    /// has one.
    pub cluster_name: Option<ClusterName>,
    /// The nodes.
    pub nodes: NodeTable,
    namespaces: Vec<Namespace>,
}

impl ClusterMap {
    /// An empty map.
    #[must_use]
    pub fn new(capacity: Capacity) -> ClusterMap {
        ClusterMap {
            capacity,
            cluster_name: None,
            nodes: NodeTable::new(capacity.max_nodes),
            namespaces: Vec::new(),
        }
    }

    /// The map that was read from a frame.
    pub(crate) fn restore(
        capacity: Capacity,
        cluster_name: Option<ClusterName>,
        nodes: NodeTable,
        namespaces: Vec<Namespace>,
    ) -> ClusterMap {
        ClusterMap { capacity, cluster_name, nodes, namespaces }
    }

    /// What it has room for.
    #[must_use]
    pub fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// The namespaces, in the order in which they were first seen.
    #[must_use]
    pub fn namespaces(&self) -> &[Namespace] {
        &self.namespaces
    }

    /// The namespaces, mutable.
    pub fn namespaces_mut(&mut self) -> &mut [Namespace] {
        &mut self.namespaces
    }

    /// The namespace of that name.
    #[must_use]
    pub fn namespace(&self, name: &NamespaceName) -> Option<&Namespace> {
        self.namespaces.iter().find(|namespace| namespace.name == *name)
    }

    /// The namespace of that name; it is added if it is new.
    ///
    /// # Errors
    /// [`MapFull`]; the map is then unchanged.
    pub fn namespace_entry(&mut self, name: NamespaceName) -> Result<&mut Namespace, MapFull> {
        let Capacity { max_namespaces, partitions, max_replicas, .. } = self.capacity;
        let index = match self.namespaces.iter().position(|known| known.name == name) {
            Some(index) => index,
            None if self.namespaces.len() < max_namespaces => {
                self.namespaces.push(Namespace::new(name, partitions, max_replicas));
                self.namespaces.len() - 1
            }
            None => {
                return Err(MapFull::Namespace { name, capacity: max_namespaces });
            }
        };
        Ok(&mut self.namespaces[index])
    }

    /// Removes a namespace; returns whether it was there.
    pub fn remove_namespace(&mut self, name: &NamespaceName) -> bool {
        let before = self.namespaces.len();
        self.namespaces.retain(|namespace| namespace.name != *name);
        self.namespaces.len() != before
    }

    /// Removes a node from the table, and from every partition and rack.
    pub fn remove_node(&mut self, slot: Slot) -> Option<Node> {
        let node = self.nodes.remove(slot)?;
        for namespace in &mut self.namespaces {
            namespace.partitions.forget(slot);
            namespace.set_rack(slot, None);
        }
        Some(node)
    }

    /// Raises the limit of replicas; a smaller number changes nothing.
    pub fn raise_replicas(&mut self, max_replicas: usize) {
        self.capacity.max_replicas = self.capacity.max_replicas.max(max_replicas);
        for namespace in &mut self.namespaces {
            namespace.partitions.raise_replicas(max_replicas);
        }
    }

    /// The largest number of routable replicas of any partition.
    pub fn held_replicas(&self) -> usize {
        self.namespaces.iter().map(Namespace::held_replicas).max().unwrap_or(0)
    }

    /// Raises the limits of nodes and namespaces; smaller numbers change nothing.
    pub fn raise_capacity(&mut self, max_nodes: usize, max_namespaces: usize) {
        self.nodes.raise_capacity(max_nodes);
        self.capacity.max_nodes = self.nodes.capacity();
        self.capacity.max_namespaces = self.capacity.max_namespaces.max(max_namespaces);
    }
}
