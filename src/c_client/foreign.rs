//! The segment that has a key now: found, attached and checked.

use std::io;

use super::header::{HEADER_BYTES, Header, ShapeError};
use super::layout::Shape;
use super::store::Memory;
use super::wanted::WantedError;
use crate::layout::{ForeignSegment, ShmStat, is_gone, shm_create, shm_find, shm_stat};

/// Why a segment can't be filled.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// It is of other clients or sizes.
    #[error("{0}")]
    Shape(#[from] ShapeError),
    /// It has the size of a client's segment, and something else in it.
    #[error(
        "the segment has no header, and is not empty: it is not of the C client; give its clients another key, or remove it"
    )]
    NoHeader,
    /// The map can't be shown in it.
    #[error("{0}")]
    Map(#[from] WantedError),
    /// It holds nodes of another cluster.
    #[error(
        "the segment holds {unknown} of {active} nodes that are not of this cluster ({example} is one); give its clients another key, or remove it"
    )]
    OtherCluster {
        /// The number of nodes in it.
        active: usize,
        /// How many of them are not in the map.
        unknown: usize,
        /// The name of one of those.
        example: String,
    },
    /// Its permissions don't allow it.
    #[error(
        "this process may not read and write the segment{}; run the tender as the user that it belongs to, or remove it",
        whose(.stat)
    )]
    Permission {
        /// What the kernel reports about it; `None` if this process may not read it.
        stat: Option<ShmStat>,
    },
}

fn whose(stat: &Option<ShmStat>) -> String {
    stat.map_or_else(String::new, |stat| format!(" (mode {:04o}, of user {})", stat.mode, stat.uid))
}

/// What an attempt to find or create a segment came to.
#[derive(Debug, thiserror::Error)]
pub enum ForeignError {
    /// It exists and is left alone.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// A call of the system failed.
    #[error("can't {action} the segment: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The error of the system.
        source: io::Error,
    },
    /// It disappeared or appeared meanwhile: look again.
    #[error("another process has just created or removed the segment")]
    Raced,
}

fn failed(action: &'static str) -> impl Fn(io::Error) -> ForeignError {
    move |source| match is_gone(&source) || source.kind() == io::ErrorKind::AlreadyExists {
        true => ForeignError::Raced,
        false => ForeignError::Io { action, source },
    }
}

/// The id of the segment that has the key.
pub fn find(key: u32) -> Result<Option<i32>, ForeignError> {
    shm_find(key).map_err(failed("look for"))
}

/// Attaches the segment of that id, if it has that shape.
pub fn attach(id: i32, shape: Shape) -> Result<ForeignSegment, ForeignError> {
    let segment = match ForeignSegment::attach(id, true) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(Unusable::Permission { stat: shm_stat(id).ok() }.into());
        }
        other => other.map_err(failed("attach"))?,
    };
    check(&segment, shape)?;
    Ok(segment)
}

/// Checks the header against the shape. An empty segment is one that its creator has
/// not finished: a client writes the header before anything else.
pub fn check(segment: &ForeignSegment, shape: Shape) -> Result<(), ForeignError> {
    match has_shape(segment, shape) {
        Err(ShapeError::Empty) if is_used(segment) => match has_shape(segment, shape) {
            Err(ShapeError::Empty) => Err(Unusable::NoHeader.into()),
            // Its creator has written the header meanwhile.
            other => Ok(other.map_err(Unusable::from)?),
        },
        Err(ShapeError::Empty) => Ok(()),
        other => Ok(other.map_err(Unusable::from)?),
    }
}

fn has_shape(segment: &ForeignSegment, shape: Shape) -> Result<(), ShapeError> {
    shape.check(&header(segment).unwrap_or_default(), segment.bytes())
}

/// Whether there is anything behind the header.
fn is_used(segment: &ForeignSegment) -> bool {
    let mut copy = Vec::new();
    segment.copy(usize::MAX, &mut copy);
    copy.iter().skip(HEADER_BYTES).any(|&byte| byte != 0)
}

/// A copy of the header; `None` if the segment is shorter.
pub fn header(segment: &ForeignSegment) -> Option<Header> {
    let mut copy = Vec::new();
    segment.copy(HEADER_BYTES, &mut copy);
    Some(Header::read(copy.first_chunk()?))
}

/// Creates the segment of the key, all zero, and attaches it.
pub fn create(key: u32, shape: Shape, mode: u32) -> Result<ForeignSegment, ForeignError> {
    let id = shm_create(key, shape.bytes(), mode).map_err(failed("create"))?;
    ForeignSegment::attach(id, true).map_err(failed("attach"))
}

impl Memory for ForeignSegment {
    fn store_u8(&self, offset: usize, value: u8) {
        ForeignSegment::store_u8(self, offset, value);
    }

    fn store_u32(&self, offset: usize, value: u32) {
        ForeignSegment::store_u32(self, offset, value);
    }

    fn store_u64(&self, offset: usize, value: u64) {
        ForeignSegment::store_u64(self, offset, value);
    }

    fn fill(&self, offset: usize, bytes: &[u8]) {
        ForeignSegment::fill(self, offset, bytes);
    }

    fn clear(&self, offset: usize, bits: u32) {
        self.clear_u32(offset, bits);
    }
}
