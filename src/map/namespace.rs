//! Namespaces and their partition tables.

use super::names::NamespaceName;
use super::node::Slot;

/// One namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// The namespace's name.
    pub name: NamespaceName,
    /// The number of replicas per partition that the servers reported last (the
    /// *effective* replication factor; it drops while nodes are missing).
    pub replication_factor: u8,
    /// Whether it is a strong-consistency namespace (its regimes are not 0).
    pub strong_consistency: bool,
    /// The rack of each node in this namespace, by slot; `None` if the node has
    /// not reported one.
    racks: Vec<Option<i32>>,
    /// The holders of each partition.
    pub partitions: Partitions,
}

impl Namespace {
    /// A namespace whose partitions nobody holds yet.
    #[must_use]
    pub fn new(name: NamespaceName, partitions: usize, max_replicas: usize) -> Namespace {
        Namespace {
            name,
            replication_factor: 0,
            strong_consistency: false,
            racks: Vec::new(),
            partitions: Partitions::new(partitions, max_replicas),
        }
    }

    /// The rack of the node in that slot, in this namespace.
    #[must_use]
    pub fn rack(&self, slot: Slot) -> Option<i32> {
        self.racks.get(slot.index()).copied().flatten()
    }

    /// Sets the rack of a node; returns whether that changed anything.
    pub fn set_rack(&mut self, slot: Slot, rack: Option<i32>) -> bool {
        if self.rack(slot) == rack {
            return false;
        }
        if self.racks.len() <= slot.index() {
            self.racks.resize(slot.index() + 1, None);
        }
        self.racks[slot.index()] = rack;
        true
    }

    /// Replaces the partition table by one without holders.
    pub(crate) fn reset_partitions(&mut self, partitions: usize, max_replicas: usize) {
        self.partitions = Partitions::new(partitions, max_replicas);
    }

    /// How many of its replicas are routable: the replication factor, at most
    /// what the map has room for.
    #[must_use]
    pub fn routable_replicas(&self) -> usize {
        usize::from(self.replication_factor).min(self.partitions.max_replicas())
    }

    /// As many of them as any partition has: what a segment needs room for.
    #[must_use]
    pub fn held_replicas(&self) -> usize {
        self.routable_replicas().min(self.partitions.held_replicas())
    }

    /// How many partitions have no master.
    #[must_use]
    pub fn holes(&self) -> usize {
        (0..self.partitions.len()).filter(|&p| self.partitions.holder(p, 0).is_none()).count()
    }
}

/// The number of replicas for which a table allocates memory initially.
const FIRST_REPLICAS: usize = 3;

/// For each partition the holder of each replica, and the regime of the claim.
#[derive(Clone, Debug)]
pub struct Partitions {
    count: usize,
    max_replicas: usize,
    /// By replica, then by partition, up to the highest replica that was ever
    /// set.
    owners: Vec<u16>,
    regimes: Vec<u32>,
}

impl PartialEq for Partitions {
    /// A replica without holders is equal whether there is memory for it or not.
    fn eq(&self, other: &Partitions) -> bool {
        let (short, long) = match self.owners.len() <= other.owners.len() {
            true => (&self.owners, &other.owners),
            false => (&other.owners, &self.owners),
        };
        (self.count, self.max_replicas) == (other.count, other.max_replicas)
            && self.regimes == other.regimes
            && long.starts_with(short)
            && long[short.len()..].iter().all(|&owner| owner == Slot::NOBODY)
    }
}

impl Eq for Partitions {}

impl Partitions {
    /// `count` partitions with up to `max_replicas` replicas, nobody's.
    #[must_use]
    pub fn new(count: usize, max_replicas: usize) -> Partitions {
        Partitions {
            count,
            max_replicas,
            owners: vec![Slot::NOBODY; count * max_replicas.min(FIRST_REPLICAS)],
            regimes: vec![0; count],
        }
    }

    /// How many partitions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no partitions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many replicas there is room for.
    #[must_use]
    pub fn max_replicas(&self) -> usize {
        self.max_replicas
    }

    /// The holder of a replica (0 = the master); `None` if it has none, or if the replica is
    /// beyond the maximum.
    ///
    /// # Panics
    /// If the partition is out of range.
    #[must_use]
    pub fn holder(&self, partition: usize, replica: usize) -> Option<Slot> {
        assert!(partition < self.count, "partition {partition} of {}", self.count);
        let owner = self.owners.get(replica * self.count + partition)?;
        Slot::new(usize::from(*owner))
    }

    /// The holders of a replica, as bits of slots or [`Slot::NOBODY`], by
    /// partition; `None` if the replica has no memory yet.
    pub(crate) fn holders(&self, replica: usize) -> Option<&[u16]> {
        self.owners.chunks_exact(self.count.max(1)).nth(replica)
    }

    /// The regimes by partition.
    pub(crate) fn regimes(&self) -> &[u32] {
        &self.regimes
    }

    /// Sets the holder of a replica; returns whether that changed anything. A replica beyond the
    /// maximum is ignored.
    ///
    /// # Panics
    /// If the partition is out of range.
    pub fn set_holder(&mut self, partition: usize, replica: usize, slot: Option<Slot>) -> bool {
        assert!(partition < self.count, "partition {partition} of {}", self.count);
        if replica >= self.max_replicas {
            return false;
        }
        let wanted = slot.map_or(Slot::NOBODY, Slot::bits);
        let index = replica * self.count + partition;
        if index >= self.owners.len() {
            if slot.is_none() {
                return false;
            }
            self.owners.resize((replica + 1) * self.count, Slot::NOBODY);
        }
        let owner = &mut self.owners[index];
        core::mem::replace(owner, wanted) != wanted
    }

    /// The regime of a partition; 0 without strong consistency.
    ///
    /// # Panics
    /// If the partition is out of range.
    #[must_use]
    pub fn regime(&self, partition: usize) -> u32 {
        self.regimes[partition]
    }

    /// Sets the regime of a partition; returns whether that changed anything.
    ///
    /// # Panics
    /// If the partition is out of range.
    pub fn set_regime(&mut self, partition: usize, regime: u32) -> bool {
        core::mem::replace(&mut self.regimes[partition], regime) != regime
    }

    /// Removes a node from every replica; returns whether it held any.
    pub fn forget(&mut self, slot: Slot) -> bool {
        let mut any = false;
        for owner in self.owners.iter_mut().filter(|owner| **owner == slot.bits()) {
            *owner = Slot::NOBODY;
            any = true;
        }
        any
    }

    /// Removes the holders of this and all higher replicas (the replication
    /// factor was reduced); returns whether there were any.
    pub fn truncate_replicas(&mut self, replicas: usize) -> bool {
        let mut any = false;
        for owner in self.owners.iter_mut().skip(replicas * self.count) {
            any |= core::mem::replace(owner, Slot::NOBODY) != Slot::NOBODY;
        }
        any
    }

    /// The number of replicas up to the highest that was ever set, at least the
    /// initial number.
    fn held_replicas(&self) -> usize {
        self.owners.len() / self.count.max(1)
    }

    /// Raises the maximum number of replicas; a smaller number changes nothing.
    pub(crate) fn raise_replicas(&mut self, max_replicas: usize) {
        self.max_replicas = self.max_replicas.max(max_replicas);
    }

    /// Whether the node holds any replica of any partition.
    #[must_use]
    pub fn holds(&self, slot: Slot) -> bool {
        self.owners.contains(&slot.bits())
    }
}
