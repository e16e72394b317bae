//! The place of every word, computed from the capacities alone.

use core::ops::Range;

use super::capacity::Capacity;

/// The size of a word in bytes.
pub const WORD: usize = 8;
/// Replicas that one routing word holds: its payload has 48 bits, a slot 16.
pub const REPLICAS_PER_WORD: usize = 3;
/// Bytes of text or of an address that the payload of one word holds.
pub const BYTES_PER_WORD: usize = 6;
/// Byte at which the first frame starts: a page, so that frames are cut off
/// cleanly from the parts that change with every turn.
const FRAMES: usize = 4096;
/// Words per cache line (counted as 128 bytes, because lines are fetched in
/// pairs).
const LINE: usize = 16;

/// Words at the front of every frame.
pub mod frame {
    use super::BYTES_PER_WORD;

    /// Raised whenever a node or namespace record changes.
    pub const TABLE_GENERATION: usize = 0;
    /// `slots:16 | namespaces:16`.
    pub const COUNTS: usize = 1;
    /// Checksum over the other words, 0 = none.
    pub const CHECKSUM: usize = 2;
    /// The length of the cluster's name, 0 = none; its bytes follow.
    pub const CLUSTER_NAME: usize = 3;
    /// The number of words before the node records.
    pub const PREFIX: usize = 16;

    /// A node record: `incarnation:32 | id_len:8 | family:8`.
    pub const NODE: usize = 0;
    /// The node's id, 6 bytes per word.
    pub const NODE_ID: usize = 1;
    /// The node's IP address (16 bytes) and, for an IPv6 address, its scope (4
    /// bytes).
    pub const NODE_IP: usize = 5;
    /// `port:16 | tls_len:8`.
    pub const NODE_PORT: usize = 9;
    /// The build of the node's server, two words: `present:1 | major:16 |
    /// minor:16`, `patch:16 | build:16`.
    pub const NODE_BUILD: usize = 10;
    /// The node's TLS name.
    pub const NODE_TLS: usize = 12;
    /// The number of words of a node record.
    pub const NODE_WORDS: usize = 56;

    /// A namespace record: `name_len:8 | rf:8 | strong_consistency:1`.
    pub const NAMESPACE: usize = 0;
    /// The namespace's name.
    pub const NAMESPACE_NAME: usize = 1;
    /// The number of words before the racks, one word per slot: `present:1 |
    /// rack:32`.
    pub const NAMESPACE_WORDS: usize = 8;

    /// The number of words of a slot's health record, which lies behind both
    /// frames.
    pub const HEALTH_WORDS: usize = 32;

    static_assertions::const_assert!(CLUSTER_NAME + 1 + 64usize.div_ceil(BYTES_PER_WORD) <= PREFIX);
    static_assertions::const_assert!(NODE_ID + 19usize.div_ceil(BYTES_PER_WORD) <= NODE_IP);
    static_assertions::const_assert!(NODE_IP + 20usize.div_ceil(BYTES_PER_WORD) <= NODE_PORT);
    static_assertions::const_assert!(NODE_BUILD + 2 <= NODE_TLS);
    static_assertions::const_assert!(NODE_TLS + 253usize.div_ceil(BYTES_PER_WORD) <= NODE_WORDS);
    static_assertions::const_assert!(
        NAMESPACE_NAME + 31usize.div_ceil(BYTES_PER_WORD) <= NAMESPACE_WORDS
    );
}

/// The owner's notes about itself and its passes, behind the node health
/// records. Like those, they are part of no publication.
pub mod notes {
    /// Words that count the passes for which something has lasted, one per
    /// condition; the rest is spare.
    pub const CONDITIONS: usize = 32;
    /// The number of texts that give a reason.
    pub const REASONS: usize = 2;
    /// The number of words of such a text.
    pub const REASON_WORDS: usize = 64;
    /// The number of departed nodes on record, the latest ones.
    pub const DEPARTURES: usize = 16;
    /// The number of words of a departure record.
    pub const DEPARTURE_WORDS: usize = 32;
    /// The number of words of all notes.
    pub const WORDS: usize = CONDITIONS + REASONS * REASON_WORDS + DEPARTURES * DEPARTURE_WORDS;
}

/// The requested sizes can't be addressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a segment for {} nodes, {} namespaces, {} replicas and {} partitions does not fit in memory; ask for less",
    .0.max_nodes,
    .0.max_namespaces,
    .0.max_replicas,
    .0.partitions
)]
#[allow(clippy::exhaustive_structs, reason = "the capacities are all there is")]
pub struct GeometryError(pub Capacity);

/// Offsets and strides of one segment. Those within a frame are in words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    capacity: Capacity,
    namespaces: usize,
    namespace_words: usize,
    tables: usize,
    arrays: usize,
    array_words: usize,
    frame_words: usize,
    health_words: usize,
}

impl Geometry {
    /// The byte offset of the first frame.
    pub(super) const FRAMES: usize = FRAMES;

    /// The geometry for these capacities.
    ///
    /// # Errors
    /// [`GeometryError`] if it can't be addressed. The ranges of the capacities
    /// themselves are checked by [`Capacity::check`].
    pub fn new(capacity: Capacity) -> Result<Geometry, GeometryError> {
        Self::compute(capacity).ok_or(GeometryError(capacity))
    }

    fn compute(capacity: Capacity) -> Option<Geometry> {
        let line = |words: usize| words.checked_next_multiple_of(LINE);
        let nodes = capacity.max_nodes.checked_mul(frame::NODE_WORDS)?;
        let namespaces = line(nodes.checked_add(frame::PREFIX)?)?;
        let namespace_words = line(capacity.max_nodes.checked_add(frame::NAMESPACE_WORDS)?)?;
        let records = namespace_words.checked_mul(capacity.max_namespaces)?;
        let tables = namespaces.checked_add(records)?;
        // The routing arrays start on a page boundary.
        let arrays = tables.checked_next_multiple_of(4096 / WORD)?;
        let planes = capacity.max_replicas.div_ceil(REPLICAS_PER_WORD);
        let array_words = line(capacity.partitions.checked_mul(planes.checked_add(1)?)?)?;
        let all = array_words.checked_mul(capacity.max_namespaces)?;
        let frame_words = arrays.checked_add(all)?.checked_next_multiple_of(4096 / WORD)?;
        // Rounded up to two pages, so that most invalid lengths can be
        // recognized.
        let health_words = capacity
            .max_nodes
            .checked_mul(frame::HEALTH_WORDS)?
            .checked_add(notes::WORDS)?
            .checked_next_multiple_of(2 * 4096 / WORD)?;
        let bytes = frame_words
            .checked_mul(2)?
            .checked_add(health_words)?
            .checked_mul(WORD)?
            .checked_add(FRAMES)?;
        isize::try_from(bytes).ok()?;
        Some(Geometry {
            capacity,
            namespaces,
            namespace_words,
            tables,
            arrays,
            array_words,
            frame_words,
            health_words,
        })
    }

    /// The capacity of the segment.
    pub fn capacity(&self) -> Capacity {
        self.capacity
    }

    /// The size of the whole segment in bytes.
    pub fn total_bytes(&self) -> usize {
        FRAMES + (2 * self.frame_words + self.health_words) * WORD
    }

    /// The number of words of one frame.
    pub fn frame_words(&self) -> usize {
        self.frame_words
    }

    /// Index of the first word of a frame (0 or 1), from the segment's start.
    pub fn frame_start(&self, frame: usize) -> usize {
        FRAMES / WORD + (frame & 1) * self.frame_words
    }

    /// Index of the first word of a slot's health record, from the segment's
    /// start.
    pub fn node_health(&self, slot: usize) -> usize {
        self.frame_start(0) + 2 * self.frame_words + slot * frame::HEALTH_WORDS
    }

    /// Index of the first word of the owner's notes, from the segment's start.
    pub fn notes(&self) -> usize {
        self.node_health(self.capacity.max_nodes)
    }

    /// The number of words of the tables, which is everything before the
    /// routing arrays.
    pub fn table_words(&self) -> usize {
        self.tables
    }

    /// The words of a frame in use for that many node slots and namespaces:
    /// the node table with what precedes it, then the record of each namespace,
    /// then, with `arrays`, its routing words and regimes. A writer stores
    /// exactly these, and a reader copies exactly these.
    pub fn spans(
        &self,
        slots: usize,
        namespaces: usize,
        arrays: bool,
    ) -> impl Iterator<Item = Range<usize>> + use<> {
        let geometry = *self;
        let record = move |index| {
            let start = geometry.namespace(index);
            start..start + frame::NAMESPACE_WORDS + slots
        };
        let array = move |index| {
            let start = geometry.routing(index, 0);
            start..start + geometry.array_words()
        };
        let arrays = if arrays { namespaces } else { 0 };
        core::iter::once(0..geometry.node(slots))
            .chain((0..namespaces).map(record))
            .chain((0..arrays).map(array))
    }

    /// First word of a slot's node record.
    pub fn node(&self, slot: usize) -> usize {
        frame::PREFIX + slot * frame::NODE_WORDS
    }

    /// The first word of a namespace's record.
    pub fn namespace(&self, index: usize) -> usize {
        self.namespaces + index * self.namespace_words
    }

    /// The word with a slot's rack in a namespace.
    pub fn rack(&self, namespace: usize, slot: usize) -> usize {
        self.namespace(namespace) + frame::NAMESPACE_WORDS + slot
    }

    /// The number of routing planes of a namespace, each of which holds three
    /// replicas.
    pub fn planes(&self) -> usize {
        self.capacity.max_replicas.div_ceil(REPLICAS_PER_WORD)
    }

    /// The first word of a routing plane: a word per partition, `r2:16 | r1:16
    /// | r0:16`, each a slot or all ones for no holder.
    pub fn routing(&self, namespace: usize, plane: usize) -> usize {
        self.arrays + namespace * self.array_words + plane * self.capacity.partitions
    }

    /// The first word of a namespace's regimes, a word per partition.
    pub fn regimes(&self, namespace: usize) -> usize {
        self.routing(namespace, self.planes())
    }

    /// The number of words of a namespace's routing planes and regimes together.
    pub fn array_words(&self) -> usize {
        (self.planes() + 1) * self.capacity.partitions
    }

    /// The numbers that go into the header, so that two builds with different
    /// placement refuse each other's segments.
    pub(crate) fn fingerprint(&self) -> [u64; 6] {
        [
            self.namespaces as u64,
            self.namespace_words as u64,
            self.arrays as u64,
            self.array_words as u64,
            self.frame_words as u64,
            FRAMES as u64,
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_two_parts_overlap(
            max_nodes in 1usize..300, max_namespaces in 1usize..20,
            max_replicas in 1usize..10, log in 0u32..13,
        ) {
            let capacity = Capacity { max_nodes, max_namespaces, max_replicas, partitions: 1 << log };
            let g = Geometry::new(capacity).unwrap();
            let mut parts = vec![(0, frame::PREFIX)];
            parts.extend((0..max_nodes).map(|n| (g.node(n), frame::NODE_WORDS)));
            parts.extend((0..max_namespaces).map(|n| (g.namespace(n), frame::NAMESPACE_WORDS + max_nodes)));
            parts.extend((0..max_namespaces).map(|n| (g.routing(n, 0), g.array_words())));
            for pair in parts.windows(2) {
                prop_assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pair:?}");
            }
            let last = parts.last().unwrap();
            prop_assert!(last.0 + last.1 <= g.frame_words());
            prop_assert_eq!(g.node_health(0), g.frame_start(1) + g.frame_words());
            prop_assert!((g.notes() + notes::WORDS) * WORD <= g.total_bytes());
            prop_assert_eq!((g.total_bytes() - FRAMES) % (2 * 4096), 0);
        }
    }

    #[test]
    fn the_notes_have_the_words_of_their_parts() {
        assert_eq!(notes::WORDS, 32 + 2 * 64 + 16 * 32);
    }

    #[test]
    fn sizes_beyond_an_address_are_refused() {
        let capacity = Capacity { max_namespaces: usize::MAX / 8, ..Capacity::DEFAULT };
        assert!(Geometry::new(capacity).is_err());
    }
}
