//! Why a client can't connect.

use std::sync::Arc;
use std::time::Duration;

use super::config::ConfigError;
use crate::explain::explain;
use crate::segment::SegmentError;
use crate::tend::TendError;
use crate::text::Printable;

/// Why [`Client::connect`](super::Client::connect) failed. Nothing is left
/// behind: the next process may try at once.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// A setting is invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The segment can't be created or attached.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The segment is of another cluster.
    #[error(
        "the segment of key {key:#010x} is of cluster {found:?}, wanted {wanted:?}; use another shm_key for {wanted:?}, or correct cluster_name"
    )]
    OtherCluster {
        /// The segment's key.
        key: u32,
        /// The name of the cluster in the segment.
        found: String,
        /// The configured name.
        wanted: String,
    },
    /// The segment's nodes are not those of the configured hosts, although the
    /// clusters have the same name, or none.
    #[error(
        "the segment of key {key:#010x} is of nodes {}, but the hosts are of {}; use another shm_key for them, or give the hosts of the wanted cluster",
        Printable(.found),
        Printable(.wanted)
    )]
    OtherNodes {
        /// The segment's key.
        key: u32,
        /// The nodes of the segment's map.
        found: String,
        /// The nodes that the hosts report.
        wanted: String,
    },
    /// It can't be determined whether the segment is of the wanted cluster: no
    /// `cluster_name` is configured, none of the hosts is a node of its map,
    /// and none answers.
    #[error(
        "can't determine whether the segment of key {key:#010x}, of nodes {}, is of the wanted cluster: none of the hosts is one of these nodes, and none answers: {}; configure cluster_name, or try again when a host answers",
        Printable(.found),
        Printable(.tried)
    )]
    NotCompared {
        /// The segment's key.
        key: u32,
        /// The nodes of the segment's map.
        found: String,
        /// What was wrong with each host.
        tried: String,
    },
    /// This process is already connected under the key, with other hosts.
    #[error(
        "this process is connected under key {key:#010x} with hosts {}, wanted {}; use the same hosts, or another shm_key for another cluster",
        Printable(.found),
        Printable(.wanted)
    )]
    OtherHosts {
        /// The key.
        key: u32,
        /// The hosts of the existing connection.
        found: String,
        /// The hosts of this attempt.
        wanted: String,
    },
    /// This process became the owner, and its first tend failed.
    #[error("can't tend the cluster: {0}")]
    Tend(TendError),
    /// The map in the segment is damaged.
    #[error(transparent)]
    Map(#[from] crate::map::SnapshotError),
    /// Another process owns the segment and has not published anything yet.
    #[error("no map after {waited:?}: the owner (pid {owner}) has published none yet; see its log")]
    NoMapYet {
        /// How long this process waited.
        waited: Duration,
        /// The owner's pid in its own pid namespace; 0 = unknown.
        owner: u32,
    },
    /// The client's thread can't be started.
    #[error("can't start the client's thread: {}", explain(_0))]
    Thread(Arc<std::io::Error>),
    /// The client's thread has panicked.
    #[error(
        "the client's thread has ended: it panicked and wrote the reason to standard error; report it, and connect again"
    )]
    Ended,
}

/// The text holds that of the tend: it is not a source that would be printed again.
impl From<TendError> for ConnectError {
    fn from(error: TendError) -> ConnectError {
        ConnectError::Tend(error)
    }
}

impl ConnectError {
    /// Whether the segment is, or may be, of another cluster.
    pub(super) fn is_other_cluster(&self) -> bool {
        use ConnectError::{NotCompared, OtherCluster, OtherNodes};
        matches!(self, OtherCluster { .. } | OtherNodes { .. } | NotCompared { .. })
    }
}
