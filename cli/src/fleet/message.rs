//! Messages from a worker to its parent: one line of JSON each, on standard
//! output.

use serde::{Deserialize, Serialize};

/// A message.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Message {
    /// The worker is connected and begins to route.
    Ready,
    /// The worker has become the owner.
    Owner {
        /// The term of its ownership.
        term: u16,
        /// Whether it took over from another process.
        takeover: bool,
    },
    /// The worker, as owner, dies now, in the middle of a publication.
    Dying {
        /// The number of words that it has stored.
        words: usize,
    },
    /// The worker, as owner, dies now, while it replaces the segment.
    DyingGrown {
        /// The last step: the successor was built (0), the old segment was
        /// retired (1), the successor got its name (2).
        step: usize,
    },
    /// The worker's results so far.
    Report(Report),
}

/// The results of a worker since its start.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct Report {
    /// Its role.
    pub role: String,
    /// Lookups that were checked.
    pub lookups: u64,
    /// Time spent in lookups, without the checks.
    pub lookup_ns: u64,
    /// Lookups that named another node than the publication that they were
    /// read from.
    pub wrong_routes: u64,
    /// A description of the first wrong route.
    pub first_wrong: Option<String>,
    /// Whole publications that matched their checksums.
    pub snapshots_checked: u64,
    /// Publications that were damaged, or a mixture of two.
    pub torn_reads: u64,
    /// Lookups whose publication was replaced before it could be read completely.
    pub unchecked: u64,
    /// How often (generation, term, sequence) went back.
    pub went_back: u64,
    /// A description of the first such case.
    pub first_back: Option<String>,
    /// The longest time without a completed lookup, in nanoseconds; see
    /// `gaps`.
    pub longest_gap_ns: u64,
    /// The last publication seen.
    pub sequence: u64,
    /// The worker's open sockets.
    pub sockets: usize,
    /// The most sockets that were open while the worker was not the owner.
    pub follower_sockets: usize,
}
