//! Segments that have lost their key and are still in use.
//!
//! The key is taken from a segment before its successor can have it. Should the
//! maker of that die in between, nothing leads to the last map but the processes
//! that have it mapped, and its lock file. As long as both are there, newcomers
//! find it among what the kernel still has: its id leads there until the last
//! mapping goes. Else a newcomer would begin with no map, and everybody would
//! move to that.
//!
//! So a segment of a key has its name taken away in two steps: the key goes when
//! another segment is to have it, the lock file when that is there, or when the
//! segment is removed for good.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::backend::{Backend, ObjectId};
use super::super::directory::files;
use super::super::error::SegmentError;
use super::super::name::{Place, parse_lock};
use super::super::segment::Segment;
use super::check::{check_stat, directory_number};
use crate::layout::{Header, Identity, Shm, ShmStat, shm_removed};

/// One of them.
pub struct Keyless {
    pub id: i32,
    pub stat: ShmStat,
    pub identity: Identity,
}

/// Those of a key that can be trusted, but for the one that has this segment id:
/// that of the segment that has the key.
pub fn of_key(place: &Place, keyed: Option<u64>) -> Result<Vec<Keyless>, SegmentError> {
    let mut found = find(&place.directory, |key, id| key == place.key && Some(id) != keyed)?;
    found.retain(|found| {
        Segment::known(ObjectId::SystemV(found.id)).is_some()
            || check_stat(place, found.id, &found.stat).is_ok()
    });
    Ok(found)
}

/// Those whose lock files are in a directory and are `wanted`, by key and
/// segment id.
pub fn find(
    directory: &Path,
    wanted: impl Fn(u32, u64) -> bool,
) -> Result<Vec<Keyless>, SegmentError> {
    let files = files(directory)?;
    let named = files.iter().filter_map(|name| parse_lock(Backend::SystemV, name));
    let locks: BTreeSet<(u32, u64)> = named.filter(|&(key, id)| wanted(key, id)).collect();
    // Nearly always: each segment has its key.
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
            keyless.push(Keyless { id, stat, identity });
        }
    }
    Ok(keyless)
}

/// Who it is; of one that this process has attached whatever became of its
/// header since.
fn identity(id: i32) -> Option<Identity> {
    if let Some(segment) = Segment::known(ObjectId::SystemV(id)) {
        return Some(segment.identity());
    }
    let shm = Shm::attach(id, false).ok()?;
    Header::validate(&shm.header(), shm.stat().bytes).ok().map(|(identity, _)| identity)
}
