//! The rank of nodes by the preferred racks.

use crate::map::{Namespace, Slot};

/// A slot with the rank of its node's rack, for
/// [`Policy::PreferRack`](super::Policy): `rank:14 | 0:2 | slot:16`. Smaller
/// values are preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RankedSlot(u32);

impl RankedSlot {
    /// The position of the rank.
    const SHIFT: u32 = 18;
    /// The rank of a slot without a node.
    const ABSENT: u32 = (1 << 14) - 1;
    /// The rank of a node in none of the preferred racks.
    const ELSEWHERE: u32 = RankedSlot::ABSENT - 1;

    /// The slot, with the rank of its node's rack in the namespace.
    pub fn new(slot: Slot, namespace: &Namespace, preferred: &[i32]) -> RankedSlot {
        let place = |rack| preferred.iter().position(|&wanted| wanted == rack);
        match namespace.rack(slot).and_then(place) {
            Some(before) => RankedSlot::preferred(slot, before),
            None => RankedSlot::elsewhere(slot),
        }
    }

    /// The slot, with the number of racks preferred over its node's. (Only
    /// racks with nodes are counted, and there are at most 4096 nodes.)
    fn preferred(slot: Slot, before: usize) -> RankedSlot {
        let rank = (before as u32).min(RankedSlot::ELSEWHERE - 1);
        RankedSlot(rank << RankedSlot::SHIFT | slot.index() as u32)
    }

    /// The slot of a node in none of the preferred racks.
    fn elsewhere(slot: Slot) -> RankedSlot {
        RankedSlot(RankedSlot::ELSEWHERE << RankedSlot::SHIFT | slot.index() as u32)
    }

    /// The slot, without a node.
    pub fn absent(slot: Slot) -> RankedSlot {
        RankedSlot(RankedSlot::ABSENT << RankedSlot::SHIFT | slot.index() as u32)
    }

    /// The index of the node's rack among the preferred ones; `None` if it is
    /// in none of them.
    pub fn rank(self) -> Option<usize> {
        let rank = self.0 >> RankedSlot::SHIFT;
        (rank < RankedSlot::ELSEWHERE).then_some(rank as usize)
    }

    /// The bits with a replica (0 to 3) between rank and slot: among equal
    /// ranks the first replica is the smallest.
    #[inline(always)]
    pub fn of_replica(self, replica: usize) -> u32 {
        self.0 | (replica as u32) << 16
    }
}

/// The preferred racks that have nodes, in their order, without duplicates.
pub(super) fn with_nodes(preferred: &[i32], namespaces: &[Namespace], slots: usize) -> Vec<i32> {
    let mut racks = Vec::new();
    let used = |rack| {
        let of = |namespace: &Namespace, slot| namespace.rack(slot) == Some(rack);
        let mut slots = (0..slots).map_while(Slot::new);
        slots.any(|slot| namespaces.iter().any(|namespace| of(namespace, slot)))
    };
    for &rack in preferred {
        if !racks.contains(&rack) && used(rack) {
            racks.push(rack);
        }
    }
    racks
}
