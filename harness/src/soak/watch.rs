//! The parent's view of the segment: its owner, how often that changes, and how long
//! a change takes.

use std::time::Instant;

use tendmap::client::Reader;
use tendmap::internals::layout::OwnerWord;
use tendmap::internals::protocol::{Head, load_owner};
use tendmap::internals::segment::{Candidate, OwnerState, Segment};
use tendmap::segment::{Place, SegmentError};

use super::summary::Summary;
use tendmap_harness::sample::Samples;

/// Observes the segment.
pub struct Watch {
    reader: Option<Reader>,
    first: u64,
    last: (u64, u16, u64),
    went_back: u64,
    takeovers: u64,
    /// The generation, and the segment's own count.
    counted: (u64, u64),
    generations: u64,
    /// The room for nodes and namespaces, which grows with the segment.
    room: usize,
    growths: u64,
    /// The number of the owner that was killed, and the time.
    struck: Option<(usize, Instant)>,
    times: Samples,
}

impl Watch {
    /// Starts to observe a segment that has a map.
    ///
    /// # Errors
    /// [`SegmentError`] if there is no segment yet, or an empty one.
    pub fn new(place: &Place) -> Result<Watch, SegmentError> {
        let reader = Reader::attach(place)?;
        let first = reader.segment().head().sequence();
        if first == 0 {
            return Err(SegmentError::NotFound {
                key: place.key,
                directory: place.directory.clone(),
            });
        }
        Ok(Watch { reader: Some(reader), first, ..Watch::nobody() })
    }

    /// A watch without a segment.
    pub fn nobody() -> Watch {
        Watch {
            reader: None,
            first: 0,
            last: (0, 0, 0),
            went_back: 0,
            takeovers: 0,
            counted: (0, 0),
            generations: 0,
            room: 0,
            growths: 0,
            struck: None,
            times: Samples::default(),
        }
    }

    fn now(&self) -> Option<(std::sync::Arc<Segment>, Head)> {
        let segment = self.reader.as_ref()?.segment();
        let head = segment.head();
        Some((segment, head))
    }

    /// The owner's pid, as it has recorded it.
    pub fn owner(&self) -> Option<u32> {
        let (segment, head) = self.now()?;
        load_owner(segment.mapping().owner(OwnerWord::Pid), head).map(|pid| pid as u32)
    }

    /// Whether an owner lives.
    pub fn is_owned(&self) -> bool {
        self.now().is_some_and(|(segment, _)| {
            matches!(Candidate::look(&segment), Ok(OwnerState::Alive)) && !segment.head().retired()
        })
    }

    /// Reads the current state.
    pub fn look(&mut self) {
        let Some((segment, head)) = self.now() else { return };
        let generation = segment.identity().generation;
        let now = (generation, head.term(), head.sequence());
        self.went_back += u64::from(now < self.last);
        self.last = now;
        let word = segment.mapping().owner(OwnerWord::Takeovers);
        let Some(count) = load_owner(word, head) else { return };
        if self.counted.0 != generation {
            self.generations += 1;
            self.counted = (generation, 0);
            let capacity = segment.geometry().capacity();
            let room = capacity.max_nodes * capacity.max_namespaces;
            self.growths += u64::from(self.generations > 1 && room > self.room);
            self.room = room;
        }
        self.takeovers += count.saturating_sub(self.counted.1);
        self.counted.1 = count.max(self.counted.1);
    }

    /// Records that this worker was the owner and was killed.
    pub fn struck(&mut self, number: usize, at: Instant) {
        self.struck = Some((number, at));
    }

    /// Records that this worker has become owner.
    pub fn owned(&mut self, number: usize, at: Instant) {
        if let Some((killed, since)) = self.struck {
            if killed != number && at > since {
                self.times.push((at - since).as_secs_f64() * 1e3);
                self.struck = None;
            }
        }
    }

    /// Takeovers so far.
    pub fn takeovers(&self) -> u64 {
        self.takeovers
    }

    /// Publications so far.
    pub fn publications(&self) -> u64 {
        self.last.2.saturating_sub(self.first)
    }

    /// Adds the observations to the summary.
    pub fn sum_up(&mut self, summary: &mut Summary) {
        self.look();
        summary.seasons += 1;
        summary.takeovers += self.takeovers;
        summary.publications += self.publications();
        summary.generations += self.generations;
        summary.growths += self.growths;
        summary.went_back += self.went_back;
        summary.takeover_times.append(&mut self.times);
    }
}
