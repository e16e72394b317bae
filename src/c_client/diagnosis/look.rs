//! The segments of this host that clients may have, and looks at them.
//!
//! A look attaches for reading, copies and detaches at once: the last client that
//! closes removes the segment only if nobody else is attached.

use std::io;
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use rustix::fs::{Mode, OFlags};
use rustix::time::{ClockId, clock_gettime};

use super::super::header::{HEADER_BYTES, Header};
use super::super::layout::{Capacity, Layout, Shape};
use super::super::process::{Seen, attached, program, seen};
use super::judge::{Owner, OwnerState};
use super::picture::Picture;
use crate::layout::{ForeignSegment, is_gone, shm_find, shm_stat};
use crate::segment::{SystemVRow, system_v_rows};

/// The byte of a mirror's lock file that the active mirror holds.
const ACTIVE: libc::off_t = 1;
/// The owner that a mirror stores so that it counts as alive for every user.
const ALWAYS: u32 = u32::MAX;
/// How often nodes that change while they are copied are copied again.
const COPIES: usize = 8;

/// A segment that may be one of the C client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The kernel's id.
    pub id: i32,
    /// The key; 0 if it was removed.
    pub key: u32,
    /// The user that it belongs to.
    pub uid: u32,
    /// The permission bits.
    pub mode: u32,
    /// The size in bytes.
    pub bytes: u64,
    /// How many mappings there are, without this process's.
    pub mappings: u64,
}

impl From<SystemVRow> for Candidate {
    fn from(row: SystemVRow) -> Candidate {
        let SystemVRow { key, id, mode, bytes, mappings, uid, .. } = row;
        Candidate { id, key, uid, mode, bytes, mappings: mappings as u64 }
    }
}

/// Why a segment could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LookError {
    /// This user may not.
    #[error("permission denied")]
    Denied,
    /// It was removed meanwhile.
    #[error("the segment was removed meanwhile")]
    Gone,
    /// For another reason.
    #[error("can't read the segment: {0}")]
    Io(#[source] io::Error),
}

impl From<io::Error> for LookError {
    fn from(error: io::Error) -> LookError {
        match error.kind() {
            io::ErrorKind::PermissionDenied => LookError::Denied,
            _ if is_gone(&error) => LookError::Gone,
            _ => LookError::Io(error),
        }
    }
}

/// Milliseconds of the clock by which clients write the timestamp.
pub fn monotonic_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "Monotonic, which is never set")]
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000
}

/// All segments that have the shape of one of the C client, or its size or key.
pub fn candidates() -> Vec<Candidate> {
    let mut found: Vec<Candidate> = system_v_rows().into_iter().map(Candidate::from).collect();
    found.retain(may_be_of_the_c_client);
    found
}

fn may_be_of_the_c_client(found: &Candidate) -> bool {
    let default = |layout: &Layout| {
        let bytes = Shape::new(*layout, Capacity::DEFAULT).bytes() as u64;
        layout.default_key() == found.key || bytes == found.bytes
    };
    if Layout::ALL.iter().any(default) {
        return true;
    }
    let (Ok(bytes), Ok(header)) = (usize::try_from(found.bytes), header(found.id)) else {
        return false;
    };
    Layout::ALL.into_iter().any(|layout| header.shape(layout, bytes).is_some())
}

fn header(id: i32) -> io::Result<Header> {
    let segment = ForeignSegment::attach(id, false)?;
    let mut copy = Vec::new();
    segment.copy(HEADER_BYTES, &mut copy);
    let head = copy.first_chunk::<HEADER_BYTES>();
    Ok(head.map_or_else(Header::default, Header::read))
}

/// The segment that has the key, whatever it contains; `None` if there is none.
///
/// # Errors
/// The kernel's error.
pub fn find(key: u32) -> io::Result<Option<Candidate>> {
    let Some(id) = shm_find(key)? else { return Ok(None) };
    if let Some(row) = system_v_rows().into_iter().find(|row| row.id == id) {
        return Ok(Some(row.into()));
    }
    let found = shm_stat(id)?;
    let (uid, mode, bytes, mappings) = (found.uid, found.mode, found.bytes, found.mappings);
    Ok(Some(Candidate { id, key, uid, mode, bytes, mappings }))
}

/// Copies a segment and detaches; and how many mappings of other processes there were.
///
/// # Errors
/// [`LookError`].
pub fn look(id: i32) -> Result<(Picture, u64), LookError> {
    let segment = ForeignSegment::attach(id, false)?;
    let others = segment.stat().mappings.saturating_sub(1);
    let mut copy = Vec::new();
    segment.copy(HEADER_BYTES, &mut copy);
    let head = copy.first_chunk::<HEADER_BYTES>();
    let header = head.map_or_else(Header::default, Header::read);
    segment.copy(Picture::extent(&header, segment.bytes()), &mut copy);
    // Each word is of one moment, a node is not: it counts once two copies agree.
    let nodes = HEADER_BYTES..Picture::nodes_extent(&header, segment.bytes()).max(HEADER_BYTES);
    let mut again = Vec::new();
    for _ in 0..COPIES {
        segment.copy(nodes.end, &mut again);
        match (copy.get_mut(nodes.clone()), again.get(nodes.clone())) {
            (Some(old), Some(new)) if old != new => old.copy_from_slice(new),
            _ => break,
        }
    }
    Ok((Picture::of(&copy, segment.bytes()), others))
}

/// The process that owns the segment of that id, according to its header.
pub fn owner_state(header: &Header, id: i32) -> Owner {
    let pid = header.owner_pid;
    let state = match (header.lock, pid) {
        (0, _) => OwnerState::Nobody,
        (_, ALWAYS) => OwnerState::Always,
        _ => match seen(pid, id) {
            Seen::Mapped(0) => OwnerState::Unmapped,
            Seen::Mapped(_) => OwnerState::Alive,
            Seen::Hidden => OwnerState::Hidden,
            Seen::Absent => OwnerState::Absent,
        },
    };
    if matches!(state, OwnerState::Unmapped | OwnerState::Absent)
        && let Some(outside) = of_inner_namespace(pid, id)
    {
        return Owner { pid, state: OwnerState::Alive, program: program(outside) };
    }
    Owner { pid, state, program: program(pid) }
}

/// The process that has the segment mapped and is called `pid` in a pid namespace inside
/// this one, such as a container's.
fn of_inner_namespace(pid: u32, id: i32) -> Option<u32> {
    let is_called = |outside: &u32| {
        let status = std::fs::read(format!("/proc/{outside}/status")).unwrap_or_default();
        inner_pids(&status).any(|inner| inner == pid)
    };
    attached(id).into_iter().map(|found| found.pid).find(is_called)
}

/// The pids of a process in its pid namespaces inside this one, in its `status`.
fn inner_pids(status: &[u8]) -> impl Iterator<Item = u32> {
    let mut lines = status.split(|&byte| byte == b'\n');
    let line = lines.find_map(|line| line.strip_prefix(b"NSpid:")).unwrap_or_default();
    let pids = line.split(u8::is_ascii_whitespace).filter(|text| !text.is_empty());
    pids.skip(1).filter_map(|text| core::str::from_utf8(text).ok()?.parse().ok())
}

/// The number of mappings that belong to processes that can't be seen.
pub fn unseen(mappings: u64, id: i32) -> u64 {
    let seen: usize = attached(id).iter().map(|found| found.mappings).sum();
    mappings.saturating_sub(seen as u64)
}

/// Whether a mirror of tendmap fills the segment of that key, according to its lock file
/// in that directory; `None` if there is no such file, or it can't be examined.
pub fn mirror_is_active(directory: &Path, key: u32) -> Option<bool> {
    let path = directory.join(format!("tendmap-c-client-{key:08x}.lock"));
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = rustix::fs::open(path, flags, Mode::empty()).ok()?;
    let mut probe = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: ACTIVE,
        l_len: 1,
        l_pid: 0,
    };
    fcntl(&file, FcntlArg::F_OFD_GETLK(&mut probe)).ok()?;
    Some(probe.l_type != libc::F_UNLCK as libc::c_short)
}

#[cfg(test)]
mod tests {
    use super::super::picture::tests::healthy;
    use super::*;
    use crate::layout::{shm_create, shm_remove};

    /// A segment with that content.
    fn segment(bytes: &[u8]) -> i32 {
        let id = shm_create(0, bytes.len(), 0o600).unwrap();
        let segment = ForeignSegment::attach(id, true).unwrap();
        for (index, word) in bytes.as_chunks::<4>().0.iter().enumerate() {
            segment.store_u32(4 * index, u32::from_ne_bytes(*word));
        }
        id
    }

    #[test]
    fn a_look_copies_what_is_there_and_stays_attached_to_nothing() {
        let (_, mut bytes) = healthy(Layout::F);
        bytes[8..12].copy_from_slice(&std::process::id().to_ne_bytes());
        let id = segment(&bytes);
        let (picture, others) = look(id).unwrap();
        assert_eq!((picture, others), (Picture::of(&bytes, bytes.len()), 0));
        assert_eq!(shm_stat(id).unwrap().mappings, 0);
        let candidate = candidates().into_iter().find(|found| found.id == id).unwrap();
        assert_eq!((candidate.bytes, candidate.mode), (bytes.len() as u64, 0o600));
        let header = header(id).unwrap();
        assert_eq!(owner_state(&header, id).state, OwnerState::Unmapped);
        let mapped = ForeignSegment::attach(id, false).unwrap();
        assert_eq!(owner_state(&header, id).state, OwnerState::Alive);
        drop(mapped);
        for (lock, pid, state) in [
            (0, 1, OwnerState::Nobody),
            (1, 0, OwnerState::Absent),
            (1, ALWAYS, OwnerState::Always),
        ] {
            let header = Header { lock, owner_pid: pid, ..header };
            assert_eq!(owner_state(&header, id).state, state);
        }
        shm_remove(id).unwrap();
        assert!(matches!(look(id), Err(LookError::Gone)));
    }

    #[test]
    fn the_pids_of_inner_namespaces_are_read() {
        let status = b"Name:\tpython3\nNSpid:\t5000\t12\t1\nNSpgid:\t5000\t1\n";
        assert_eq!(inner_pids(status).collect::<Vec<_>>(), [12, 1]);
        assert_eq!(inner_pids(b"NSpid:\t7\n").next(), None);
        assert_eq!(inner_pids(b"Name:\tx\n").next(), None);
    }

    #[test]
    fn a_mirror_is_active_while_it_holds_its_byte() {
        let folder = tempfile::tempdir().unwrap();
        let active = || mirror_is_active(folder.path(), 0xa900_0001);
        assert_eq!(active(), None);
        let path = folder.path().join("tendmap-c-client-a9000001.lock");
        let file = std::fs::File::create(path).unwrap();
        assert_eq!(active(), Some(false));
        let lock = libc::flock {
            l_type: libc::F_WRLCK as libc::c_short,
            l_whence: libc::SEEK_SET as libc::c_short,
            l_start: ACTIVE,
            l_len: 1,
            l_pid: 0,
        };
        fcntl(&file, FcntlArg::F_OFD_SETLK(&lock)).unwrap();
        assert_eq!(active(), Some(true));
    }
}
