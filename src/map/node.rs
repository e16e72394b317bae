//! Nodes, and the table of their slots.

use std::net::SocketAddr;

use super::build::Build;
use super::cluster::MapFull;
use super::names::{NodeId, TlsName};

/// One node of the cluster.
///
/// ```
/// use tendmap::{Node, NodeId};
///
/// let mut node = Node::new(NodeId::new("BB9000000003100")?, "192.0.2.1:3000".parse()?);
/// node.tls_name = Some("db.example".parse()?);
/// assert_eq!(node.host(), "192.0.2.1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Node {
    /// The node's id, as the node reports it.
    pub id: NodeId,
    /// The address at which the node is reached.
    pub address: SocketAddr,
    /// The name in its TLS certificate, if it has one.
    pub tls_name: Option<TlsName>,
    /// The build of its server; `None` = not known.
    pub build: Option<Build>,
}

impl Node {
    /// A node without a TLS name, of a build that is not known.
    #[must_use]
    pub const fn new(id: NodeId, address: SocketAddr) -> Node {
        Node { id, address, tls_name: None, build: None }
    }

    /// Its IP address as text, with the scope of an IPv6 address that has one:
    /// `10.0.0.1`, `2001:db8::1`, `fe80::1%2`.
    #[must_use]
    pub fn host(&self) -> String {
        match self.address {
            SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("{}%{}", v6.ip(), v6.scope_id()),
            address => address.ip().to_string(),
        }
    }
}

/// The index of a node in the table, below [`Slot::LIMIT`].
///
/// Partition maps name nodes by slot. A slot is reused when its node has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Slot(u16);

impl Slot {
    /// All slots are below this number.
    pub const LIMIT: usize = 4096;
    /// Marks the absence of a holder in routing words and in the map.
    pub(crate) const NOBODY: u16 = u16::MAX;

    /// The slot of that index; `None` from [`LIMIT`](Self::LIMIT) on.
    #[must_use]
    pub const fn new(index: usize) -> Option<Slot> {
        if index < Slot::LIMIT { Some(Slot(index as u16)) } else { None }
    }

    /// The slot of that index, which is known to be below the limit.
    #[inline(always)]
    pub(crate) const fn below_limit(index: usize) -> Slot {
        debug_assert!(index < Slot::LIMIT);
        Slot((index % Slot::LIMIT) as u16)
    }

    /// The index of the slot.
    #[inline(always)]
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// The index as stored in a routing word.
    pub(crate) const fn bits(self) -> u16 {
        self.0
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct SlotEntry {
    /// Incremented each time a node gets this slot. It is kept while the slot
    /// is empty, so that a later node is never taken for an earlier one.
    incarnation: u32,
    node: Option<Node>,
}

/// The nodes by slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeTable {
    entries: Vec<SlotEntry>,
    capacity: usize,
}

impl NodeTable {
    /// An empty table for at most `capacity` nodes (1 to [`Slot::LIMIT`]).
    #[must_use]
    pub fn new(capacity: usize) -> NodeTable {
        NodeTable { entries: Vec::new(), capacity: capacity.min(Slot::LIMIT) }
    }

    /// How many nodes it holds at most.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// How many nodes there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.iter().filter(|entry| entry.node.is_some()).count()
    }

    /// Whether there are no nodes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many slots were ever used: nodes have indexes below it.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.entries.len()
    }

    /// Puts a new node into the first free slot, under a new incarnation.
    ///
    /// # Errors
    /// [`MapFull`]; the table is then unchanged.
    ///
    /// # Panics
    /// If the table already has a node of that id.
    pub fn insert(&mut self, node: Node) -> Result<Slot, MapFull> {
        assert!(self.slot_of(&node.id).is_none(), "node {} is in the table", node.id);
        let free = self.entries.iter().position(|entry| entry.node.is_none());
        let index = free.unwrap_or(self.entries.len());
        let full = MapFull::Node { id: node.id, capacity: self.capacity };
        let slot = Slot::new(index).filter(|_| index < self.capacity).ok_or(full)?;
        if index == self.entries.len() {
            self.entries.push(SlotEntry::default());
        }
        let entry = &mut self.entries[index];
        entry.incarnation = entry.incarnation.wrapping_add(1);
        entry.node = Some(node);
        Ok(slot)
    }

    /// Removes a node; its slot keeps its incarnation.
    ///
    /// Use [`ClusterMap::remove_node`](super::ClusterMap::remove_node), which
    /// also removes it from every partition.
    pub(crate) fn remove(&mut self, slot: Slot) -> Option<Node> {
        self.entries.get_mut(slot.index())?.node.take()
    }

    /// Changes a node's address or TLS name. This invalidates local state for the old address in
    /// every process.
    ///
    /// # Panics
    /// If the slot is empty.
    pub fn relocate(&mut self, slot: Slot, address: SocketAddr, tls_name: Option<TlsName>) {
        let node = self.entries[slot.index()].node.as_mut().expect("a node in the slot");
        node.address = address;
        node.tls_name = tls_name;
    }

    /// Notes the build of a node's server; whether it is another one than
    /// before. Unlike [`relocate`](Self::relocate) this leaves local state
    /// alone: it is the same node at the same address, and if its process was
    /// replaced, then its connections have ended by themselves.
    ///
    /// # Panics
    /// If the slot is empty.
    pub fn set_build(&mut self, slot: Slot, build: Option<Build>) -> bool {
        let node = self.entries[slot.index()].node.as_mut().expect("a node in the slot");
        core::mem::replace(&mut node.build, build) != build
    }

    /// The node in that slot.
    #[must_use]
    pub fn get(&self, slot: Slot) -> Option<&Node> {
        self.entries.get(slot.index())?.node.as_ref()
    }

    /// How often a node moved into that slot, modulo 2^32; 0 = never.
    #[must_use]
    pub fn incarnation(&self, slot: Slot) -> u32 {
        self.entries.get(slot.index()).map_or(0, |entry| entry.incarnation)
    }

    /// The slot of the node of that id.
    #[must_use]
    pub fn slot_of(&self, id: &NodeId) -> Option<Slot> {
        self.iter().find(|(_, node)| node.id == *id).map(|(slot, _)| slot)
    }

    /// All nodes with their slots, in slot order.
    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Node)> {
        let slots = (0..).map_while(Slot::new);
        slots.zip(&self.entries).filter_map(|(slot, entry)| Some((slot, entry.node.as_ref()?)))
    }

    /// Sets one slot to what was read from a frame.
    pub(crate) fn restore(&mut self, slot: Slot, incarnation: u32, node: Option<Node>) {
        if self.entries.len() <= slot.index() {
            self.entries.resize(slot.index() + 1, SlotEntry::default());
        }
        self.entries[slot.index()] = SlotEntry { incarnation, node };
    }

    /// Raises the maximum number of nodes; a smaller number changes nothing.
    pub(crate) fn raise_capacity(&mut self, capacity: usize) {
        self.capacity = self.capacity.max(capacity).min(Slot::LIMIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_an_address_without_its_port_and_with_its_scope() {
        let host =
            |address: &str| Node::new(NodeId::new("A").unwrap(), address.parse().unwrap()).host();
        assert_eq!(host("10.0.0.1:3000"), "10.0.0.1");
        assert_eq!(host("[2001:db8::1]:3000"), "2001:db8::1");
        assert_eq!(host("[fe80::1%2]:3000"), "fe80::1%2");
    }
}
