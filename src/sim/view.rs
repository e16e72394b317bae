//! A node's view of the cluster: the members, and the holders of each partition.

/// A member of the cluster, as the others list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    pub number: u16,
    /// The number of the node's process. A restarted node is a new member.
    pub incarnation: u32,
    /// The port under which the others list it.
    pub port: u16,
}

/// A namespace as the members report it.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub name: String,
    /// 0 without strong consistency.
    pub regime: u32,
    /// The effective replication factor.
    pub replicas: usize,
    /// For each partition and replica, the number of the node that claims it.
    pub claims: Vec<u16>,
}

impl Table {
    /// The replica list of a partition. During migrations one node may be in it
    /// several times.
    pub fn row(&self, partition: usize) -> &[u16] {
        &self.claims[partition * self.replicas..][..self.replicas]
    }

    /// One column of a node in the servers' encoding: bit `0x80 >> (p & 7)` of
    /// byte `p >> 3` is partition `p`.
    pub fn bitmap(&self, number: u16, replica: usize) -> Vec<u8> {
        let column = self.claims.iter().skip(replica).step_by(self.replicas);
        let mut bytes = vec![0; self.claims.len() / self.replicas / 8];
        for (partition, _) in column.enumerate().filter(|(_, claim)| **claim == number) {
            bytes[partition >> 3] |= 0x80 >> (partition & 7);
        }
        bytes
    }
}

/// Everything that nodes report about the cluster. A node that has not noticed
/// a change yet continues with the previous view.
#[derive(Clone, Debug, Default)]
pub(super) struct ClusterView {
    /// In the order of their numbers.
    pub members: Vec<Member>,
    pub tables: Vec<Table>,
    /// The reply to `cluster-stable:`. It differs after each change of members.
    pub key: u64,
}

impl ClusterView {
    pub fn member(&self, number: u16) -> Option<&Member> {
        self.members.iter().find(|member| member.number == number)
    }

    pub fn has(&self, number: u16, incarnation: u32) -> bool {
        self.member(number).is_some_and(|member| member.incarnation == incarnation)
    }

    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }

    /// The view of a member that believes to be the only one.
    pub fn alone(&self, number: u16) -> ClusterView {
        let mut view = self.clone();
        view.members.retain(|member| member.number == number);
        for table in &mut view.tables {
            let partitions = table.claims.len() / table.replicas.max(1);
            table.replicas = 1;
            table.claims = vec![number; partitions];
        }
        view.key ^= u64::from(number) << 8;
        view
    }
}
