//! Segments that have lost their key and are still in use.
//!
//! The key is taken from a segment before its successor can have it. If the
//! creator of the successor dies in between, only the processes that have the
//! last map mapped, and its lock file, lead to that map. As long as both exist,
//! new processes find it among the kernel's remaining segments: its id is valid
//! until the last mapping ends. Otherwise a new process would start without a
//! map, and all processes would move to its segment.
//!
//! So the name of a segment is removed in two steps: the key when another
//! segment needs it, the lock file when that segment exists, or when the
//! segment is removed for good.

use std::collections::BTreeSet;
use std::path::Path;

use super::check::{check_stat, directory_number};
use crate::layout::{Header, Identity, Shm, ShmStat, shm_removed};
use crate::segment::backend::{Backend, ObjectId};
use crate::segment::error::SegmentError;
use crate::segment::fs::files;
use crate::segment::name::{Place, parse_lock};
use crate::segment::registry::registry;

/// A segment that has lost its key.
pub struct KeylessSegment {
    pub id: i32,
    pub stat: ShmStat,
    pub identity: Identity,
}

/// The trusted ones of a key, except the segment with that id, which has the key.
pub fn of_key(place: &Place, keyed: Option<u64>) -> Result<Vec<KeylessSegment>, SegmentError> {
    let mut found = find(&place.directory, |key, id| key == place.key && Some(id) != keyed)?;
    found.retain(|found| {
        registry().identity(ObjectId::SystemV(found.id)).is_some()
            || check_stat(place, found.id, &found.stat).is_ok()
    });
    Ok(found)
}

/// Those whose lock files are in a directory and are `wanted`, by key and
/// segment id.
pub fn find(
    directory: &Path,
    wanted: impl Fn(u32, u64) -> bool,
) -> Result<Vec<KeylessSegment>, SegmentError> {
    let files = files(directory)?;
    let named = files.iter().filter_map(|name| parse_lock(Backend::SystemV, name));
    let locks: BTreeSet<(u32, u64)> = named.filter(|&(key, id)| wanted(key, id)).collect();
    // The usual case: each segment has its key.
    if locks.is_empty() {
        return Ok(Vec::new());
    }
    let number = directory_number(directory).map_err(SegmentError::io("examine", directory))?;
    let mut keyless = Vec::new();
    for (id, stat) in shm_removed() {
        if !Header::is_length(stat.bytes) {
            continue;
        }
        let Some(identity) = identity(id) else { continue };
        let Identity { key, segment_id, lock_directory, .. } = identity;
        if lock_directory == number && locks.contains(&(key, segment_id)) {
            keyless.push(KeylessSegment { id, stat, identity });
        }
    }
    Ok(keyless)
}

/// The identity of a segment; it is known for a segment that this process has
/// attached, even if its header has changed since.
fn identity(id: i32) -> Option<Identity> {
    if let Some(identity) = registry().identity(ObjectId::SystemV(id)) {
        return Some(identity);
    }
    let shm = Shm::attach(id, false).ok()?;
    Header::validate(&shm.header(), shm.stat().bytes).ok().map(|(identity, _)| identity)
}
