//! Creating a segment completely, or not at all.

use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::attachment::Segment;
use super::backend::{Located, UnlinkedSegment};
use super::candidate::{Candidate, OwnerState};
use super::error::SegmentError;
use super::lock::LockFile;
use super::name::Place;
use super::ownership::Ownership;
use super::registry::registry;
use super::removal::{retire_and_unlink, unlink_with_lock};
use crate::layout::{Capacity, Geometry, Header, Identity, WriteMapping};
use crate::map::{ClusterMap, FrameExtent};
use crate::protocol::{Head, Publisher, Term};
use crate::random::rng;
use crate::sync::Ordering;

/// The result of creating a segment.
#[derive(Debug)]
pub enum CreateOutcome {
    /// The segment exists, and this process owns it.
    Owner(Box<Ownership>),
    /// Another process was faster: its segment has the name, or it has already removed this one.
    Exists,
}

/// What a new segment continues from.
#[derive(Clone, Copy, Debug)]
pub struct Carryover<'a> {
    /// The last sequence of the previous segment.
    pub sequence: u64,
    /// Its table generation.
    pub table_generation: u64,
    /// The map published in it.
    pub map: &'a ClusterMap,
}

/// Creates the segment of that place and generation; its creator is its owner in the first term.
///
/// # Errors
/// [`SegmentError`]; nothing is left behind then.
pub fn create(
    place: &Place,
    generation: u64,
    capacity: Capacity,
    inherited: Option<Carryover<'_>>,
) -> Result<CreateOutcome, SegmentError> {
    SegmentBuilder::build(place, generation, capacity, inherited)?.link()
}

/// A complete segment that has no name yet: no process can see it.
///
/// Dropping it removes it; a process that dies leaves at most a lock file that
/// no process holds.
#[derive(Debug)]
pub struct SegmentBuilder {
    unlinked: Box<dyn UnlinkedSegment>,
    /// `None` once the segment owns it.
    lock: Option<Arc<LockFile>>,
}

impl SegmentBuilder {
    /// Builds the segment.
    ///
    /// # Errors
    /// [`SegmentError`]; nothing is left behind then.
    pub fn build(
        place: &Place,
        generation: u64,
        capacity: Capacity,
        inherited: Option<Carryover<'_>>,
    ) -> Result<SegmentBuilder, SegmentError> {
        capacity.check()?;
        let geometry = Geometry::new(capacity)?;
        check_memory(&geometry)?;
        let store = place.backend.store();
        let identity = Identity {
            lock_directory: store.lock_directory(&place.directory)?,
            ..identity(place.key, generation)
        };
        let path = store.lock_path(&place.directory, place.key, identity.segment_id);
        // Registered before another thread of this process can find it: if it
        // were opened and closed a second time, its locks would be lost.
        let mut registry = registry();
        let lock = LockFile::create(path.clone(), place.mode, &place.owners)
            .map(Arc::new)
            .map_err(SegmentError::no_file("make the lock file", path, place, &geometry))?;
        registry.expect(&lock);
        drop(registry);
        // From here on the lock file is removed if something fails.
        let unlinked = match store.unlinked(place, identity, &geometry) {
            Ok(unlinked) => unlinked,
            Err(error) => {
                let _ = lock.remove();
                super::registry::registry().close(lock);
                return Err(error);
            }
        };
        let mut prepared = SegmentBuilder { unlinked, lock: Some(lock) };
        let memory = prepared.unlinked.memory()?;
        memory.put_header(&Header::new(identity, &geometry));
        let filled = fill(&memory, inherited.as_ref());
        filled.map_err(SegmentError::io("fill a segment in", &place.directory))?;
        prepared.unlinked.filled(memory)?;
        Ok(prepared)
    }

    /// Links the segment under its name, unless another segment has it.
    ///
    /// # Errors
    /// [`SegmentError`].
    pub fn link(mut self) -> Result<CreateOutcome, SegmentError> {
        let Some(parts) = self.unlinked.link(&vacate)? else { return Ok(CreateOutcome::Exists) };
        let lock = self.lock.take().expect("taken only here");
        let segment = Segment::created(parts, lock)?;
        match Ownership::first(segment.clone()) {
            Ok(ownership) => Ok(CreateOutcome::Owner(Box::new(ownership))),
            Err(error) => {
                // It never had an owner, so no process needs to be notified that
                // it is gone.
                let _ = unlink_with_lock(&segment);
                // Another process removed the name before this one could open
                // the segment for writing by it.
                if error.is_absent() { Ok(CreateOutcome::Exists) } else { Err(error) }
            }
        }
    }
}

impl Drop for SegmentBuilder {
    fn drop(&mut self) {
        if let Some(lock) = self.lock.take() {
            let _ = lock.remove();
            // Not while another thread may be about to open it.
            registry().close(lock);
        }
    }
}

/// A segment in this process's private memory, and its ownership. Publications continue from
/// `sequence`, which is 0 for the first such segment.
///
/// # Errors
/// [`SegmentError`].
pub fn private(capacity: Capacity, sequence: u64) -> Result<Ownership, SegmentError> {
    capacity.check()?;
    let geometry = Geometry::new(capacity)?;
    check_memory(&geometry)?;
    let memory = WriteMapping::private(geometry)
        .map_err(SegmentError::io("reserve memory for", "the private map"))?;
    // Relaxed: no other thread has seen this memory yet.
    memory.head().store(Head::new(Term::FIRST, sequence).bits(), Ordering::Relaxed);
    Ownership::first(Arc::new(Segment::of_memory(identity(0, 1), memory)))
}

fn identity(key: u32, generation: u64) -> Identity {
    #[expect(clippy::disallowed_methods, reason = "shown, never waited for")]
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Identity {
        key,
        generation,
        segment_id: rng().u64(..),
        created_ns: since.as_nanos() as u64,
        creator_pid: std::process::id(),
        lock_directory: 0,
    }
}

/// Takes the name from a segment that is no longer of use, so that the one of
/// generation `next` can have it; returns whether the name is free now.
///
/// A retired segment keeps its lock file, by which it is found until its
/// successor exists. A segment of a higher generation, retired or not, has a
/// newer map.
fn vacate(place: &Place, located: Located<'_>, next: u64) -> Result<bool, SegmentError> {
    let segment = Segment::attach_to(place, located)?;
    if segment.identity().generation >= next {
        return Ok(false);
    }
    if segment.head().retired() {
        segment.unlink()?;
        return Ok(true);
    }
    // It was created too late, beside a newer one without a name. Its owner
    // leaves it; if it has none, it is not in use.
    if matches!(Candidate::look(&segment), Ok(OwnerState::Vacant)) {
        retire_and_unlink(&segment)?;
        return Ok(true);
    }
    Ok(false)
}

/// Writes the head, and the initial map of the segment, to memory that no other
/// process has seen.
fn fill(memory: &WriteMapping, inherited: Option<&Carryover<'_>>) -> io::Result<()> {
    let Some(inherited) = inherited else {
        // Relaxed: the link that follows makes it visible.
        memory.head().store(Head::new(Term::FIRST, 0).bits(), Ordering::Relaxed);
        return Ok(());
    };
    // No publisher gets half-way to the last sequence: a larger one was
    // damaged. The generation is newer, so the sequence may start again.
    let damaged = inherited.sequence > Head::LAST_SEQUENCE / 2;
    let sequence = if damaged { 1 } else { inherited.sequence };
    let head = Head::new(Term::FIRST, sequence.saturating_sub(1));
    memory.head().store(head.bits(), Ordering::Relaxed);
    let image = FrameExtent::of(inherited.map, memory.geometry()).map_err(io::Error::other)?;
    let mut publisher = Publisher::new(Term::FIRST, head);
    image.put(inherited.map, memory.geometry(), &mut publisher);
    // One checksum is cheap, and readers that verify checksums can then verify
    // every publication.
    image.seal(inherited.table_generation + 1, true, &mut publisher);
    let frame = memory.frame(publisher.next_frame());
    publisher.publish(memory.head(), frame, image.spans()).map_err(|error| {
        io::Error::other(format!("another process changed a new segment: {error}"))
    })?;
    Ok(())
}

/// Refuses capacities for which this process lacks the memory: an owner holds
/// the words of both frames of its segment, and copies of them.
fn check_memory(geometry: &Geometry) -> Result<(), SegmentError> {
    let words = geometry.frame_words().saturating_mul(4);
    let reserved = Vec::<u64>::new().try_reserve_exact(words);
    let short = |_| io::Error::from(io::ErrorKind::OutOfMemory);
    reserved.map_err(short).map_err(SegmentError::io("reserve memory for", "a new segment"))
}
