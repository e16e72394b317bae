//! Every segment of the host with its state, for the commands that show more than
//! one. Everything here only reads.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustix::process::geteuid;
use tendmap::client::{Status, StatusError, Verdict};
use tendmap::internals::layout::shm_stat;
use tendmap::internals::text::Printable;
use tendmap::map::{Snapshot, SnapshotError};
use tendmap::segment::{Backend, ListedSegment, Location, SegmentError, SegmentState, list};

use crate::args::Common;

/// A segment of the host, or what is named like one.
#[derive(Debug)]
pub struct Seen {
    /// What the list shows.
    pub listed: ListedSegment,
    /// Its state, or why there is none to show.
    pub state: Result<State, Unread>,
}

/// What was read from a segment: both parts at the same moment.
#[derive(Debug)]
pub struct State {
    /// The status.
    pub status: Status,
    /// The last publication; `None` if there is none yet.
    pub map: Option<Snapshot>,
}

/// Why a segment has no state to show.
#[derive(Debug)]
pub enum Unread {
    /// A newer segment of the key has taken its place.
    Replaced {
        /// The generation of that segment.
        by: u64,
    },
    /// This process may not read it.
    NoPermission(String),
    /// It has another layout version.
    OtherVersion(u32),
    /// Its creator is still at work, or has died.
    HalfMade,
    /// It is damaged, or not a segment.
    Damaged(String),
    /// It is not read, because its user has too many segments.
    TooMany,
    /// The read failed for a reason outside the segment.
    Failed(String),
}

/// Whether a segment is in order, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// An owner tends, and nothing is wrong.
    Healthy,
    /// It is kept current, but something is wrong.
    Unhealthy,
    /// It is not kept current.
    Stale,
    /// A newer segment has taken its place.
    Replaced,
    /// This process may not read it.
    NoPermission,
    /// It has another layout version.
    OtherVersion,
    /// Its creator is still at work, or has died.
    HalfMade,
    /// It is damaged, or not a segment.
    Damaged,
    /// It was not read, because its user has too many.
    NotRead,
    /// It could not be read.
    Unknown,
}

impl Health {
    /// Its name in lists.
    pub const fn as_str(self) -> &'static str {
        match self {
            Health::Healthy => "healthy",
            Health::Unhealthy => "unhealthy",
            Health::Stale => "stale",
            Health::Replaced => "replaced",
            Health::NoPermission => "no permission",
            Health::OtherVersion => "other version",
            Health::HalfMade => "half-made",
            Health::Damaged => "damaged",
            Health::NotRead => "not read",
            Health::Unknown => "unknown",
        }
    }

    /// Whether an operator has to do something. A segment that this process can't
    /// judge, because it does not or may not read it or does not know its layout, does not count.
    pub const fn is_bad(self) -> bool {
        matches!(self, Health::Unhealthy | Health::Stale | Health::Damaged | Health::Unknown)
    }
}

impl core::fmt::Display for Unread {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Unread::Replaced { by } => write!(f, "generation {by} has taken its place"),
            Unread::OtherVersion(version) => {
                write!(f, "it has layout version {version}, which this tendmap can't read")
            }
            Unread::TooMany => write!(f, "only {MOST} segments of a user are read; see --shm-key"),
            Unread::HalfMade => f.write_str("its creator is still at work, or has died"),
            Unread::NoPermission(reason) | Unread::Damaged(reason) | Unread::Failed(reason) => {
                Printable(reason).fmt(f)
            }
        }
    }
}

impl Seen {
    /// Whether it is in order.
    pub fn health(&self) -> Health {
        match &self.state {
            Ok(state) => match state.status.verdict() {
                Verdict::Healthy => Health::Healthy,
                Verdict::Unhealthy(_) if state.status.is_stale() => Health::Stale,
                Verdict::Unhealthy(_) => Health::Unhealthy,
            },
            Err(Unread::Replaced { .. }) => Health::Replaced,
            Err(Unread::NoPermission(_)) => Health::NoPermission,
            Err(Unread::OtherVersion(_)) => Health::OtherVersion,
            Err(Unread::HalfMade) => Health::HalfMade,
            Err(Unread::Damaged(_)) => Health::Damaged,
            Err(Unread::TooMany) => Health::NotRead,
            Err(Unread::Failed(_)) => Health::Unknown,
        }
    }

    /// The status, if it could be read.
    pub fn status(&self) -> Option<&Status> {
        self.state.as_ref().ok().map(|state| &state.status)
    }

    /// How long ago it was created, by the wall clock; `None` if the system does not record that.
    #[allow(clippy::disallowed_methods, reason = "the kernel records the wall clock's time")]
    pub fn age(&self) -> Option<Duration> {
        let created = match &self.listed.at {
            Location::File(path) => std::fs::symlink_metadata(path).ok()?.created().ok()?,
            Location::SystemV { id, .. } => {
                let created = Duration::from_secs(shm_stat(*id).ok()?.changed);
                SystemTime::UNIX_EPOCH.checked_add(created)?
            }
            _ => return None,
        };
        Some(created.elapsed().unwrap_or_default())
    }
}

/// The most segments of another user that are read at once: any user can make any number, and
/// each takes time and memory.
const MOST: usize = 64;

/// Every segment of the directory and of System V shared memory, of all users, in the order of
/// the list; only those of a key if one was given. A segment that can't be read has the reason
/// instead of a state.
///
/// # Errors
/// [`SegmentError::Directory`] if the directory can't be read. No segment is a reason to fail.
pub fn all(common: &Common) -> Result<Vec<Seen>, SegmentError> {
    let directory = common.place().directory;
    let mut listed = list(&directory)?;
    listed.retain(|found| common.given_key().is_none_or(|key| key == found.key));
    let current = current(&listed);
    let mut others: BTreeMap<u32, usize> = BTreeMap::new();
    let mut state = |found: &ListedSegment| match found.state {
        SegmentState::OtherVersion => Some(Err(Unread::OtherVersion(found.layout_version))),
        SegmentState::HalfMade => Some(Err(Unread::HalfMade)),
        _ => match current.get(&line(found)) {
            Some(&by) if by > found.generation && is_readable(found) => {
                Some(Err(Unread::Replaced { by }))
            }
            _ if is_own(found.user) => read(&directory, found),
            _ => {
                let reads = others.entry(found.user).or_default();
                *reads += 1;
                if *reads > MOST { Some(Err(Unread::TooMany)) } else { read(&directory, found) }
            }
        },
    };
    let seen = |listed: ListedSegment| Some(Seen { state: state(&listed)?, listed });
    Ok(listed.into_iter().filter_map(seen).collect())
}

/// Whether this process and a user do not have to be on guard against each other.
fn is_own(user: u32) -> bool {
    user == 0 || user == geteuid().as_raw()
}

/// Generations succeed each other under a key, in one backend. Files of a user say nothing about
/// those of another user, who can plant any number; the successor of a retired segment can be of
/// any user whom its processes trust.
type Line = (u32, Backend, Option<u32>);

fn line(found: &ListedSegment) -> Line {
    let retired = found.state == SegmentState::Retired;
    (found.key, found.backend, (!retired).then_some(found.user))
}

fn is_readable(found: &ListedSegment) -> bool {
    let live = matches!(found.state, SegmentState::Owned | SegmentState::Orphaned);
    live || found.state == SegmentState::Retired
}

/// The highest generation of each line that is not retired.
fn current(listed: &[ListedSegment]) -> BTreeMap<Line, u64> {
    let mut current = BTreeMap::new();
    let live = listed
        .iter()
        .filter(|found| matches!(found.state, SegmentState::Owned | SegmentState::Orphaned));
    for found in live {
        for user in [None, Some(found.user)] {
            let newest = current.entry((found.key, found.backend, user)).or_insert(0);
            *newest = found.generation.max(*newest);
        }
    }
    current
}

/// Reads one segment; `None` if it was removed since the listing.
fn read(directory: &Path, found: &ListedSegment) -> Option<Result<State, Unread>> {
    match Status::of_listed(directory, found) {
        Ok((status, map)) => Some(Ok(State { status, map })),
        Err(StatusError::Segment(SegmentError::NotFound { .. })) => None,
        Err(StatusError::Segment(SegmentError::Io { error, .. }))
            if error.kind() == io::ErrorKind::NotFound =>
        {
            None
        }
        Err(error) => Some(Err(reason(error))),
    }
}

fn reason(error: StatusError) -> Unread {
    let text = error.to_string();
    match error {
        StatusError::Segment(SegmentError::Io { error, .. })
            if error.kind() == io::ErrorKind::PermissionDenied =>
        {
            Unread::NoPermission(text)
        }
        StatusError::Segment(SegmentError::OtherVersion { found, .. }) => {
            Unread::OtherVersion(found)
        }
        StatusError::Segment(SegmentError::HalfMade { .. }) => Unread::HalfMade,
        StatusError::Segment(SegmentError::Io { .. } | SegmentError::Directory { .. })
        | StatusError::Map(SnapshotError::ReadRaced) => Unread::Failed(text),
        _ => Unread::Damaged(text),
    }
}
