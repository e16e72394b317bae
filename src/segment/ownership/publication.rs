//! Publishing maps, and continuing from the last one.

use super::{Ownership, OwnershipLost, writable};
use crate::layout::OwnerWord;
use crate::map::{ClusterMap, FrameExtent, NoRoom, snapshot};
use crate::protocol::PublishError;
use crate::segment::wait::wake;

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

impl Ownership {
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
            // If it is damaged, any table generation will do, because the tag makes
            // the word new. The stored one was taken over when this ownership began.
            Err(_) => {
                self.published = None;
                ClusterMap::new(geometry.capacity())
            }
        }
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

    /// Sets whether publications carry a checksum of the map, for tests and
    /// soaks.
    pub fn set_checksums(&mut self, on: bool) {
        self.checksums = on;
    }
}
