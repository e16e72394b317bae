//! Applies a node's claims to the map.

use std::collections::BTreeSet;

use crate::map::{ClusterMap, Namespace, NamespaceName, Slot};
use crate::wire::info::Claim;

/// The result of applying a node's claims.
#[derive(Debug, Default)]
pub(super) struct ClaimOutcome {
    /// Whether the map changed.
    pub(super) changed: bool,
    /// Nodes that lost an entry. They must be asked again, because their claim
    /// may be the later one.
    pub(super) displaced: BTreeSet<Slot>,
    /// Whether a claim was not applied because the holder is protected.
    pub(super) withheld: bool,
    /// New namespaces.
    pub(super) added: Vec<NamespaceName>,
}

/// Applies all claims of a node. A bit that is not set changes nothing: an entry
/// is emptied only when its column is removed (the replication factor shrank) or
/// its node leaves. Entries of `protected` nodes are replaced only by a claim of
/// a later regime.
pub(super) fn apply(
    map: &mut ClusterMap,
    slot: Slot,
    claims: &[&Claim],
    protected: &BTreeSet<Slot>,
) -> ClaimOutcome {
    let mut applied = ClaimOutcome::default();
    for claim in claims {
        let is_new = map.namespace(&claim.namespace).is_none();
        // Only claims of admitted namespaces reach this point.
        let Ok(namespace) = map.namespace_entry(claim.namespace) else { continue };
        if is_new {
            applied.changed = true;
            applied.added.push(claim.namespace);
        }
        apply_claim(namespace, slot, claim, protected, &mut applied);
    }
    applied
}

fn apply_claim(
    namespace: &mut Namespace,
    slot: Slot,
    claim: &Claim,
    protected: &BTreeSet<Slot>,
    applied: &mut ClaimOutcome,
) {
    let strong_consistency = claim.regime != 0;
    if namespace.strong_consistency != strong_consistency {
        namespace.strong_consistency = strong_consistency;
        applied.changed = true;
    }
    if namespace.replication_factor != claim.replication_factor {
        let kept = usize::from(claim.replication_factor);
        for replica in kept..namespace.partitions.max_replicas() {
            let owners = (0..namespace.partitions.len())
                .filter_map(|partition| namespace.partitions.holder(partition, replica));
            applied.displaced.extend(owners);
        }
        namespace.replication_factor = claim.replication_factor;
        namespace.partitions.truncate_replicas(kept);
        applied.changed = true;
    }
    let partitions = &mut namespace.partitions;
    for (replica, column) in claim.columns.iter().enumerate().take(partitions.max_replicas()) {
        for partition in column.partitions() {
            let regime = partitions.regime(partition);
            if claim.regime < regime {
                continue;
            }
            let before = partitions.holder(partition, replica);
            if claim.regime == regime && before.is_some_and(|owner| protected.contains(&owner)) {
                applied.withheld = true;
                continue;
            }
            applied.changed |= partitions.set_regime(partition, claim.regime);
            if before != Some(slot) {
                partitions.set_holder(partition, replica, Some(slot));
                applied.displaced.extend(before);
                applied.changed = true;
            }
        }
    }
    applied.displaced.remove(&slot);
}

/// The highest regime of the namespace's partitions.
pub(super) fn highest_regime(namespace: &Namespace) -> u32 {
    (0..namespace.partitions.len())
        .map(|partition| namespace.partitions.regime(partition))
        .max()
        .unwrap_or(0)
}

/// Accepts any regimes that are claimed next.
pub(super) fn reset_regimes(namespace: &mut Namespace) {
    for partition in 0..namespace.partitions.len() {
        namespace.partitions.set_regime(partition, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::apply as apply_protected;
    use super::*;
    use crate::map::Capacity;
    use crate::wire::info::Bitmap;

    const CAPACITY: Capacity =
        Capacity { max_nodes: 4, max_namespaces: 1, max_replicas: 2, partitions: 8 };

    /// Applies claims without protected nodes.
    fn apply(map: &mut ClusterMap, slot: Slot, claims: &[Claim]) -> ClaimOutcome {
        apply_but(map, slot, claims, &BTreeSet::new())
    }

    fn apply_but(
        map: &mut ClusterMap,
        slot: Slot,
        claims: &[Claim],
        protected: &BTreeSet<Slot>,
    ) -> ClaimOutcome {
        apply_protected(map, slot, &claims.iter().collect::<Vec<_>>(), protected)
    }

    fn name(name: &str) -> NamespaceName {
        NamespaceName::new(name).unwrap()
    }

    fn claim(regime: u32, columns: &[u8]) -> Claim {
        Claim {
            namespace: name("test"),
            regime,
            replication_factor: columns.len() as u8,
            columns: columns.iter().map(|&byte| Bitmap::new(vec![byte])).collect(),
        }
    }

    fn slots() -> (Slot, Slot) {
        (Slot::new(0).unwrap(), Slot::new(1).unwrap())
    }

    fn owners(map: &ClusterMap, replica: usize) -> Vec<Option<usize>> {
        let partitions = &map.namespaces()[0].partitions;
        (0..8).map(|p| partitions.holder(p, replica).map(Slot::index)).collect()
    }

    #[test]
    fn a_cleared_bit_empties_nothing_and_a_claim_displaces() {
        let (a, b) = slots();
        let mut map = ClusterMap::new(CAPACITY);
        let applied = apply(&mut map, a, &[claim(0, &[0xf0, 0x0f])]);
        assert!(applied.changed && applied.displaced.is_empty());
        assert_eq!(applied.added, [name("test")]);
        assert!(!apply(&mut map, a, &[claim(0, &[0x00, 0x00])]).changed);
        let applied = apply(&mut map, b, &[claim(0, &[0x80, 0x00])]);
        assert_eq!(applied.displaced.into_iter().collect::<Vec<_>>(), [a]);
        let (x, y) = (Some(0), Some(1));
        assert_eq!(owners(&map, 0), [y, x, x, x, None, None, None, None]);
        assert_eq!(owners(&map, 1), [None, None, None, None, x, x, x, x]);
        assert!(!apply(&mut map, b, &[claim(0, &[0x80, 0x00])]).changed);
    }

    #[test]
    fn h20_replication_factor_and_consistency_follow_the_latest_reply() {
        let (a, b) = slots();
        let mut map = ClusterMap::new(CAPACITY);
        apply(&mut map, a, &[claim(0, &[0xff, 0x0f])]);
        apply(&mut map, b, &[claim(0, &[0x00, 0xf0])]);
        let applied = apply(&mut map, b, &[claim(3, &[0x00])]);
        assert!(applied.changed);
        assert_eq!(applied.displaced.into_iter().collect::<Vec<_>>(), [a], "lost its column");
        let namespace = &map.namespaces()[0];
        assert_eq!((namespace.replication_factor, namespace.strong_consistency), (1, true));
        assert_eq!(owners(&map, 1), [None; 8]);
        let wide = claim(3, &[0x00, 0xff, 0xff]);
        apply(&mut map, b, &[wide]);
        assert_eq!(
            map.namespaces()[0].replication_factor,
            3,
            "less room does not change the replication factor"
        );
        assert_eq!(owners(&map, 1), [Some(1); 8]);
    }

    #[test]
    fn entries_of_protected_nodes_stay_unless_the_regime_is_later() {
        let (a, b) = slots();
        let mut map = ClusterMap::new(CAPACITY);
        apply(&mut map, a, &[claim(3, &[0xf0])]);
        let protected = BTreeSet::from([a]);
        let applied = apply_but(&mut map, b, &[claim(3, &[0xff])], &protected);
        assert!(applied.withheld && applied.displaced.is_empty());
        let (x, y) = (Some(0), Some(1));
        assert_eq!(owners(&map, 0), [x, x, x, x, y, y, y, y]);
        let applied = apply_but(&mut map, b, &[claim(4, &[0xff])], &protected);
        assert!(!applied.withheld);
        assert_eq!(owners(&map, 0), [y; 8]);
    }

    #[test]
    fn a_lower_regime_claims_nothing() {
        let (a, b) = slots();
        let mut map = ClusterMap::new(CAPACITY);
        apply(&mut map, a, &[claim(5, &[0xff])]);
        assert!(!apply(&mut map, b, &[claim(4, &[0xff])]).changed);
        assert_eq!(owners(&map, 0), [Some(0); 8]);
        apply(&mut map, b, &[claim(5, &[0x80])]);
        apply(&mut map, b, &[claim(6, &[0x01])]);
        assert_eq!(map.namespaces()[0].partitions.regime(7), 6);
        assert_eq!(owners(&map, 0)[0], Some(1));
        assert_eq!(highest_regime(&map.namespaces()[0]), 6);
        reset_regimes(&mut map.namespaces_mut()[0]);
        assert_eq!(highest_regime(&map.namespaces()[0]), 0);
    }
}
