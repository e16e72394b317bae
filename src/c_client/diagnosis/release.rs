//! The release of a segment whose owner has ended, so that a client takes over at once.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use super::super::header::{LOCK, OWNER_PID};
use super::judge::OwnerState;
use super::look::{Candidate, LookError, look, mirror_is_active, owner_state, unseen};
use crate::layout::ForeignSegment;
use crate::text::Printable;

/// For how long the timestamp has to stand still. An official owner stores it once in its
/// tend interval (1 s by default).
const STILL: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(100);

/// Why a segment is not released.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// It can't be read.
    #[error(transparent)]
    Look(#[from] LookError),
    /// It is not a segment of the C client.
    #[error("it is not a segment of the C client, or is not ready: nothing was stored")]
    Shape,
    /// Its owner lives, or may live.
    #[error("{reason}; end that process instead")]
    MayLive {
        /// What was found.
        reason: String,
    },
    /// Its owner changed at that moment.
    #[error("its owner changed meanwhile: nothing was stored; look again")]
    Changed,
    /// The lock can't be stored.
    #[error("can't store its lock: {0}")]
    Io(#[source] io::Error),
}

/// What a release did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Released {
    /// Nobody owned it already.
    WasFree,
    /// This process owned it according to the header.
    From {
        /// Its pid.
        pid: u32,
    },
}

/// What was found of an owner.
#[derive(Clone, Copy, Debug)]
struct Found<'a> {
    pid: u32,
    state: OwnerState,
    program: Option<&'a str>,
    /// Whether a mirror of tendmap is active, if that is known.
    mirror: Option<bool>,
    /// Whether the timestamp changed.
    tended: bool,
    /// How many mappings belong to processes that can't be seen.
    unseen: u64,
}

/// Why the owner may live; `None` if it is provably gone.
fn why_it_may_live(found: Found<'_>) -> Option<String> {
    let Found { pid, state, program, mirror, tended, unseen } = found;
    let program = Printable(program.unwrap_or("unknown program"));
    if mirror == Some(true) {
        return Some("a mirror of tendmap fills it".to_owned());
    }
    match state {
        OwnerState::Nobody => None,
        OwnerState::Alive => Some(format!("its owner, pid {pid} ({program}), lives")),
        OwnerState::Hidden if unseen != 0 => {
            Some(format!("pid {pid} ({program}) exists and this user may not examine it"))
        }
        OwnerState::Absent | OwnerState::Unmapped | OwnerState::Hidden if tended => {
            Some(format!("somebody tends it: pid {pid} of another pid namespace, or of a mirror"))
        }
        OwnerState::Absent | OwnerState::Unmapped if unseen != 0 => Some(format!(
            "processes that can't be seen from here have it mapped, and its owner, pid {pid}, may be \
             one of them (ask as root, outside of containers)"
        )),
        OwnerState::Absent | OwnerState::Unmapped | OwnerState::Hidden => None,
        OwnerState::Always if tended => Some("somebody tends it".to_owned()),
        OwnerState::Always if mirror.is_none() => Some(
            "its owner is a mirror of tendmap whose lock file is not in the given directory \
             (shm_directory)"
                .to_owned(),
        ),
        OwnerState::Always => None,
    }
}

/// Stores `lock` = 0 if the owner that the header names is provably gone, or if `force`.
///
/// # Errors
/// [`ReleaseError`]; nothing was stored then.
pub fn release(
    segment: Candidate,
    directory: &Path,
    force: bool,
) -> Result<Released, ReleaseError> {
    let (picture, mut mappings) = look(segment.id)?;
    let header = picture.header;
    if picture.layout.is_none() || header.ready == 0 {
        return Err(ReleaseError::Shape);
    }
    if header.lock == 0 {
        return Ok(Released::WasFree);
    }
    let (pid, begun) = (header.owner_pid, Instant::now());
    let mut now = header;
    loop {
        let owner = owner_state(&now, segment.id);
        let mirror = mirror_is_active(directory, segment.key);
        let tended = now.timestamp != header.timestamp;
        if now.lock == 0 {
            return Ok(Released::WasFree);
        }
        if now.owner_pid != pid {
            return Err(ReleaseError::Changed);
        }
        let (state, program) = (owner.state, owner.program.as_deref());
        let unseen = unseen(mappings, segment.id);
        match why_it_may_live(Found { pid, state, program, mirror, tended, unseen }) {
            Some(reason) if !force => return Err(ReleaseError::MayLive { reason }),
            _ if force || begun.elapsed() >= STILL => break,
            _ => {}
        }
        std::thread::sleep(PAUSE);
        let (picture, others) = look(segment.id)?;
        (now, mappings) = (picture.header, others);
    }
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::PermissionDenied => ReleaseError::Look(LookError::Denied),
        _ => ReleaseError::Io(error),
    };
    let writable = ForeignSegment::attach(segment.id, true).map_err(failed)?;
    let is_same = writable.load_u32(OWNER_PID) == pid;
    if is_same && writable.replace_u8(LOCK, header.lock, 0) {
        return Ok(Released::From { pid });
    }
    Err(ReleaseError::Changed)
}

#[cfg(test)]
mod tests {
    use super::super::look::find;
    use super::super::picture::tests::healthy;
    use super::*;
    use crate::c_client::layout::Layout;
    use crate::layout::{shm_create, shm_remove, shm_stat};

    #[test]
    fn only_an_owner_that_is_provably_gone_is_released() {
        use OwnerState::*;
        let found = |state, mirror, tended| {
            let program = Some("a\u{1b}b");
            Found { pid: 7, state, program, mirror, tended, unseen: 0 }
        };
        let lives = |state, mirror, tended| why_it_may_live(found(state, mirror, tended)).is_some();
        for (state, gone) in [
            (Nobody, true),
            (Alive, false),
            (Hidden, true),
            (Absent, true),
            (Unmapped, true),
            (Always, false),
        ] {
            assert_eq!(!lives(state, None, false), gone, "{state:?}");
            assert!(lives(state, Some(true), false), "{state:?}: a mirror is active");
            assert!(state == Nobody || lives(state, Some(false), true), "{state:?}: it is tended");
        }
        assert!(!lives(Always, Some(false), false), "its mirror is gone");
        for state in [Absent, Unmapped, Hidden] {
            let hidden = Found { unseen: 1, ..found(state, None, false) };
            assert!(why_it_may_live(hidden).is_some(), "it may be one that can't be seen");
        }
        let text = why_it_may_live(found(Alive, None, false)).unwrap();
        assert_eq!(text, "its owner, pid 7 (a\\u{1b}b), lives");
    }

    #[test]
    fn a_release_stores_the_lock_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let (_, bytes) = healthy(Layout::E);
        let key = 0x7b00_0000 | std::process::id() & 0x00ff_ffff;
        let id = shm_create(key, bytes.len(), 0o600).unwrap();
        let segment = ForeignSegment::attach(id, true).unwrap();
        for (index, word) in bytes.as_chunks::<4>().0.iter().enumerate() {
            segment.store_u32(4 * index, u32::from_ne_bytes(*word));
        }
        let candidate = find(key).unwrap().unwrap();
        assert_eq!((candidate.id, candidate.mappings), (id, 1));
        // This process has it mapped.
        segment.store_u32(OWNER_PID, std::process::id());
        let refused = release(candidate, folder.path(), false).unwrap_err();
        assert!(matches!(refused, ReleaseError::MayLive { .. }), "{refused}");
        segment.store_u32(OWNER_PID, 0);
        let pid = 0;
        assert_eq!(release(candidate, folder.path(), false).unwrap(), Released::From { pid });
        assert_eq!(release(candidate, folder.path(), false).unwrap(), Released::WasFree);
        let mut copy = Vec::new();
        segment.copy(usize::MAX, &mut copy);
        let mut wanted = bytes;
        wanted[OWNER_PID..OWNER_PID + 4].fill(0);
        wanted[LOCK] = 0;
        assert!(copy == wanted, "another byte was changed");
        assert_eq!(shm_stat(id).unwrap().mappings, 1);
        segment.store_u32(crate::c_client::header::PARTITION_COUNT, 1);
        let refused = release(candidate, folder.path(), true).unwrap_err();
        assert!(matches!(refused, ReleaseError::Shape), "{refused}");
        shm_remove(id).unwrap();
    }
}
