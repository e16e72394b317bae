//! A router's own table of nodes, with what its user keeps for each.

use std::net::SocketAddr;

use crate::map::{Node, NodeId, NodeTable, Slot};

/// A node as one router knows it.
pub(super) struct Local<S> {
    pub node: Node,
    pub incarnation: u32,
    pub state: S,
}

/// Makes the local state of a node.
pub(super) type MakeState<S> = Box<dyn FnMut(&Node) -> S + Send>;

/// The nodes by slot.
pub(super) struct LocalNodes<S> {
    places: Vec<Option<Local<S>>>,
    make: MakeState<S>,
}

impl<S> LocalNodes<S> {
    pub fn new(make: MakeState<S>) -> LocalNodes<S> {
        LocalNodes { places: Vec::new(), make }
    }

    #[inline(always)]
    pub fn get_mut(&mut self, index: usize) -> Option<&mut Local<S>> {
        self.places.get_mut(index)?.as_mut()
    }

    #[inline(always)]
    pub fn has(&self, index: usize) -> bool {
        matches!(self.places.get(index), Some(Some(_)))
    }

    pub fn get(&self, slot: Slot) -> Option<&Local<S>> {
        self.places.get(slot.index())?.as_ref()
    }

    pub fn is_empty(&self) -> bool {
        self.places.iter().all(Option::is_none)
    }

    pub fn clear(&mut self) {
        self.places.clear();
    }

    /// Takes over a new table. State is kept only where node id, incarnation
    /// and address (TLS name included) are all the same.
    pub fn update(&mut self, table: &NodeTable) {
        self.places.truncate(table.slots());
        self.places.resize_with(table.slots(), || None);
        for (slot, place) in (0..).map_while(Slot::new).zip(&mut self.places) {
            let incarnation = table.incarnation(slot);
            let node = table.get(slot);
            let same =
                |local: &Local<S>| Some(&local.node) == node && local.incarnation == incarnation;
            if place.as_ref().is_some_and(same) {
                continue;
            }
            *place = node.map(|node| Local { node: *node, incarnation, state: (self.make)(node) });
        }
    }
}

/// Where a key goes.
pub struct Route<'a, S = ()> {
    pub(super) local: &'a mut Local<S>,
    pub(super) slot: Slot,
    pub(super) replica: usize,
    pub(super) partition: usize,
    pub(super) sequence: u64,
}

impl<S> Route<'_, S> {
    /// The node.
    pub fn node(&self) -> &Node {
        &self.local.node
    }

    /// The node's id.
    pub fn id(&self) -> NodeId {
        self.local.node.id
    }

    /// The node's address.
    pub fn address(&self) -> SocketAddr {
        self.local.node.address
    }

    /// The node's slot in the table.
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// How often a node moved into that slot: another number is another node,
    /// or the same one come back.
    pub fn incarnation(&self) -> u32 {
        self.local.incarnation
    }

    /// Which replica it is, 0 = the master.
    pub fn replica(&self) -> usize {
        self.replica
    }

    /// The partition.
    pub fn partition(&self) -> usize {
        self.partition
    }

    /// The publication that it was read from.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// What the router's user keeps for the node.
    pub fn state(&mut self) -> &mut S {
        &mut self.local.state
    }
}

impl<S> core::fmt::Debug for Route<'_, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Route")
            .field("node", &self.local.node)
            .field("replica", &self.replica)
            .field("partition", &self.partition)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}
