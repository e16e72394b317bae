//! The settings that tell one cluster from another: its name and its hosts.

use super::Config;
use crate::client::error::ConnectError;
use crate::map::{ClusterName, SnapshotError, Tables, tables};
use crate::segment::Segment;

impl Config {
    /// The hosts in one text, independent of their order.
    pub(in crate::client) fn sorted_hosts(&self) -> String {
        let mut hosts: Vec<String> = self.hosts.iter().map(ToString::to_string).collect();
        hosts.sort();
        hosts.dedup();
        hosts.join(",")
    }

    /// A 32-bit hash of the hosts, independent of their order; the owner
    /// publishes it in its flags. 0 = not known.
    pub(in crate::client) fn hosts_hash(&self) -> u32 {
        // FNV-1a.
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let hash = self.sorted_hosts().bytes().fold(0xcbf2_9ce4_8422_2325, step);
        ((hash >> 32) as u32 ^ hash as u32).max(1)
    }

    /// Refuses a segment whose cluster is not the one configured by name.
    pub(in crate::client) fn check_cluster(&self, segment: &Segment) -> Result<(), ConnectError> {
        check_cluster(self.shm_key, self.wanted_cluster()?, segment)
    }
}

/// As [`Config::check_cluster`]; `None` wants no particular one.
pub(in crate::client) fn check_cluster(
    key: u32,
    wanted: Option<ClusterName>,
    segment: &Segment,
) -> Result<(), ConnectError> {
    let Some(wanted) = wanted else { return Ok(()) };
    let Some(tables) = published(segment)? else { return Ok(()) };
    match tables.cluster_name {
        Some(found) if found == wanted => Ok(()),
        // A source that has published no name yet does not know any.
        None if tables.nodes.is_empty() => Ok(()),
        found => {
            let (found, wanted) = (shown(found), wanted.to_string());
            Err(ConnectError::OtherCluster { key, found, wanted })
        }
    }
}

/// The tables of the last publication; `None` if there is none.
pub(in crate::client) fn published(segment: &Segment) -> Result<Option<Tables>, ConnectError> {
    match tables(segment.mapping()) {
        Ok(tables) => Ok(Some(tables)),
        Err(SnapshotError::Empty) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// A cluster name, as errors show it.
pub(in crate::client) fn shown(name: Option<ClusterName>) -> String {
    name.map_or("null".into(), |name| name.to_string())
}
