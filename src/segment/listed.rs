//! A segment as a list shows it.

use super::backend::Backend;
use super::location::Location;

/// The state of a listed segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SegmentState {
    /// It has a living owner.
    Owned,
    /// It has no living owner: the next process that attaches takes over.
    Orphaned,
    /// No publication will follow in it.
    Retired,
    /// It has another layout version.
    OtherVersion,
    /// Its creator is still at work, or has died; only a System V segment can
    /// be seen in this state.
    HalfMade,
    /// This process may not read it, so its state can't be determined.
    NoPermission,
    /// It is not a segment despite its name, or it is not trusted.
    Damaged,
}

impl SegmentState {
    /// Its name in lists: `owned`, `orphaned`, `other version` …
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            SegmentState::Owned => "owned",
            SegmentState::Orphaned => "orphaned",
            SegmentState::Retired => "retired",
            SegmentState::OtherVersion => "other version",
            SegmentState::HalfMade => "half-made",
            SegmentState::NoPermission => "no permission",
            SegmentState::Damaged => "damaged",
        }
    }
}

impl core::fmt::Display for SegmentState {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A segment, or what is named like one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ListedSegment {
    /// The key.
    pub key: u32,
    /// The layout version.
    pub layout_version: u32,
    /// The generation; 0 if it is not known.
    pub generation: u64,
    /// The kind of shared memory.
    pub backend: Backend,
    /// Its location.
    pub at: Location,
    /// The id of the user that it belongs to.
    pub user: u32,
    /// Its mode bits.
    pub mode: u32,
    /// Its length in bytes.
    pub bytes: u64,
    /// The number of attached processes; `None` if they can't be counted.
    pub attached: Option<usize>,
    /// The number of mappings of a System V segment, by any program, as `ipcs
    /// -m` shows it under `nattch`.
    pub mappings: Option<usize>,
    /// Its state.
    pub state: SegmentState,
}
