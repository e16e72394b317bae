//! A router's own table of nodes, with the local state that its user keeps for
//! each.

use std::net::SocketAddr;

use crate::layout::Slots;
use crate::map::{Node, NodeId, NodeTable, Slot};

/// A node as one router knows it.
#[derive(Clone, Copy)]
pub(super) struct KnownNode {
    pub node: Node,
    pub incarnation: u32,
}

/// Creates the local state of a node.
pub(super) type MakeState<S> = Box<dyn FnMut(&Node) -> S + Send>;

/// The nodes by slot. The states are stored separately, next to each other: a
/// lookup touches nothing else.
#[derive(Clone)]
pub(super) struct LocalNodes<S> {
    states: Slots<S>,
    /// Has a node exactly where there is a state.
    known: Vec<Option<KnownNode>>,
}

impl<S> LocalNodes<S> {
    pub fn new() -> LocalNodes<S> {
        LocalNodes { states: Slots::new(), known: Vec::new() }
    }

    /// Whether there is a node at that index.
    #[inline(always)]
    pub fn has(&self, index: usize) -> bool {
        self.states.has(index)
    }

    /// The state at that index, and what is known of all nodes.
    #[inline(always)]
    pub fn split_mut(&mut self, index: usize) -> Option<(&mut S, &[Option<KnownNode>])> {
        Some((self.states.get_mut(index)?, &self.known))
    }

    /// All states, and what is known of all nodes.
    #[inline(always)]
    pub fn split(&self) -> (&Slots<S>, &[Option<KnownNode>]) {
        (&self.states, &self.known)
    }

    pub fn known(&self, slot: Slot) -> Option<&KnownNode> {
        self.known.get(slot.index())?.as_ref()
    }

    pub fn states(&self) -> impl Iterator<Item = (Slot, &S)> {
        let slots = (0..self.known.len()).filter_map(Slot::new);
        slots.filter_map(|slot| Some((slot, self.states.get(slot.index())?)))
    }

    pub fn is_empty(&self) -> bool {
        self.known.iter().all(Option::is_none)
    }

    pub fn clear(&mut self) {
        self.known.clear();
        self.states.truncate(0);
    }

    /// Takes over a new table. State is kept only for nodes whose id,
    /// incarnation and address (TLS name included) are unchanged, and created
    /// for all others.
    ///
    /// Another build alone does not end a state: what depends on the server's
    /// process, such as connections, has ended with that process, or the build
    /// only became known later. A user that depends on the build finds the new
    /// one in the [`Node`].
    pub fn update(&mut self, table: &NodeTable, make: &mut MakeState<S>) {
        self.states.truncate(table.slots());
        self.known.resize_with(table.slots(), || None);
        for (slot, known) in (0..).map_while(Slot::new).zip(&mut self.known) {
            let incarnation = table.incarnation(slot);
            let node = table.get(slot);
            if let (Some(known), Some(node)) = (&mut *known, node)
                && known.incarnation == incarnation
                && (Node { build: node.build, ..known.node }) == *node
            {
                known.node.build = node.build;
                continue;
            }
            // The order matters: the user's code may panic.
            *known = None;
            self.states.set(slot.index(), None);
            if let Some(node) = node {
                self.states.set(slot.index(), Some(make(node)));
                *known = Some(KnownNode { node: *node, incarnation });
            }
        }
    }
}

/// The route of a key.
pub struct Route<'a, S = ()> {
    pub(super) state: &'a mut S,
    pub(super) nodes: &'a [Option<KnownNode>],
    pub(super) slot: Slot,
    pub(super) replica: usize,
    pub(super) partition: usize,
    pub(super) sequence: u64,
}

impl<S> Route<'_, S> {
    fn known(&self) -> &KnownNode {
        self.nodes[self.slot.index()].as_ref().expect("a node where there is a state")
    }

    /// The node.
    #[must_use]
    pub fn node(&self) -> &Node {
        &self.known().node
    }

    /// The node's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.node().id
    }

    /// The node's address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.node().address
    }

    /// The node's slot in the table.
    #[inline]
    #[must_use]
    pub fn slot(&self) -> Slot {
        self.slot
    }

    /// How often a node moved into that slot: another number is another node,
    /// or the same one come back.
    #[must_use]
    pub fn incarnation(&self) -> u32 {
        self.known().incarnation
    }

    /// The replica that was chosen, 0 = the master.
    #[inline]
    #[must_use]
    pub fn replica(&self) -> usize {
        self.replica
    }

    /// The partition.
    #[inline]
    #[must_use]
    pub fn partition(&self) -> usize {
        self.partition
    }

    /// The publication from which the route was read.
    #[inline]
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// The local state that the router's user keeps for the node.
    #[inline]
    #[must_use]
    pub fn state(&self) -> &S {
        self.state
    }

    /// Like [`state`](Self::state), to be changed.
    #[inline]
    pub fn state_mut(&mut self) -> &mut S {
        self.state
    }
}

impl<S> core::fmt::Debug for Route<'_, S> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Route")
            .field("node", self.node())
            .field("replica", &self.replica)
            .field("partition", &self.partition)
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}
