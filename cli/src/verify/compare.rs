//! Compares a map with what the nodes of the cluster claim.

use std::collections::BTreeSet;

use tendmap::internals::tend::{ClusterClaims, NodeClaims};
use tendmap::internals::wire::info::Claim;
use tendmap::map::{ClusterMap, Namespace, NamespaceName, NodeId};

/// One difference, or a partition that no node holds. Two comparisons find the same difference
/// only if neither the map nor the claims for it have changed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// The cluster has another name than the map.
    ClusterName,
    /// A node of the cluster did not answer.
    NoAnswer(NodeId),
    /// The map has a node that the cluster does not have.
    NotInCluster(NodeId),
    /// The cluster has a node that the map does not have.
    NotInMap(NodeId),
    /// Nodes have a namespace that the map does not have.
    NamespaceNotInMap(NamespaceName),
    /// The map has a namespace that no node has.
    NamespaceNotClaimed(NamespaceName),
    /// The nodes report other replication factors than the map.
    ReplicationFactor { namespace: NamespaceName, map: u8, claimed: Vec<u8> },
    /// The map has no master, and no node claims to be it.
    Hole { namespace: NamespaceName, partition: usize },
    /// The map has another holder than the nodes claim: 0 is the master.
    Holder {
        namespace: NamespaceName,
        replica: usize,
        map: Option<NodeId>,
        claimed: Vec<NodeId>,
        partition: usize,
    },
}

/// How much of a namespace was compared.
#[derive(Clone, Debug)]
pub struct Extent {
    pub namespace: NamespaceName,
    /// The replicas of partitions that were compared.
    pub compared: usize,
    /// Those of them that no node claims, and whose holder did not answer.
    pub unverified: usize,
}

/// The result of a comparison.
#[derive(Clone, Debug, Default)]
pub struct Comparison {
    pub findings: BTreeSet<Finding>,
    pub extents: Vec<Extent>,
}

/// Compares everything.
pub fn compare<'f>(map: &ClusterMap, found: &'f ClusterClaims) -> Comparison {
    let mut result = Comparison::default();
    let findings = &mut result.findings;
    if map.cluster_name != found.cluster_name {
        findings.insert(Finding::ClusterName);
    }
    let members = || found.nodes.iter().filter(|node| node.in_cluster);
    for node in &found.nodes {
        let in_map = map.nodes.slot_of(&node.id).is_some();
        if !node.in_cluster {
            findings.extend(in_map.then_some(Finding::NotInCluster(node.id)));
            continue;
        }
        findings.extend(node.claims.is_err().then_some(Finding::NoAnswer(node.id)));
        findings.extend((!in_map).then_some(Finding::NotInMap(node.id)));
    }
    let claims = |name: &NamespaceName| -> Vec<(NodeId, &'f Claim)> {
        let of = |node: &'f NodeClaims| {
            let claims = node.claims.as_ref().ok()?;
            Some((node.id, claims.iter().find(|claim| claim.namespace == *name)?))
        };
        members().filter_map(of).collect()
    };
    let claimed = members().flat_map(|node| node.claims.iter().flatten());
    let claimed: BTreeSet<NamespaceName> = claimed.map(|claim| claim.namespace).collect();
    let unknown = claimed.iter().filter(|name| map.namespace(name).is_none());
    findings.extend(unknown.map(|&name| Finding::NamespaceNotInMap(name)));
    let answered = |id: &NodeId| members().any(|node| node.id == *id && node.claims.is_ok());
    let silent: BTreeSet<NodeId> = {
        let ids = map.nodes.iter().map(|(_, node)| node.id);
        ids.filter(|id| !answered(id)).collect()
    };
    for namespace in map.namespaces() {
        let claims = claims(&namespace.name);
        if claims.is_empty() {
            findings.insert(Finding::NamespaceNotClaimed(namespace.name));
            continue;
        }
        let factors: BTreeSet<u8> =
            claims.iter().map(|(_, claim)| claim.replication_factor).collect();
        if factors.iter().any(|&factor| factor != namespace.replication_factor) {
            findings.insert(Finding::ReplicationFactor {
                namespace: namespace.name,
                map: namespace.replication_factor,
                claimed: factors.into_iter().collect(),
            });
        }
        result.extents.push(holders(map, namespace, &claims, &silent, findings));
    }
    result
}

/// Compares the holders of a namespace's partitions.
fn holders(
    map: &ClusterMap,
    namespace: &Namespace,
    claims: &[(NodeId, &Claim)],
    silent: &BTreeSet<NodeId>,
    findings: &mut BTreeSet<Finding>,
) -> Extent {
    let (name, partitions) = (namespace.name, namespace.partitions.len());
    // A claim of an earlier regime than another's counts only where there is no other.
    let mut regimes = vec![0; partitions];
    let each = |visit: &mut dyn FnMut(NodeId, u32, usize, usize)| {
        for (id, claim) in claims {
            for (replica, column) in claim.columns.iter().enumerate() {
                for partition in column.partitions().filter(|&partition| partition < partitions) {
                    visit(*id, claim.regime, replica, partition);
                }
            }
        }
    };
    each(&mut |_, regime, _, partition| {
        regimes[partition] = regimes[partition].max(regime);
    });
    let replicas = claims.iter().map(|(_, claim)| claim.columns.len()).max().unwrap_or(0);
    let replicas = replicas.max(namespace.routable_replicas());
    let replicas = replicas.min(namespace.partitions.max_replicas());
    let (mut latest, mut earlier) = (vec![Vec::new(); replicas * partitions], BTreeSet::new());
    each(&mut |id, regime, replica, partition| {
        if replica >= replicas {
            return;
        }
        match regime == regimes[partition] {
            true => latest[replica * partitions + partition].push(id),
            false => _ = earlier.insert((replica, partition, id)),
        }
    });
    for (replica, partition, id) in earlier {
        let holder = namespace.partitions.holder(partition, replica);
        let holder = holder.and_then(|slot| map.nodes.get(slot)).map(|node| node.id);
        let latest = &mut latest[replica * partitions + partition];
        if latest.is_empty() && holder == Some(id) {
            latest.push(id);
        }
    }
    let mut unverified = 0;
    for replica in 0..replicas {
        for partition in 0..partitions {
            let holder = namespace.partitions.holder(partition, replica);
            let holder = holder.and_then(|slot| map.nodes.get(slot)).map(|node| node.id);
            let claimed = &latest[replica * partitions + partition];
            match (holder, &claimed[..]) {
                (Some(holder), [claimant]) if holder == *claimant => {}
                (Some(holder), []) if silent.contains(&holder) => unverified += 1,
                (None, []) if replica == 0 => {
                    findings.insert(Finding::Hole { namespace: name, partition });
                }
                (None, []) => {}
                (map, claimed) => {
                    let mut claimed = claimed.to_vec();
                    claimed.sort_unstable();
                    let namespace = name;
                    findings.insert(Finding::Holder {
                        namespace,
                        replica,
                        map,
                        claimed,
                        partition,
                    });
                }
            }
        }
    }
    Extent { namespace: name, compared: replicas * partitions, unverified }
}

#[cfg(test)]
mod tests {
    use tendmap::internals::wire::info::Bitmap;
    use tendmap::map::{Capacity, Node};

    use super::*;

    fn id(name: &str) -> NodeId {
        NodeId::new(name).unwrap()
    }

    fn name() -> NamespaceName {
        NamespaceName::new("test").unwrap()
    }

    /// A map of eight partitions whose masters are A or none.
    fn map(masters: u8) -> ClusterMap {
        let capacity = Capacity { partitions: 8, max_replicas: 2, ..Capacity::DEFAULT };
        let mut map = ClusterMap::new(capacity);
        let a = map.nodes.insert(Node::new(id("A"), "127.0.0.1:1".parse().unwrap())).unwrap();
        map.nodes.insert(Node::new(id("B"), "127.0.0.1:2".parse().unwrap())).unwrap();
        let namespace = map.namespace_entry(name()).unwrap();
        namespace.replication_factor = 1;
        for partition in (0..8).filter(|partition| masters & (0x80 >> partition) != 0) {
            namespace.partitions.set_holder(partition, 0, Some(a));
        }
        map
    }

    /// A node that claims these masters in a regime.
    fn node(name_of: &str, regime: u32, masters: u8) -> NodeClaims {
        let columns = vec![Bitmap::new(vec![masters])];
        let claim = Claim { namespace: name(), regime, replication_factor: 1, columns };
        NodeClaims { id: id(name_of), address: None, in_cluster: true, claims: Ok(vec![claim]) }
    }

    fn found(masters: u8, nodes: Vec<NodeClaims>) -> Comparison {
        compare(&map(masters), &ClusterClaims { cluster_name: None, nodes })
    }

    fn holder(map: Option<&str>, claimed: &[&str], partition: usize) -> Finding {
        let claimed = claimed.iter().map(|name| id(name)).collect();
        Finding::Holder { namespace: name(), replica: 0, map: map.map(id), claimed, partition }
    }

    #[test]
    fn each_kind_of_difference_is_found() {
        let agreed = found(0xff, vec![node("A", 0, 0xff), node("B", 0, 0)]);
        assert!(agreed.findings.is_empty(), "{agreed:?}");
        assert_eq!((agreed.extents[0].compared, agreed.extents[0].unverified), (8, 0));
        // Partition 0 moved, 1 is claimed twice, 2 by no node, 3 is new, 4 is a hole.
        let differing =
            found(0b1110_0111, vec![node("A", 0, 0b0100_0111), node("B", 0, 0b1101_0000)]);
        let hole = Finding::Hole { namespace: name(), partition: 4 };
        let wanted = [
            hole,
            holder(None, &["B"], 3),
            holder(Some("A"), &[], 2),
            holder(Some("A"), &["A", "B"], 1),
            holder(Some("A"), &["B"], 0),
        ];
        assert_eq!(differing.findings, wanted.into());
    }

    #[test]
    fn a_claim_of_an_earlier_regime_is_outdated() {
        let later = found(0xff, vec![node("A", 5, 0xff), node("B", 4, 0xf0)]);
        assert!(later.findings.is_empty(), "{later:?}");
        let earlier = found(0x80, vec![node("A", 4, 0x80), node("B", 5, 0xff)]);
        assert!(earlier.findings.contains(&holder(Some("A"), &["B"], 0)), "{earlier:?}");
    }

    #[test]
    fn what_a_silent_node_holds_is_unverified_unless_another_claims_it() {
        let mut silent = node("A", 0, 0);
        silent.claims = Err("silent".into());
        let result = found(0xff, vec![silent, node("B", 0, 0x01)]);
        assert_eq!(result.extents[0].unverified, 7);
        let wanted = [Finding::NoAnswer(id("A")), holder(Some("A"), &["B"], 7)];
        assert_eq!(result.findings, wanted.into());
        // Claims of nodes outside of the cluster do not count.
        let mut expelled = node("B", 0, 0xff);
        expelled.in_cluster = false;
        let result = found(0xff, vec![node("A", 0, 0xff), expelled]);
        assert_eq!(result.findings, [Finding::NotInCluster(id("B"))].into());
    }
}
