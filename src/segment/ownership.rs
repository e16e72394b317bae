//! An ownership: one term, one publisher, in one process.

use std::sync::Arc;

use super::error::SegmentError;
use super::lock::byte_of;
use super::segment::{Segment, Writer};
use super::wait::wake;
use crate::clock::boottime_ms;
use crate::layout::{OwnerWord, WriteMapping, frame};
use crate::map::{
    ClusterMap, Departure, FrameExtent, Matter, Matters, NoRoom, NodeHealth, NodeId, Reason, Slot,
    SnapshotError, snapshot,
};
use crate::protocol::{
    Head, PublishError, Publisher, Term, Word, add_owner, raise_event, retire, store_owner,
};
use crate::sync::{AtomicU64, Ordering};

/// Why an ownership ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnershipLost {
    /// Another term owns the segment, or somebody retired it.
    #[error("another process owns the segment, or the segment is retired")]
    Fenced,
    /// A word of the segment was damaged; it is retired now.
    #[error("the segment was damaged")]
    Damaged,
}

/// Why a map was not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPublished {
    /// The ownership has ended.
    #[error(transparent)]
    Ended(OwnershipLost),
    /// The map has outgrown the segment; the ownership goes on.
    #[error(transparent)]
    NoRoom(NoRoom),
}

/// The ownership of a segment. Dropped, it gives the ownership away.
#[derive(Debug)]
pub struct Ownership {
    segment: Arc<Segment>,
    /// The second, writable mapping; `None` in private mode.
    writer: Option<Writer>,
    publisher: Publisher,
    /// How far what was published last reaches; the publisher has its words.
    /// `None` if that is nothing, or not what stands in the frame.
    published: Option<FrameExtent>,
    /// Continues from the owner before.
    table_generation: u64,
    checksums: bool,
    released: bool,
}

impl Ownership {
    /// The creator's.
    pub(super) fn first(segment: Arc<Segment>) -> Result<Ownership, SegmentError> {
        let writer = match segment.memory() {
            Some(_) => None,
            None => Some(segment.open_writer()?),
        };
        // As the creator left it. If somebody has taken over or retired it by
        // now, this is not the head any more, and the first turn finds out.
        let head = Head::new(Term::FIRST, segment.head().sequence());
        let mut ownership = Ownership::assemble(segment, writer, Term::FIRST, head);
        ownership.announce(0);
        Ok(ownership)
    }

    /// The ownership of a term just entered by takeover.
    pub(super) fn enter(
        segment: Arc<Segment>,
        writer: Writer,
        term: Term,
        head: Head,
    ) -> Ownership {
        let mut ownership = Ownership::assemble(segment, Some(writer), term, head);
        ownership.announce(1);
        ownership
    }

    fn assemble(
        segment: Arc<Segment>,
        writer: Option<Writer>,
        term: Term,
        head: Head,
    ) -> Ownership {
        let publisher = Publisher::new(term, head);
        // Whoever publishes before it asks for the last map must not use a number
        // again which the routers have seen under this term.
        let live = segment.mapping().frame(publisher.next_frame() ^ 1);
        // Relaxed: the number is this owner's alone, by its tag.
        let word = Word::from_bits(live[frame::TABLE_GENERATION].load(Ordering::Relaxed));
        let table_generation = word.payload();
        Ownership {
            segment,
            writer,
            publisher,
            published: None,
            table_generation,
            checksums: false,
            released: false,
        }
    }

    /// Rewrites every owner word under the new term, counters going on.
    fn announce(&mut self, takeovers: u64) {
        for word in OwnerWord::ALL {
            let by = match word {
                OwnerWord::Heartbeat => 1,
                OwnerWord::Takeovers => takeovers,
                _ => 0,
            };
            self.add(word, by);
        }
        // What the owner before was given stands until this one says what it was.
        self.set(OwnerWord::Flags, self.flags() & OwnerWord::HOSTS);
        self.set(OwnerWord::Pid, std::process::id().into());
        self.set(OwnerWord::TurnedMs, boottime_ms());
        self.notify();
    }

    /// Where it writes. A forked child has inherited no such memory: there
    /// somebody else owns, the parent.
    fn memory(&self) -> Result<&WriteMapping, OwnershipLost> {
        writable(self.writer.as_ref(), &self.segment)
    }

    /// The segment that is owned.
    pub fn segment(&self) -> &Arc<Segment> {
        &self.segment
    }

    /// The term.
    pub fn term(&self) -> Term {
        self.publisher.term()
    }

    /// Whether publications carry a checksum over the map, for tests and soaks.
    pub fn set_checksums(&mut self, on: bool) {
        self.checksums = on;
    }

    /// The map to continue from: what was published last, or an empty one if
    /// that is nothing or damaged.
    pub fn last_map(&mut self) -> ClusterMap {
        let geometry = *self.segment.geometry();
        match snapshot(self.segment.mapping()) {
            Ok(last) => {
                self.table_generation = last.table_generation;
                let image = FrameExtent::of(&last.map, &geometry).expect("it was in a frame");
                image.put(&last.map, &geometry, &mut self.publisher);
                let checksum = last.intact.is_some();
                image.seal(last.table_generation, checksum, &mut self.publisher);
                self.published = Some(image);
                last.map
            }
            Err(error) => {
                if error != SnapshotError::Empty {
                    // Damaged: any number will do, the tag makes the word new. The
                    // one that stands there was taken over when this began.
                }
                self.published = None;
                ClusterMap::new(geometry.capacity())
            }
        }
    }

    /// A turn of the owner's loop: still the owner? Then the lock byte is set
    /// again, which heals a lost one, and the heart beats.
    ///
    /// # Errors
    /// [`OwnershipLost`].
    pub fn turn(&mut self) -> Result<(), OwnershipLost> {
        self.check()?;
        if let Some(lock) = self.segment.lock() {
            // Locks are about *when* somebody else tries; failing to set one
            // costs at most the ownership, never a map.
            let _ = self.segment.refresh();
            if !self.abdicated() {
                let _ = lock.try_lock(byte_of(self.term()));
            }
        }
        self.look_over();
        self.beat()
    }

    /// Looks whether what it wrote still stands. What is damaged in the live
    /// frame is mended by another publication, at which every word is looked at
    /// again; an owner word that lost its tag gets it back.
    fn look_over(&mut self) {
        let live = self.segment.mapping().frame(self.publisher.next_frame() ^ 1);
        if self.published.as_ref().is_some_and(|image| !image.stands_in(live, &self.publisher)) {
            self.published = None;
            self.publisher.forget();
        }
        for word in OwnerWord::ALL {
            if self.tag_of(word) != self.term().get() {
                self.add(word, 0);
            }
        }
    }

    fn tag_of(&self, word: OwnerWord) -> u16 {
        Word::from_bits(self.segment.mapping().owner(word).load(Ordering::Relaxed)).tag()
    }

    /// A sign of life, and whether this is still the owner.
    ///
    /// # Errors
    /// [`OwnershipLost`].
    pub fn beat(&mut self) -> Result<(), OwnershipLost> {
        self.check()?;
        if OwnerWord::ALL.iter().any(|&word| self.tag_of(word) > self.term().get()) {
            return Err(self.newer_tag());
        }
        self.add(OwnerWord::Heartbeat, 1);
        self.set(OwnerWord::TurnedMs, boottime_ms());
        Ok(())
    }

    /// A word's tag is newer than the head: the exchange tells who is right.
    fn newer_tag(&self) -> OwnershipLost {
        match self.retired() {
            Ok(()) => self.damaged(),
            Err(ended) => ended,
        }
    }

    fn check(&self) -> Result<(), OwnershipLost> {
        self.memory()?;
        // The whole head: one of its own term that it did not leave so is
        // damaged, and taken over like a foreign one.
        if self.segment.head() == self.publisher.head() {
            Ok(())
        } else {
            Err(OwnershipLost::Fenced)
        }
    }

    fn damaged(&self) -> OwnershipLost {
        self.notify();
        OwnershipLost::Damaged
    }

    /// Publishes the map if it differs from what was published last; the new
    /// sequence if it did.
    ///
    /// # Errors
    /// [`NotPublished`]; readers then go on with what was published last.
    pub fn publish(&mut self, map: &ClusterMap) -> Result<Option<u64>, NotPublished> {
        // Also where nothing has changed.
        self.memory().map_err(NotPublished::Ended)?;
        let geometry = self.segment.geometry();
        let image = FrameExtent::of(map, geometry).map_err(NotPublished::NoRoom)?;
        let changes = image.put(map, geometry, &mut self.publisher);
        let generation = match &self.published {
            Some(last) if !changes.tables && image.same_tables(last) => {
                if !changes.arrays {
                    return Ok(None);
                }
                self.table_generation
            }
            _ => self.table_generation + 1,
        };
        image.seal(generation, self.checksums, &mut self.publisher);
        // Until it is: what was put there is no longer what was published.
        self.published = None;
        let writer = writable(self.writer.as_ref(), &self.segment).map_err(NotPublished::Ended)?;
        let frame = writer.frame(self.publisher.next_frame());
        match self.publisher.publish(writer.head(), frame, image.spans()) {
            Ok(head) => {
                self.table_generation = generation;
                self.published = Some(image);
                self.add(OwnerWord::Publications, 1);
                wake(self.segment.mapping().head(), None);
                Ok(Some(head.sequence()))
            }
            Err(PublishError::Fenced) => Err(NotPublished::Ended(OwnershipLost::Fenced)),
            Err(PublishError::Corrupt { .. } | PublishError::Exhausted) => {
                Err(NotPublished::Ended(self.damaged()))
            }
        }
    }

    /// The table generation published last, or continued from.
    pub fn table_generation(&self) -> u64 {
        self.table_generation
    }

    /// What an owner that dies in the middle of publishing `map` leaves: the
    /// first `words` words of it, and the head as it was. Tells how many words
    /// the whole has. For tests and soaks, whose processes end right after.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    #[doc(hidden)]
    pub fn publish_part(
        &mut self,
        map: &ClusterMap,
        mut words: usize,
    ) -> Result<usize, NotPublished> {
        let geometry = self.segment.geometry();
        let image = FrameExtent::of(map, geometry).map_err(NotPublished::NoRoom)?;
        image.put(map, geometry, &mut self.publisher);
        image.seal(self.table_generation + 1, self.checksums, &mut self.publisher);
        self.published = None;
        let whole = image.spans().iter().map(ExactSizeIterator::len).sum();
        let mut reach = image.spans().to_vec();
        for span in &mut reach {
            let part = words.min(span.len());
            span.end = span.start + part;
            words -= part;
        }
        let writer = writable(self.writer.as_ref(), &self.segment).map_err(NotPublished::Ended)?;
        let frame = writer.frame(self.publisher.next_frame());
        match self.publisher.write(writer.head(), frame, &reach) {
            Ok(_) => Ok(whole),
            Err(PublishError::Fenced) => Err(NotPublished::Ended(OwnershipLost::Fenced)),
            Err(_) => Err(NotPublished::Ended(self.damaged())),
        }
    }

    /// Sets an owner word.
    pub fn set(&self, word: OwnerWord, value: u64) {
        // A newer tag there means fenced or damaged, which the next turn finds.
        if let Ok(memory) = self.memory() {
            let _ = store_owner(memory.owner(word), self.term(), value);
        }
    }

    /// Adds to an owner word.
    pub fn add(&self, word: OwnerWord, by: u64) {
        if let Ok(memory) = self.memory() {
            let _ = add_owner(memory.owner(word), self.term(), by);
        }
    }

    /// Puts down how a node fails, beside the map; what stands there already is
    /// not written again.
    ///
    /// # Errors
    /// [`OwnershipLost`].
    pub fn set_node_health(
        &self,
        slot: Slot,
        id: NodeId,
        health: &NodeHealth,
    ) -> Result<(), OwnershipLost> {
        self.put(self.memory()?.node_health(slot.index()), health.payloads(id))
    }

    /// Puts down for how many passes each matter has lasted.
    ///
    /// # Errors
    /// [`OwnershipLost`].
    pub fn set_matters(&self, matters: &Matters) -> Result<(), OwnershipLost> {
        let payloads = Matter::ALL.map(|matter| matters.get(matter).payload());
        self.put(self.memory()?.matters(), payloads)
    }

    /// Puts down why something is as it is; an empty text = for no reason.
    ///
    /// # Errors
    /// [`OwnershipLost`].
    pub fn set_reason(&self, reason: Reason, text: &str) -> Result<(), OwnershipLost> {
        let payloads = reason.payloads(text, boottime_ms());
        self.put(self.memory()?.reason(reason as usize), payloads)
    }

    /// Puts down which nodes left.
    ///
    /// # Errors
    /// [`OwnershipLost`].
    pub fn set_departures(&self, departures: &[Departure]) -> Result<(), OwnershipLost> {
        for (index, departure) in departures.iter().enumerate() {
            self.put(self.memory()?.departure(index), departure.payloads())?;
        }
        Ok(())
    }

    fn put(
        &self,
        record: &[AtomicU64],
        payloads: impl IntoIterator<Item = u64>,
    ) -> Result<(), OwnershipLost> {
        for (word, payload) in record.iter().zip(payloads) {
            // Relaxed: the record's checksum tells what belongs together.
            let found = Word::from_bits(word.load(Ordering::Relaxed));
            if found != Word::new(self.term(), payload)
                && store_owner(word, self.term(), payload).is_err()
            {
                return Err(self.newer_tag());
            }
        }
        Ok(())
    }

    fn flags(&self) -> u64 {
        let word = self.segment.mapping().owner(OwnerWord::Flags);
        crate::protocol::load_owner(word, self.segment.head()).unwrap_or(0)
    }

    /// Whether this owner gives the ownership away, see
    /// [`abdicate`](Self::abdicate).
    pub fn abdicated(&self) -> bool {
        self.flags() & OwnerWord::ABDICATED != 0
    }

    /// Gives the ownership away to whoever can reach the cluster, and goes on
    /// until someone takes it, which may be at once. Whether it did: in private
    /// mode there is nobody to take it.
    pub fn abdicate(&mut self) -> bool {
        if self.segment.lock().is_none() || self.abdicated() || self.memory().is_err() {
            return false;
        }
        self.set(OwnerWord::Flags, (self.flags() & OwnerWord::HOSTS) | OwnerWord::ABDICATED);
        self.free_byte();
        self.notify();
        true
    }

    /// Takes an abdication back: the cluster can be reached again.
    pub fn reclaim(&mut self) {
        if !self.abdicated() {
            return;
        }
        let byte = byte_of(self.term());
        if self.segment.lock().is_none_or(|lock| lock.try_lock(byte).unwrap_or(false)) {
            self.set(OwnerWord::Flags, self.flags() & OwnerWord::HOSTS);
        }
    }

    /// Offers the ownership to a process that can do better, or no longer;
    /// whether that is news. The owner goes on, and counts as living, until one
    /// takes it.
    pub fn offer(&self, offers: bool) -> bool {
        let before = self.flags();
        let after = if offers { before | OwnerWord::OFFERED } else { before & !OwnerWord::OFFERED };
        if before == after {
            return false;
        }
        self.set(OwnerWord::Flags, after);
        self.notify();
        true
    }

    /// Notes which hosts the owner was given, for processes that want to know
    /// whether the map is of the cluster that they are given.
    pub fn set_hosts(&self, hash: u32) {
        let hosts = u64::from(hash) << OwnerWord::HOSTS_SHIFT;
        self.set(OwnerWord::Flags, (self.flags() & !OwnerWord::HOSTS) | hosts);
    }

    /// Gives the ownership up: the next candidate takes it at once.
    pub fn release(mut self) {
        self.end();
    }

    /// Ends after the ownership was lost or the segment retired: frees the own
    /// term's byte, and touches nothing of a successor's. Of a retired segment
    /// everybody is told.
    pub fn fenced(mut self) {
        self.released = true;
        self.free_byte();
        if self.segment.head().retired() {
            self.notify();
        }
    }

    /// Retires the segment, for a successor is wanted. Nobody is woken yet: that
    /// follows with [`fenced`](Self::fenced), when there is something to find.
    ///
    /// # Errors
    /// [`OwnershipLost::Fenced`] if it was not the owner's to retire any more.
    pub fn retire(&mut self) -> Result<(), OwnershipLost> {
        self.retired()
    }

    fn retired(&self) -> Result<(), OwnershipLost> {
        let retired = retire(self.memory()?.head(), self.publisher.head());
        retired.map(|_| ()).map_err(|_| OwnershipLost::Fenced)
    }

    fn end(&mut self) {
        if !self.released {
            self.released = true;
            self.set(OwnerWord::Flags, (self.flags() & OwnerWord::HOSTS) | OwnerWord::RELEASED);
            self.free_byte();
            self.notify();
        }
    }

    fn free_byte(&self) {
        // In a child it is the parent's.
        if let Some(lock) = self.segment.lock().filter(|_| self.memory().is_ok()) {
            lock.unlock(byte_of(self.term()));
        }
        self.segment.lose_private_owner();
    }

    /// Raises the event and wakes everybody who waits for one.
    fn notify(&self) {
        let Ok(mapping) = self.memory() else { return };
        raise_event(mapping.event(), self.segment.head());
        wake(mapping.event(), None);
        wake(mapping.head(), None);
    }
}

impl Drop for Ownership {
    fn drop(&mut self) {
        self.end();
    }
}

fn writable<'a>(
    writer: Option<&'a Writer>,
    segment: &'a Segment,
) -> Result<&'a WriteMapping, OwnershipLost> {
    let memory = writer.map(|writer| &**writer).or_else(|| segment.memory());
    let memory = memory.expect("a shared ownership has a writer, private memory is one");
    if memory.is_there() { Ok(memory) } else { Err(OwnershipLost::Fenced) }
}
