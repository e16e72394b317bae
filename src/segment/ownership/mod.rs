//! An ownership: one term, one publisher, in one process.

mod handover;
mod publication;
mod records;
mod times;

use std::sync::Arc;

use super::attachment::Segment;
use super::error::SegmentError;
use super::lock::byte_of;
use super::wait::wake;
use crate::clock::boottime_ms;
use crate::layout::{OwnerWord, WriteMapping, frame};
use crate::map::FrameExtent;
use crate::protocol::{Head, Publisher, Term, Word, add_owner, raise_event, retire, store_owner};
use crate::sync::{AtomicU64, Ordering};
pub use publication::PublishFailure;

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

/// The ownership of a segment. Dropping it releases the ownership.
#[derive(Debug)]
pub struct Ownership {
    segment: Arc<Segment>,
    /// The second, writable mapping; `None` in private mode.
    writer: Option<WriteMapping>,
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
        writer: WriteMapping,
        term: Term,
        head: Head,
    ) -> Ownership {
        let mut ownership = Ownership::assemble(segment, Some(writer), term, head);
        ownership.announce(1);
        ownership
    }

    fn assemble(
        segment: Arc<Segment>,
        writer: Option<WriteMapping>,
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
        // Last, so that a reader that finds these has found the others, too.
        self.carry_times_over();
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
        let Ok(memory) = self.memory() else { return };
        for word in memory.owner_words() {
            if tag_of(word) != self.term().get() {
                let _ = add_owner(word, self.term(), 0);
            }
        }
    }

    /// Updates the heartbeat, and checks whether this is still the owner.
    ///
    /// # Errors
    /// [`OwnershipLost`].
    pub fn beat(&mut self) -> Result<(), OwnershipLost> {
        self.check()?;
        if self.segment.mapping().owner_words().any(|word| tag_of(word) > self.term().get()) {
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

    fn flags(&self) -> u64 {
        let word = self.segment.mapping().owner(OwnerWord::Flags);
        crate::protocol::load_owner(word, self.segment.head()).unwrap_or(0)
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

fn tag_of(word: &AtomicU64) -> u16 {
    // Relaxed: owner words are independent.
    Word::from_bits(word.load(Ordering::Relaxed)).tag()
}

fn writable<'a>(
    writer: Option<&'a WriteMapping>,
    segment: &'a Segment,
) -> Result<&'a WriteMapping, OwnershipLost> {
    let memory = writer.or_else(|| segment.memory());
    let memory = memory.expect("a shared ownership has a writer, private memory is one");
    if memory.is_there() { Ok(memory) } else { Err(OwnershipLost::Fenced) }
}
