//! Looks at a segment. Nothing is written, and this process does not attach.

use std::time::Duration;

use tendmap::client::Status;
use tendmap::map::SnapshotError;
use tendmap::segment::{Backend, ListedSegment, SegmentError, SegmentState, list};

use crate::args::Common;
use crate::failure::Failure;
use crate::seen::State;

/// How often to look again while a new owner's words are missing, and the pause between.
const TRIES: usize = 20;
const PAUSE: Duration = Duration::from_millis(1);

/// The segment that is watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The one that the flags select.
    Given,
    /// The newest of a key, a backend and a user, chosen from the list.
    Listed {
        /// Its key.
        key: u32,
        /// Its kind of shared memory.
        backend: Backend,
        /// The user that it belongs to.
        user: u32,
    },
}

/// Why there is nothing to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Absent {
    /// There is no such segment.
    None(String),
    /// It can't be read.
    Unread(String),
}

impl From<Failure> for Absent {
    fn from(failure: Failure) -> Absent {
        match failure {
            Failure::NotFound(text) => Absent::None(text),
            other => Absent::Unread(other.to_string()),
        }
    }
}

/// What a segment holds now.
pub fn look(common: &Common, target: Target) -> Result<State, Absent> {
    let mut state = once(common, target)?;
    for _ in 1..TRIES {
        let status = &state.status;
        if !status.owner_alive || status.owner_pid.is_some() {
            break;
        }
        // An owner that has just taken over is about to write its words.
        std::thread::sleep(PAUSE);
        state = once(common, target)?;
    }
    Ok(state)
}

fn once(common: &Common, target: Target) -> Result<State, Absent> {
    let Target::Listed { key, backend, user } = target else {
        let reader = common.look().map_err(Failure::from)?;
        let status = reader.status().map_err(Failure::from)?;
        return match reader.map() {
            Ok(map) => Ok(State { status, map: Some(map) }),
            Err(SnapshotError::Empty) => Ok(State { status, map: None }),
            Err(error) => Err(Failure::from(error).into()),
        };
    };
    let directory = common.place().directory;
    let listed = list(&directory).map_err(Failure::from)?;
    let own = |found: &&ListedSegment| {
        (found.key, found.backend, found.user) == (key, backend, user) && is_listed(found)
    };
    let newest = listed.iter().filter(own).max_by_key(|found| {
        // A retired one is shown only until its successor is there.
        (found.state != SegmentState::Retired, found.generation)
    });
    let found = newest.ok_or_else(|| {
        Absent::None(format!("no segment of key {key:#010x} in {backend} memory of this user"))
    })?;
    let (status, map) = Status::of_listed(&directory, found).map_err(Failure::from)?;
    Ok(State { status, map })
}

fn is_listed(found: &ListedSegment) -> bool {
    !matches!(found.state, SegmentState::Damaged | SegmentState::HalfMade)
}

/// The segments that can be watched, in the order of the list.
///
/// # Errors
/// [`SegmentError`].
pub fn targets(common: &Common) -> Result<Vec<Target>, SegmentError> {
    let mut targets = Vec::new();
    for found in list(&common.place().directory)?.iter().filter(|found| is_listed(found)) {
        let (key, backend, user) = (found.key, found.backend, found.user);
        let target = Target::Listed { key, backend, user };
        if !targets.contains(&target) {
            targets.push(target);
        }
    }
    Ok(targets)
}

/// The place of a state among the targets.
pub fn position(targets: &[Target], state: &Status) -> Option<usize> {
    targets.iter().position(|target| match *target {
        Target::Given => false,
        Target::Listed { key, backend, user } => {
            (state.key, state.backend, state.user) == (key, Some(backend), Some(user))
        }
    })
}
