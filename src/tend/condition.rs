//! Irregularities that a successful pass found.

use crate::map::Matter;

/// A kind of irregularity that a source reports in every pass in which it
/// lasts. The owner counts for how many consecutive passes it has lasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Condition {
    /// Nodes that peers list, but that could not be added to the map.
    MissingPeers,
    /// Entries of replies (peers, services, racks, replicas, namespaces,
    /// builds) that
    /// were skipped because they could not be used.
    BadEntries,
    /// Nodes whose `replicas` or `peers` could not be read.
    UnreadNodes,
    /// Partitions that nodes claim in contradiction to each other.
    ContradictingClaims,
    /// Nodes that advertise no alternate address although those are wanted.
    NoAlternateAddress,
    /// Nodes that report the name of another cluster.
    OtherCluster,
    /// Servers that were not asked because this process lacks a local resource:
    /// descriptors, memory, ports.
    Shortage,
}

impl From<Condition> for Matter {
    fn from(condition: Condition) -> Matter {
        match condition {
            Condition::MissingPeers => Matter::MissingPeers,
            Condition::BadEntries => Matter::BadEntries,
            Condition::UnreadNodes => Matter::UnreadNodes,
            Condition::ContradictingClaims => Matter::ContradictingClaims,
            Condition::NoAlternateAddress => Matter::NoAlternateAddress,
            Condition::OtherCluster => Matter::OtherCluster,
            Condition::Shortage => Matter::Shortage,
        }
    }
}

impl Condition {
    /// Number of kinds.
    pub const COUNT: usize = 7;

    /// Every kind, in the order of declaration.
    pub const ALL: [Condition; Condition::COUNT] = [
        Condition::MissingPeers,
        Condition::BadEntries,
        Condition::UnreadNodes,
        Condition::ContradictingClaims,
        Condition::NoAlternateAddress,
        Condition::OtherCluster,
        Condition::Shortage,
    ];
}

/// For each [`Condition`], the number of nodes, entries or partitions to which it
/// applied in one pass; 0 = it did not occur.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions([u32; Condition::COUNT]);

impl Conditions {
    /// The number of occurrences of `condition`.
    #[must_use]
    pub fn count(&self, condition: Condition) -> u32 {
        self.0[condition as usize]
    }

    /// Adds `by` occurrences of `condition`.
    pub fn add(&mut self, condition: Condition, by: usize) {
        let count = &mut self.0[condition as usize];
        *count = count.saturating_add(u32::try_from(by).unwrap_or(u32::MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_count_each_kind_by_itself() {
        let mut found = Conditions::default();
        for (by, condition) in Condition::ALL.into_iter().enumerate() {
            found.add(condition, by);
            found.add(condition, by);
        }
        for (by, condition) in Condition::ALL.into_iter().enumerate() {
            assert_eq!(found.count(condition), 2 * by as u32, "{condition:?}");
        }
    }
}
