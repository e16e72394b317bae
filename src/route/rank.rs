//! Which node comes first by the preferred racks.

use crate::map::{Namespace, Slot};

/// A slot with its node's place among the preferred racks, for
/// [`Policy::PreferRack`](super::Policy): `rank:14 | 0:2 | slot:16`. The smaller is preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ranked(u32);

impl Ranked {
    /// Where the rank begins.
    const SHIFT: u32 = 18;
    /// The rank of a slot without a node.
    const ABSENT: u32 = (1 << 14) - 1;
    /// The rank of a node in none of the preferred racks.
    const ELSEWHERE: u32 = Ranked::ABSENT - 1;

    /// That slot, whose node is in the rack that the namespace says.
    pub fn new(slot: Slot, namespace: &Namespace, preferred: &[i32]) -> Ranked {
        let place = |rack| preferred.iter().position(|&wanted| wanted == rack);
        match namespace.rack(slot).and_then(place) {
            Some(before) => Ranked::preferred(slot, before),
            None => Ranked::elsewhere(slot),
        }
    }

    /// That slot, whose node is in a rack that `before` others are preferred to.
    /// (Only racks with nodes are counted, and there are 4096 nodes at most.)
    fn preferred(slot: Slot, before: usize) -> Ranked {
        let rank = (before as u32).min(Ranked::ELSEWHERE - 1);
        Ranked(rank << Ranked::SHIFT | slot.index() as u32)
    }

    /// That slot, whose node is in none of the preferred racks.
    fn elsewhere(slot: Slot) -> Ranked {
        Ranked(Ranked::ELSEWHERE << Ranked::SHIFT | slot.index() as u32)
    }

    /// That slot, without a node.
    pub fn absent(slot: Slot) -> Ranked {
        Ranked(Ranked::ABSENT << Ranked::SHIFT | slot.index() as u32)
    }

    /// How many racks are preferred to the node's own; `None` in none of them.
    pub fn rank(self) -> Option<usize> {
        let rank = self.0 >> Ranked::SHIFT;
        (rank < Ranked::ELSEWHERE).then_some(rank as usize)
    }

    /// Its bits with a replica (0 to 3) between rank and slot: of equal ranks the
    /// first replica is the smallest.
    #[inline(always)]
    pub fn of_replica(self, replica: usize) -> u32 {
        self.0 | (replica as u32) << 16
    }
}

/// The preferred racks that any node is in, in their order, each once.
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
