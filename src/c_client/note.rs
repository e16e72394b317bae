//! What a pass could not do, or not as it should be.

use core::fmt;

use super::slots::QUARANTINE_MS;
use crate::map::{NamespaceName, NodeId};

/// Something that an operator should know of a pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// There is no slot for a node. Entries name other replicas in its place.
    NodeLeftOut {
        /// The node.
        node: NodeId,
        /// How many slots there are.
        capacity: usize,
    },
    /// There is no table for a namespace. Clients fail its commands.
    NamespaceLeftOut {
        /// The namespace.
        name: NamespaceName,
        /// How many tables there are; those of namespaces that were removed stay.
        capacity: usize,
    },
    /// A node got a slot that was not out of use for long: a client that was stopped
    /// since then takes it for the node before.
    QuarantineShortened {
        /// The node.
        node: NodeId,
        /// The slot.
        slot: usize,
        /// How long it was out of use.
        out_of_use_ms: u64,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Note::NodeLeftOut { node, capacity } => write!(
                f,
                "node {node} is left out: all {capacity} slots of the segment are in use; \
                 make a larger one (and configure its clients with as many)"
            ),
            Note::NamespaceLeftOut { name, capacity } => write!(
                f,
                "namespace {name} is left out: all {capacity} tables of the segment are in use, \
                 those of removed namespaces among them; make a larger one, or make it again"
            ),
            Note::QuarantineShortened { node, slot, out_of_use_ms } => write!(
                f,
                "node {node} got slot {slot} after {out_of_use_ms} ms instead of {QUARANTINE_MS}: \
                 no other is free; a client that was stopped that long may use an old address"
            ),
        }
    }
}
