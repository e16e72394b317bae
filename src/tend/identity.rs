//! The result of comparing a published map with a source's own hosts.

use crate::map::{ClusterName, NodeId};

/// What a source's own hosts show about a map that another process has published.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MapIdentity {
    /// The source can't find out.
    Unknown,
    /// The hosts lead to the cluster of the map.
    Same,
    /// The hosts lead to a cluster of which either the name or a node is that of
    /// the map, but not both. The map may be outdated.
    Doubtful {
        /// Its name; `None` = it has none.
        name: Option<ClusterName>,
        /// Its nodes, as the host that answered lists them.
        nodes: Vec<NodeId>,
    },
    /// The hosts belong to a cluster of another name, and none of its nodes is
    /// in the map.
    Other {
        /// Its name; `None` = it has none.
        name: Option<ClusterName>,
        /// Its nodes, as the host that answered lists them.
        nodes: Vec<NodeId>,
    },
    /// None of the hosts is a node of the map, and none answered.
    Silent {
        /// The error for each address that was tried, `host:port: reason`.
        tried: Vec<String>,
    },
}
