//! The System V segments of this host that belong to a directory.

use std::path::Path;

use super::check::{at, look, look_at};
use super::creation::is_going_on;
use super::keyless::{self, KeylessSegment};
use crate::descriptor;
use crate::layout::{Header, Identity, LAYOUT_VERSION};
use crate::segment::backend::{Backend, Located, Standing};
use crate::segment::error::SegmentError;
use crate::segment::foreign;
use crate::segment::fs::files;
use crate::segment::listed::{ListedSegment, SegmentState};
use crate::segment::name::{Place, is_system_v_lock};

/// A line of the kernel's list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    pub key: u32,
    pub id: i32,
    pub mode: u32,
    pub bytes: u64,
    pub mappings: usize,
    pub uid: u32,
    pub cuid: u32,
}

/// All segments of this host (of the IPC namespace), of all users; empty if the
/// kernel does not list them.
pub fn rows() -> Vec<Row> {
    // Unlike SHM_STAT it also lists segments that may not be read.
    let text = descriptor::read("/proc/sysvipc/shm".as_ref()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    text.lines().skip(1).filter_map(row).collect()
}

/// `key shmid perms size cpid lpid nattch uid gid cuid …`: decimal, except for
/// the permissions; keys are signed.
fn row(line: &str) -> Option<Row> {
    let fields: Vec<&str> = line.split_ascii_whitespace().take(10).collect();
    let [key, id, mode, bytes, _, _, mappings, uid, _, cuid] = fields[..] else { return None };
    Some(Row {
        key: key.parse::<i32>().ok()? as u32,
        id: id.parse().ok()?,
        mode: u32::from_str_radix(mode, 8).ok()? & 0o777,
        bytes: bytes.parse().ok()?,
        mappings: mappings.parse().ok()?,
        uid: uid.parse().ok()?,
        cuid: cuid.parse().ok()?,
    })
}

/// The mode, and key, id, bytes, mappings, owner and creator, of a row.
#[cfg(fuzzing)]
pub fn fuzzed(line: &str) -> Option<(u32, [i128; 6])> {
    let Row { key, id, mode, bytes, mappings, uid, cuid } = row(line)?;
    let key = i128::from(key as i32);
    Some((mode, [key, id.into(), bytes.into(), mappings as i128, uid.into(), cuid.into()]))
}

/// The segments listed for a directory: those whose header names it, and those
/// under a key for which it has lock files, even if they are invalid.
pub fn list(directory: &Path, standing: Standing<'_>) -> Result<Vec<ListedSegment>, SegmentError> {
    let files = files(directory)?;
    let named = |row: &Row| files.iter().any(|name| is_system_v_lock(name, row.key));
    let ours = |row: &Row| row.key != 0 && (Header::is_length(row.bytes) || named(row));
    let rows = rows().into_iter().filter(ours);
    let mut listed: Vec<ListedSegment> =
        rows.filter_map(|row| describe(directory, row, named(&row), standing)).collect();
    let keyed: Vec<_> = listed.iter().map(|found| found.at.shm_id()).collect();
    let keyless = keyless::find(directory, |_, _| true)?;
    let keyless = keyless.into_iter().filter(|found| !keyed.contains(&Some(found.id)));
    listed.extend(keyless.filter_map(|found| describe_keyless(directory, found, standing)));
    Ok(listed)
}

fn place_of(directory: &Path, key: u32, users: [u32; 2]) -> Place {
    // It is listed whichever user it belongs to; whether to trust it is decided
    // at attach.
    Place {
        backend: Backend::SystemV,
        directory: directory.into(),
        owners: users.into(),
        ..Place::of_key(key)
    }
}

fn located(place: &Place, id: i32) -> Result<Located<'_>, SegmentError> {
    look_at(place, id).map(|(_, located)| located)
}

/// A segment that has lost its key to a successor that does not exist yet.
fn describe_keyless(
    directory: &Path,
    found: KeylessSegment,
    standing: Standing<'_>,
) -> Option<ListedSegment> {
    let Identity { key, generation, .. } = found.identity;
    let place = place_of(directory, key, [found.stat.uid, found.stat.cuid]);
    let (attached, state) = standing(&place, located(&place, found.id))?;
    Some(ListedSegment {
        key,
        layout_version: LAYOUT_VERSION,
        generation,
        backend: Backend::SystemV,
        at: at(&place, found.id),
        user: found.stat.uid,
        mode: found.stat.mode,
        bytes: found.stat.bytes,
        attached,
        mappings: usize::try_from(found.stat.mappings).ok(),
        state,
    })
}

fn describe(
    directory: &Path,
    row: Row,
    named: bool,
    standing: Standing<'_>,
) -> Option<ListedSegment> {
    let place = place_of(directory, row.key, [row.uid, row.cuid]);
    let mut listed = ListedSegment {
        key: row.key,
        layout_version: LAYOUT_VERSION,
        generation: 0,
        backend: Backend::SystemV,
        at: at(&place, row.id),
        user: row.uid,
        mode: row.mode,
        bytes: row.bytes,
        attached: None,
        mappings: Some(row.mappings),
        state: SegmentState::Damaged,
    };
    match look(&place, row.id) {
        Ok(identity) => {
            listed.generation = identity.generation;
            (listed.attached, listed.state) = standing(&place, located(&place, row.id))?;
        }
        Err(SegmentError::NotFound { .. } | SegmentError::OtherDirectory { .. }) => return None,
        Err(_) if !named => return None,
        Err(SegmentError::HalfMade { .. }) => {
            // Its creator counts as attached, whether it has it mapped yet or
            // not.
            listed.attached = Some(row.mappings.max(usize::from(is_going_on(&place))));
            listed.state = SegmentState::HalfMade;
        }
        Err(SegmentError::OtherVersion { found, .. }) => {
            listed.layout_version = found;
            listed.state = SegmentState::OtherVersion;
            // The kernel's count is valid for all layouts.
            let locked = foreign::attached(directory, &listed).unwrap_or(0);
            listed.attached = Some(row.mappings.max(locked));
        }
        Err(error) if error.is_refused() => listed.state = SegmentState::NoPermission,
        Err(_) => {}
    }
    Some(listed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernels_list_is_read() {
        let line = "-1493172223      65538  1640               1060864  4711  4712      3     0    33  1000     0 1 2 3 4096 0";
        let (key, bytes) = (0xA700_0001, 1_060_864);
        let (id, mode, mappings, uid, cuid) = (65538, 0o640, 3, 0, 1000);
        let wanted = Row { key, id, mode, bytes, mappings, uid, cuid };
        assert_eq!(row(line), Some(wanted));
        assert_eq!(row("       key      shmid perms                  size"), None);
        assert_eq!(row("1 2 3"), None);
    }
}
