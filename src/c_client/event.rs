//! What a mirror reports.

use std::time::Duration;

use crate::map::{NamespaceName, NodeId};

/// What happened to a mirror of the C client's segment.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MirrorEvent {
    /// The mirror created the segment: clients that start now attach to it.
    Created {
        /// The kernel's id of the segment.
        shm_id: i32,
    },
    /// The mirror became owner of an existing segment, and keeps it filled.
    TookOver {
        /// The kernel's id of the segment.
        shm_id: i32,
        /// The pid of the owner before; 0 if there was none.
        from: u32,
    },
    /// Another mirror of this host fills the segment. This one takes over when
    /// that one is gone.
    Standby {
        /// The pid of that mirror; `None` if it is not visible here.
        pid: Option<u32>,
    },
    /// A client owns the segment and tends the cluster itself. A mirror never
    /// seizes ownership from a living process: it takes over when the client
    /// closes or dies.
    Waiting {
        /// The pid of that client.
        pid: u32,
    },
    /// The segment is not what was configured, or not of this cluster. It is
    /// left untouched and looked at again every second.
    Refused {
        /// What was found and what was wanted.
        reason: String,
    },
    /// Another process became owner of the segment. The mirror stopped storing
    /// and contends for it again.
    Fenced {
        /// The pid of that process.
        by: u32,
    },
    /// The segment was removed; the mirror creates it again. Clients that are
    /// attached to the removed one need a restart.
    Removed {
        /// The kernel's id of the removed segment.
        shm_id: i32,
    },
    /// There is no slot for a node: partitions name other replicas in its place.
    NodeLeftOut {
        /// The node.
        id: NodeId,
        /// The number of slots.
        capacity: usize,
    },
    /// There is no table for a namespace: clients fail its commands.
    NamespaceLeftOut {
        /// The namespace.
        name: NamespaceName,
        /// The number of tables; those of removed namespaces stay.
        capacity: usize,
    },
    /// A slot of a node that left was reused earlier than usual, since there
    /// was no other: a client that was stopped meanwhile may take the new node
    /// for the earlier one.
    SlotReusedEarly {
        /// The node that has it now.
        id: NodeId,
        /// The slot.
        slot: usize,
        /// How long the slot was out of use.
        out_of_use: Duration,
    },
    /// Words of the segment differed from what the mirror had stored, and were
    /// stored again: clients map it for writing.
    Mended {
        /// How many words differed.
        words: usize,
    },
    /// Locks that dead processes had left were freed.
    LocksFreed {
        /// How many.
        locks: usize,
    },
    /// The mirror was closed, and left the segment to the clients.
    Released,
    /// The mirror can't work now; it tries again every second.
    Trouble {
        /// What went wrong.
        error: String,
    },
}

impl MirrorEvent {
    /// Whether it needs attention.
    #[must_use]
    pub fn is_warning(&self) -> bool {
        matches!(
            self,
            MirrorEvent::Waiting { .. }
                | MirrorEvent::Refused { .. }
                | MirrorEvent::Fenced { .. }
                | MirrorEvent::Removed { .. }
                | MirrorEvent::NodeLeftOut { .. }
                | MirrorEvent::NamespaceLeftOut { .. }
                | MirrorEvent::SlotReusedEarly { .. }
                | MirrorEvent::Mended { .. }
                | MirrorEvent::LocksFreed { .. }
                | MirrorEvent::Trouble { .. }
        )
    }
}

/// One event of every kind.
#[cfg(any(test, feature = "internals"))]
pub(crate) fn one_of_each() -> Vec<MirrorEvent> {
    let (id, name) = (NodeId::new("A").unwrap(), NamespaceName::new("test").unwrap());
    vec![
        MirrorEvent::Created { shm_id: 1 },
        MirrorEvent::TookOver { shm_id: 1, from: 2 },
        MirrorEvent::Standby { pid: Some(2) },
        MirrorEvent::Waiting { pid: 2 },
        MirrorEvent::Refused { reason: "no".into() },
        MirrorEvent::Fenced { by: 2 },
        MirrorEvent::Removed { shm_id: 1 },
        MirrorEvent::NodeLeftOut { id, capacity: 1 },
        MirrorEvent::NamespaceLeftOut { name, capacity: 1 },
        MirrorEvent::SlotReusedEarly { id, slot: 1, out_of_use: Duration::ZERO },
        MirrorEvent::Mended { words: 1 },
        MirrorEvent::LocksFreed { locks: 1 },
        MirrorEvent::Released,
        MirrorEvent::Trouble { error: "no".into() },
    ]
}
