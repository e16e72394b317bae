//! Which node should hold each replica, which node holds it now, and the
//! migrations between the two.
//!
//! Targets are chosen by rendezvous hashing, so a node that joins or leaves
//! moves only the partitions that it gains or loses. Until a target has its
//! data, the acting master (the highest ranked node that has them) claims the
//! target's replica in addition to its own. Real servers do the same: with
//! targets `c b a` and `c` just back, the replica list is `b b a`.

use super::config::SimNamespace;
use super::view::{Member, Table};

/// A replica that must still migrate to the node that should hold it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    pub namespace: usize,
    pub partition: usize,
    pub target: u16,
}

/// A namespace's data.
#[derive(Debug, Default)]
struct Data {
    name: String,
    replicas: usize,
    /// By partition, the nodes that have all its records.
    holders: Vec<Vec<u16>>,
}

/// The nodes that should hold the partitions, and those that do.
#[derive(Debug)]
pub(super) struct Balance {
    seed: u64,
    partitions: usize,
    /// The number of nodes that are ranked for each partition.
    depth: usize,
    /// By partition, the members of the highest weights.
    ranking: Vec<u16>,
    data: Vec<Data>,
}

impl Balance {
    pub fn new(seed: u64, partitions: usize) -> Balance {
        Balance { seed, partitions, depth: 0, ranking: Vec::new(), data: Vec::new() }
    }

    /// Spreads the namespaces over the members. The data of nodes that are not
    /// members, and of `fresh` (which has just started), is lost.
    ///
    /// Returns the tables before any migration, with regime 0, and the migrations.
    pub fn spread(
        &mut self,
        namespaces: &[SimNamespace],
        members: &[Member],
        fresh: Option<u16>,
    ) -> (Vec<Table>, Vec<Move>) {
        let effective = |wanted: usize| wanted.min(members.len());
        self.depth =
            namespaces.iter().map(|ns| effective(ns.replication_factor)).max().unwrap_or(0);
        self.rank(members);
        let mut known = core::mem::take(&mut self.data);
        let mut moves = Vec::new();
        let mut tables = Vec::new();
        for (index, namespace) in namespaces.iter().enumerate() {
            let old = known.iter_mut().find(|data| data.name == namespace.name);
            let mut data = old.map(core::mem::take).unwrap_or_default();
            data.name.clone_from(&namespace.name);
            data.replicas = effective(namespace.replication_factor);
            data.holders.resize(self.partitions, Vec::new());
            for (partition, holders) in data.holders.iter_mut().enumerate() {
                let stays = |number: &u16| members.iter().any(|member| member.number == *number);
                holders.retain(|number| Some(*number) != fresh && stays(number));
                let targets = &self.ranking[partition * self.depth..][..data.replicas];
                if holders.is_empty() {
                    holders.extend_from_slice(targets);
                }
                let missing = targets.iter().filter(|target| !holders.contains(target));
                let before = moves.len();
                moves.extend(missing.map(|&target| Move { namespace: index, partition, target }));
                if moves.len() == before {
                    holders.retain(|number| targets.contains(number));
                }
            }
            self.data.push(data);
            let claims = (0..self.partitions).flat_map(|p| self.row(index, p)).collect();
            let replicas = self.data[index].replicas;
            tables.push(Table { name: namespace.name.clone(), regime: 0, replicas, claims });
        }
        (tables, moves)
    }

    /// Ends a migration: the target has its data.
    pub fn arrive(&mut self, done: Move) {
        let Some(data) = self.data.get_mut(done.namespace) else { return };
        let targets = &self.ranking[done.partition * self.depth..][..data.replicas];
        let holders = &mut data.holders[done.partition];
        if !holders.contains(&done.target) {
            holders.push(done.target);
        }
        if targets.iter().all(|target| holders.contains(target)) {
            holders.retain(|number| targets.contains(number));
        }
    }

    /// The current replica list of a partition.
    pub fn row(&self, namespace: usize, partition: usize) -> Vec<u16> {
        let data = &self.data[namespace];
        let targets = &self.ranking[partition * self.depth..][..data.replicas];
        let holders = &data.holders[partition];
        let weight = |number: &u16| self.weight(partition, *number);
        let Some(&acting) = holders.iter().max_by_key(|number| weight(number)) else {
            return Vec::new();
        };
        let claim = |target: &u16| if holders.contains(target) { *target } else { acting };
        targets.iter().map(claim).collect()
    }

    fn rank(&mut self, members: &[Member]) {
        let mut ranking = Vec::with_capacity(self.partitions * self.depth);
        let mut best: Vec<(u64, u16)> = Vec::new();
        for partition in 0..self.partitions {
            best.clear();
            for member in members {
                let entry = (self.weight(partition, member.number), member.number);
                let place = best.partition_point(|known| *known > entry);
                if place < self.depth {
                    best.truncate(self.depth - 1);
                    best.insert(place, entry);
                }
            }
            ranking.extend(best.iter().map(|(_, number)| *number));
        }
        self.ranking = ranking;
    }

    /// The weight of a node for a partition: a hash of both.
    fn weight(&self, partition: usize, number: u16) -> u64 {
        let mut x = self.seed ^ ((partition as u64) << 32) ^ u64::from(number);
        for _ in 0..2 {
            x = (x ^ (x >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
        }
        x ^ (x >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(numbers: &[u16]) -> Vec<Member> {
        numbers.iter().map(|&number| Member { number, incarnation: 1, port: number }).collect()
    }

    fn finish(balance: &mut Balance, moves: &[Move]) {
        moves.iter().for_each(|&done| balance.arrive(done));
    }

    #[test]
    fn a_member_that_leaves_moves_only_its_own_partitions() {
        let namespaces = [SimNamespace::new("test", 2)];
        let mut balance = Balance::new(7, 4096);
        let (before, moves) = balance.spread(&namespaces, &members(&[1, 2, 3, 4]), None);
        assert!(moves.is_empty(), "an empty cluster has nothing to migrate");
        let (_, moves) = balance.spread(&namespaces, &members(&[1, 2, 4]), None);
        finish(&mut balance, &moves);
        for partition in 0..4096 {
            let (old, new) = (before[0].row(partition), balance.row(0, partition));
            let stayed: Vec<u16> = old.iter().copied().filter(|&number| number != 3).collect();
            assert_eq!(stayed, new[..stayed.len()], "partition {partition}");
        }
    }

    #[test]
    fn while_a_target_has_no_data_the_acting_master_claims_its_replica_too() {
        let namespaces = [SimNamespace::new("bar", 3)];
        let mut balance = Balance::new(7, 4096);
        let (whole, _) = balance.spread(&namespaces, &members(&[1, 2, 3]), None);
        balance.spread(&namespaces, &members(&[1, 2]), None);
        let (during, moves) = balance.spread(&namespaces, &members(&[1, 2, 3]), Some(3));
        assert_eq!(moves.len(), 4096, "all of its data was lost");
        for partition in 0..4096 {
            let targets = whole[0].row(partition);
            let acting = targets.iter().copied().find(|&number| number != 3).unwrap();
            let wanted: Vec<u16> =
                targets.iter().map(|&number| if number == 3 { acting } else { number }).collect();
            assert_eq!(during[0].row(partition), wanted);
        }
        finish(&mut balance, &moves);
        assert!((0..4096).all(|p| balance.row(0, p) == whole[0].row(p)));
    }

    #[test]
    fn partitions_are_spread_evenly() {
        let namespaces = [SimNamespace::new("test", 2)];
        let (tables, _) =
            Balance::new(1, 4096).spread(&namespaces, &members(&(1..=8).collect::<Vec<_>>()), None);
        for number in 1..=8 {
            let masters = (0..4096).filter(|&p| tables[0].row(p)[0] == number).count();
            assert!((400..=640).contains(&masters), "node {number}: {masters} of 4096");
        }
    }
}
