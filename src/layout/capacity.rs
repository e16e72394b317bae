//! The capacity of a segment.

/// The number of nodes, namespaces, replicas and partitions for which a map,
/// and so a segment, has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "a plain value that sources build")]
pub struct Capacity {
    /// Nodes, 1 to 4096.
    pub max_nodes: usize,
    /// Namespaces, 1 to 4096.
    pub max_namespaces: usize,
    /// Replicas of a partition that are routable, 1 to 255.
    pub max_replicas: usize,
    /// Partitions per namespace: a power of two up to 65,536 (4096 in Aerospike).
    pub partitions: usize,
}

/// A capacity is out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} is {found}; wanted {wanted}")]
#[non_exhaustive]
pub struct CapacityError {
    /// The name of the setting.
    pub name: &'static str,
    /// The invalid value.
    pub found: usize,
    /// A description of the valid values.
    pub wanted: &'static str,
}

impl Capacity {
    /// The default capacity: 16 nodes, 8 namespaces, 3 replicas, 4096 partitions.
    pub const DEFAULT: Capacity =
        Capacity { max_nodes: 16, max_namespaces: 8, max_replicas: 3, partitions: 4096 };

    /// The largest number of replicas for which a segment can have room.
    pub const MOST_REPLICAS: usize = 255;

    /// Checks that every capacity is in range.
    ///
    /// # Errors
    /// [`CapacityError`] names the first setting that is out of range.
    pub fn check(&self) -> Result<(), CapacityError> {
        let fail = |name, found, wanted| Err(CapacityError { name, found, wanted });
        if !(1..=4096).contains(&self.max_nodes) {
            return fail("shm_max_nodes", self.max_nodes, "1 to 4096");
        }
        if !(1..=4096).contains(&self.max_namespaces) {
            return fail("shm_max_namespaces", self.max_namespaces, "1 to 4096");
        }
        if !(1..=Self::MOST_REPLICAS).contains(&self.max_replicas) {
            return fail("shm_max_replicas", self.max_replicas, "1 to 255");
        }
        if !self.partitions.is_power_of_two() || self.partitions > 65_536 {
            return fail("partitions", self.partitions, "a power of two up to 65,536");
        }
        Ok(())
    }
}

impl Default for Capacity {
    fn default() -> Capacity {
        Capacity::DEFAULT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_is_where_the_error_says() {
        type Set = fn(&mut Capacity, usize);
        let limits: [(&str, Set, &[usize], &[usize]); 4] = [
            ("shm_max_nodes", |room, to| room.max_nodes = to, &[1, 4096], &[0, 4097]),
            ("shm_max_namespaces", |room, to| room.max_namespaces = to, &[1, 4096], &[0, 4097]),
            ("shm_max_replicas", |room, to| room.max_replicas = to, &[1, 255], &[0, 256]),
            (
                "partitions",
                |room, to| room.partitions = to,
                &[1, 2, 4096, 65_536],
                &[0, 3, 4095, 65_535, 65_537, 131_072, usize::MAX],
            ),
        ];
        for (name, set, good, bad) in limits {
            let checked = |to| {
                let mut room = Capacity::DEFAULT;
                set(&mut room, to);
                room.check()
            };
            for &to in good {
                assert_eq!(checked(to), Ok(()), "{name} of {to}");
            }
            for &to in bad {
                let error = checked(to).expect_err(name);
                assert_eq!((error.name, error.found), (name, to));
            }
        }
    }
}
