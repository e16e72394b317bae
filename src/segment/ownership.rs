//! An ownership: one term, one publisher, in one process.

use std::sync::Arc;

use super::attachment::{Segment, Writer};
use super::error::SegmentError;
use super::lock::byte_of;
use super::wait::wake;
use crate::clock::boottime_ms;
use crate::layout::{OwnerWord, WriteMapping, frame};
use crate::map::{
    ClusterMap, Condition, ConditionRecords, Departure, FrameExtent, NoRoom, NodeHealth, NodeId,
    Reason, Slot, SnapshotError, snapshot,
};
use crate::protocol::{
    Head, PublishError, Publisher, Term, Word, add_owner, raise_event, retire, store_owner,
};
use crate::sync::{AtomicU64, Ordering};

/// Why an ownership ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OwnershipLost {
    /// Another term owns the segment, or it was retired.
    #[error("another process owns the segment, or the segment is retired")]
    Fenced,
    /// A word of the segment was damaged; the segment is now retired.
    #[error("the segment was damaged")]
    Damaged,
}

/// Why a map was not published.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishFailure {
    /// The ownership has ended.
    #[error(transparent)]
    Ended(OwnershipLost),
    /// The map has outgrown the segment; the ownership continues.
    #[error(transparent)]
    NoRoom(NoRoom),
}

/// The ownership of a segment. Dropping it releases the ownership.
#[derive(Debug)]
pub struct Ownership {
    segment: Arc<Segment>,
    /// The second, writable mapping; `None` in private mode.
    writer: Option<Writer>,
    publisher: Publisher,
    /// The extent of the last publication; the publisher has its words. `None`
    /// if there is none, or if the frame no longer holds it.
    published: Option<FrameExtent>,
    /// Continues from the previous owner's.
    table_generation: u64,
    checksums: bool,
    released: bool,
}

impl Ownership {
    /// The ownership of the creator.
    pub(super) fn first(segment: Arc<Segment>) -> Result<Ownership, SegmentError> {
        let writer = match segment.memory() {
            Some(_) => None,
            None => Some(segment.open_writer()?),
        };
        // The head as the creator stored it. If another process has taken over
        // or retired the segment since, the head differs, and the first
        // iteration detects that.
        let head = Head::new(Term::FIRST, segment.head().sequence());
        let mut ownership = Ownership::assemble(segment, writer, Term::FIRST, head);
        ownership.announce(0);
        Ok(ownership)
    }

    /// The ownership of a term that was just entered by takeover.
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
        // An owner that publishes before it asks for the last map must not
        // reuse a number that routers have seen under this term.
        let live = segment.mapping().frame(publisher.next_frame() ^ 1);
        // Relaxed: the number belongs to this owner only, by its tag.
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

    /// Rewrites every owner word under the new term; counters continue.
    fn announce(&mut self, takeovers: u64) {
        for word in OwnerWord::ALL {
            let by = match word {
                OwnerWord::Heartbeat => 1,
                OwnerWord::Takeovers => takeovers,
                _ => 0,
            };
            self.add(word, by);
        }
        // The hosts of the previous owner remain until this one sets its own.
        self.set(OwnerWord::Flags, self.flags() & OwnerWord::HOSTS);
        self.set(OwnerWord::Pid, std::process::id().into());
        self.set(OwnerWord::TurnedMs, boottime_ms());
        self.notify();
    }

    /// The memory that it writes to. A forked child has not inherited it: the
    /// parent is the owner.
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

    /// Sets whether publications carry a checksum of the map, for tests and
    /// soaks.
    pub fn set_checksums(&mut self, on: bool) {
        self.checksums = on;
    }

    /// The map to continue from: the last publication, or an empty map if there
    /// is none or it is damaged.
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
                    // Damaged: any number will do, because the tag makes the
                    // word new. The stored number was taken over when this
                    // ownership began.
                }
                self.published = None;
                ClusterMap::new(geometry.capacity())
            }
        }
    }

    /// One step of the owner's loop: checks that this is still the owner, sets the lock byte
    /// again, which restores a lost lock, and updates the heartbeat.
    ///
    /// # Errors
    /// [`OwnershipLost`].
    pub fn turn(&mut self) -> Result<(), OwnershipLost> {
        self.check()?;
        if let Some(lock) = self.segment.lock() {
            // Locks only determine *when* another process tries; a failure to
            // set one costs at most the ownership, never a map.
            let _ = self.segment.refresh();
            if !self.abdicated() {
                let _ = lock.try_lock(byte_of(self.term()));
            }
        }
        self.look_over();
        self.beat()
    }

    /// Checks whether what it wrote is still there. Damage in the live frame is
    /// repaired by another publication, which checks every word; an owner word
    /// that lost its tag is written again.
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

    /// Updates the heartbeat, and checks whether this is still the owner.
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

    /// A word's tag is newer than the head: the exchange of the head decides
    /// which one is right.
    fn newer_tag(&self) -> OwnershipLost {
        match self.retired() {
            Ok(()) => self.damaged(),
            Err(ended) => ended,
        }
    }

    fn check(&self) -> Result<(), OwnershipLost> {
        self.memory()?;
        // The whole head is compared: a head with this owner's term that this
        // owner did not store is damaged, and taken over like another owner's.
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

    /// Publishes the map if it differs from the last publication; returns the new sequence if it
    /// does.
    ///
    /// # Errors
    /// [`PublishFailure`]; readers continue with the last publication.
    pub fn publish(&mut self, map: &ClusterMap) -> Result<Option<u64>, PublishFailure> {
        // Checked even if nothing has changed.
        self.memory().map_err(PublishFailure::Ended)?;
        let geometry = self.segment.geometry();
        let image = FrameExtent::of(map, geometry).map_err(PublishFailure::NoRoom)?;
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
        // Reset until the publication is complete: the publisher's content no
        // longer is the last publication.
        self.published = None;
        let writer =
            writable(self.writer.as_ref(), &self.segment).map_err(PublishFailure::Ended)?;
        let frame = writer.frame(self.publisher.next_frame());
        match self.publisher.publish(writer.head(), frame, image.spans()) {
            Ok(head) => {
                self.table_generation = generation;
                self.published = Some(image);
                self.add(OwnerWord::Publications, 1);
                wake(self.segment.mapping().head(), None);
                Ok(Some(head.sequence()))
            }
            Err(PublishError::Fenced) => Err(PublishFailure::Ended(OwnershipLost::Fenced)),
            Err(PublishError::Corrupt { .. } | PublishError::Exhausted) => {
                Err(PublishFailure::Ended(self.damaged()))
            }
        }
    }

    /// The last published table generation, or the one to continue from.
    pub fn table_generation(&self) -> u64 {
        self.table_generation
    }

    /// Leaves the segment as an owner that dies while publishing `map` would: with the first
    /// `words` words of it, and the old head. Returns the number of words of the whole
    /// publication. For tests and soaks, whose processes end right afterwards.
    ///
    /// # Errors
    /// As [`publish`](Self::publish).
    #[doc(hidden)]
    pub fn publish_part(
        &mut self,
        map: &ClusterMap,
        mut words: usize,
    ) -> Result<usize, PublishFailure> {
        let geometry = self.segment.geometry();
        let image = FrameExtent::of(map, geometry).map_err(PublishFailure::NoRoom)?;
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
        let writer =
            writable(self.writer.as_ref(), &self.segment).map_err(PublishFailure::Ended)?;
        let frame = writer.frame(self.publisher.next_frame());
        match self.publisher.write(writer.head(), frame, &reach) {
            Ok(_) => Ok(whole),
            Err(PublishError::Fenced) => Err(PublishFailure::Ended(OwnershipLost::Fenced)),
            Err(_) => Err(PublishFailure::Ended(self.damaged())),
        }
    }

    /// Sets an owner word.
    pub fn set(&self, word: OwnerWord, value: u64) {
        // A newer tag there means fenced or damaged, which the next iteration
        // detects.
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

    /// Records a node's failures in its health record; an unchanged record is not written again.
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

    /// Records for how many passes each condition has lasted.
    ///
    /// # Errors
    /// [`OwnershipLost`].
    pub fn set_conditions(&self, conditions: &ConditionRecords) -> Result<(), OwnershipLost> {
        let payloads = Condition::ALL.map(|condition| conditions.get(condition).payload());
        self.put(self.memory()?.conditions(), payloads)
    }

    /// Records the reason for something; an empty text clears it.
    ///
    /// # Errors
    /// [`OwnershipLost`].
    pub fn set_reason(&self, reason: Reason, text: &str) -> Result<(), OwnershipLost> {
        let payloads = reason.payloads(text, boottime_ms());
        self.put(self.memory()?.reason(reason as usize), payloads)
    }

    /// Records the nodes that left.
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
            // Relaxed: the record's checksum shows which words belong together.
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

    /// Whether this owner has abdicated, see [`abdicate`](Self::abdicate).
    pub fn abdicated(&self) -> bool {
        self.flags() & OwnerWord::ABDICATED != 0
    }

    /// Gives up ownership to a process that can reach the cluster, and
    /// continues until one takes over, which may be at once. Returns whether it
    /// did: in private mode there is no other process.
    pub fn abdicate(&mut self) -> bool {
        if self.segment.lock().is_none() || self.abdicated() || self.memory().is_err() {
            return false;
        }
        self.set(OwnerWord::Flags, (self.flags() & OwnerWord::HOSTS) | OwnerWord::ABDICATED);
        self.free_byte();
        self.notify();
        true
    }

    /// Withdraws an abdication: the cluster can be reached again.
    pub fn reclaim(&mut self) {
        if !self.abdicated() {
            return;
        }
        let byte = byte_of(self.term());
        if self.segment.lock().is_none_or(|lock| lock.try_lock(byte).unwrap_or(false)) {
            self.set(OwnerWord::Flags, self.flags() & OwnerWord::HOSTS);
        }
    }

    /// Offers ownership to a process that can do better, or withdraws the
    /// offer; returns whether that is a change. The owner continues, and counts
    /// as alive, until one takes over.
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

    /// Records the owner's configured hosts, for processes that check whether
    /// the map is of the cluster of their own hosts.
    pub fn set_hosts(&self, hash: u32) {
        let hosts = u64::from(hash) << OwnerWord::HOSTS_SHIFT;
        self.set(OwnerWord::Flags, (self.flags() & !OwnerWord::HOSTS) | hosts);
    }

    /// Releases the ownership: the next candidate takes over at once.
    pub fn release(mut self) {
        self.end();
    }

    /// Ends the ownership after it was lost or the segment was retired: unlocks
    /// its own term's byte, and touches nothing of a successor's. If the
    /// segment is retired, all waiting processes are woken.
    pub fn fenced(mut self) {
        self.released = true;
        self.free_byte();
        if self.segment.head().retired() {
            self.notify();
        }
    }

    /// Retires the segment because it needs a successor. No process is woken yet:
    /// [`fenced`](Self::fenced) does that later, when there is something to find.
    ///
    /// # Errors
    /// [`OwnershipLost::Fenced`] if this is no longer the owner.
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
        // In a child the byte is the parent's.
        if let Some(lock) = self.segment.lock().filter(|_| self.memory().is_ok()) {
            lock.unlock(byte_of(self.term()));
        }
        self.segment.lose_private_owner();
    }

    /// Increments the event word and wakes all processes that wait for it.
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
