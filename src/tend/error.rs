//! Why a pass failed.

use crate::text::Printable;

/// Why the cluster could not be tended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TendError {
    /// None of the seeds (nor any node known before) led to the cluster.
    #[error("no seed could be used: {}; check that a server listens there and that it is one of the cluster", Printable(.tried.join("; ")))]
    NoSeed {
        /// The error for each address that was tried, `host:port: reason`.
        tried: Vec<String>,
    },
    /// All known nodes stopped answering.
    #[error("none of the {nodes} known nodes gave a usable answer: {}", Printable(.last))]
    NoAnswer {
        /// How many were asked.
        nodes: usize,
        /// The last error.
        last: String,
    },
    /// No server accepts the login.
    #[error("{}: {}", Printable(.host), Printable(.error))]
    Login {
        /// The address that was asked first.
        host: String,
        /// The error, and what to do.
        error: String,
    },
    /// The server belongs to another cluster than the one wanted.
    #[error(
        "{} belongs to cluster {found:?}, wanted {wanted:?}; give the hosts of {wanted:?}, or another shm_key for {found:?}",
        Printable(.host)
    )]
    WrongCluster {
        /// The address that was asked.
        host: String,
        /// The cluster name that it reports.
        found: String,
        /// The name configured or, without one, the name in the segment.
        wanted: String,
    },
    /// The server's build does not support what is needed.
    #[error("{} runs build {}, wanted {wanted} or later; upgrade the server", Printable(.host), Printable(.found))]
    TooOld {
        /// The address that was asked.
        host: String,
        /// Its build.
        found: String,
        /// The oldest accepted build.
        wanted: &'static str,
    },
    /// Alternate addresses are to be used, and no peer of the seed advertises
    /// one.
    #[error(
        "none of the {peers} peers of the cluster advertises an alternate address; set {setting} in the network.service stanza of every server, or do not set use_services_alternate"
    )]
    NoAlternateAddress {
        /// How many peers there are.
        peers: usize,
        /// The servers' setting.
        setting: &'static str,
    },
    /// The pass was interrupted.
    #[error("the pass was interrupted")]
    Interrupted,
}
