//! Messages from a worker to its parent: one line of JSON each, on standard
//! output.

use serde::{Deserialize, Serialize};

/// A line.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Message {
    /// It is connected and begins to route.
    Ready,
    /// It has become the owner.
    Owner {
        /// Of that term.
        term: u16,
        /// Whether it took over from another one.
        takeover: bool,
    },
    /// As owner it dies now, after this many words of a publication.
    Dying {
        /// The words.
        words: usize,
    },
    /// As owner it dies now, in the middle of replacing the segment.
    DyingGrown {
        /// After the successor was built (0), the old one retired (1), the
        /// successor given its name (2).
        step: usize,
    },
    /// How it fares.
    Report(Report),
}

/// How a worker fares, since its start.
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
    /// What the first of them was, in words.
    pub first_wrong: Option<String>,
    /// Publications that were read whole and fit their checksums.
    pub snapshots_checked: u64,
    /// Publications that were read and damaged, or a mixture of two.
    pub torn_reads: u64,
    /// Lookups whose publication was replaced before it could be read completely.
    pub unchecked: u64,
    /// How often (generation, term, sequence) went back.
    pub went_back: u64,
    /// What the first of them was, in words.
    pub first_back: Option<String>,
    /// The longest time without a completed lookup, in nanoseconds; see
    /// `gaps`.
    pub longest_gap_ns: u64,
    /// The last publication seen.
    pub sequence: u64,
    /// Sockets that it has open.
    pub sockets: usize,
    /// The most sockets that it ever had open while it was no owner.
    pub follower_sockets: usize,
}
