//! The map as it goes into a frame: payloads by word.

use core::ops::Range;

use super::cluster::ClusterMap;
use super::namespace::Namespace;
use super::node::Node;
use super::records::{
    Counts, Family, NamespaceWord, NodeWord, PortWord, REPLICAS_A_WORD, RackWord, RoutingWord,
    ip_bytes, pack,
};
use crate::layout::{Geometry, frame};
use crate::protocol::{PAYLOAD_MASK, Span, Word};
use crate::sync::{AtomicU64, Ordering};

/// The map has outgrown the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the map has {slots} node slots and {namespaces} namespaces, the segment room for {max_nodes} and {max_namespaces}"
)]
pub struct NoRoom {
    /// Node slots in use.
    pub slots: usize,
    /// Namespaces.
    pub namespaces: usize,
    /// Node slots of the segment.
    pub max_nodes: usize,
    /// Namespaces of the segment.
    pub max_namespaces: usize,
}

/// A whole frame's payloads, of which the spans that the map reaches count.
#[derive(Clone, Debug)]
pub struct Image {
    payloads: Vec<u64>,
    live: Vec<Range<usize>>,
    /// How many of `live` belong to the tables.
    tables: usize,
}

impl Image {
    /// The image of a map, with table generation 0 and no checksum.
    ///
    /// # Errors
    /// [`NoRoom`] if the segment is too small for the map.
    pub fn encode(map: &ClusterMap, geometry: &Geometry) -> Result<Image, NoRoom> {
        let capacity = geometry.capacity();
        let (slots, namespaces) = (map.nodes.slots(), map.namespaces().len());
        if slots > capacity.max_nodes || namespaces > capacity.max_namespaces {
            let (max_nodes, max_namespaces) = (capacity.max_nodes, capacity.max_namespaces);
            return Err(NoRoom { slots, namespaces, max_nodes, max_namespaces });
        }
        let mut payloads = vec![0; geometry.frame_words()];
        payloads[frame::COUNTS] = Counts::new(slots, namespaces).payload();
        if let Some(name) = &map.cluster_name {
            payloads[frame::CLUSTER_NAME] = name.as_bytes().len() as u64;
            pack(name.as_bytes(), &mut payloads[frame::CLUSTER_NAME + 1..frame::PREFIX]);
        }
        for slot in 0..slots {
            let record = &mut payloads[geometry.node(slot)..][..frame::NODE_WORDS];
            let slot = super::Slot::new(slot).expect("below the table's capacity");
            node(map.nodes.get(slot), map.nodes.incarnation(slot), record);
        }
        let mut live = Vec::with_capacity(1 + 2 * namespaces);
        live.push(0..geometry.node(slots));
        for (index, namespace) in map.namespaces().iter().enumerate() {
            let start = geometry.namespace(index);
            let record = start..start + frame::NAMESPACE_WORDS + slots;
            namespace_record(namespace, &mut payloads[record.clone()]);
            live.push(record);
        }
        let tables = live.len();
        for (index, namespace) in map.namespaces().iter().enumerate() {
            let start = geometry.routing(index, 0);
            let arrays = start..start + geometry.array_words();
            namespace_arrays(namespace, geometry, &mut payloads[arrays.clone()]);
            live.push(arrays);
        }
        Ok(Image { payloads, live, tables })
    }

    /// Sets the table generation, and the checksum if one is wanted.
    pub fn seal(&mut self, table_generation: u64, checksum: bool) {
        self.payloads[frame::TABLE_GENERATION] = table_generation & PAYLOAD_MASK;
        self.payloads[frame::CHECKSUM] = 0;
        if checksum {
            self.payloads[frame::CHECKSUM] = self.checksum();
        }
    }

    /// The table generation that was sealed in.
    pub fn table_generation(&self) -> u64 {
        self.payloads[frame::TABLE_GENERATION]
    }

    /// Whether it is what stands in a frame, tags apart.
    pub fn stands_in(&self, frame: &[AtomicU64]) -> bool {
        self.live.iter().all(|span| {
            let words = frame[span.clone()].iter().zip(&self.payloads[span.clone()]);
            words.into_iter().all(|(word, &payload)| {
                // Relaxed: it is asked by the only one who writes there.
                Word::from_bits(word.load(Ordering::Relaxed)).payload() == payload
            })
        })
    }

    /// The spans to publish.
    pub fn spans(&self) -> Vec<Span<'_>> {
        let span = |range: &Range<usize>| Span {
            first: range.start,
            payloads: &self.payloads[range.clone()],
        };
        self.live.iter().map(span).collect()
    }

    /// Whether all node and namespace records are the same as in `other`.
    pub fn same_tables(&self, other: &Image) -> bool {
        self.same_live(other, self.tables, other.tables)
    }

    /// Whether it is the same map as `other`, table generation and checksum
    /// apart.
    pub fn same_map(&self, other: &Image) -> bool {
        self.same_live(other, self.live.len(), other.live.len())
    }

    fn same_live(&self, other: &Image, ours: usize, theirs: usize) -> bool {
        let spans = &self.live[..ours];
        spans == &other.live[..theirs]
            && spans.iter().all(|span| {
                let start = if span.start == 0 { frame::COUNTS } else { span.start };
                (start..span.end).all(|index| {
                    index == frame::CHECKSUM || self.payloads[index] == other.payloads[index]
                })
            })
    }

    fn checksum(&self) -> u64 {
        checksum(
            self.live
                .iter()
                .flat_map(|span| self.payloads[span.clone()].iter().copied().zip(span.clone())),
        )
    }
}

/// 48 bits over `(payload, index)` of every live word but the checksum itself,
/// never 0.
pub(super) fn checksum(words: impl Iterator<Item = (u64, usize)>) -> u64 {
    let mut sum = 0x9e37_79b9_7f4a_7c15_u64;
    for (payload, index) in words.filter(|&(_, index)| index != frame::CHECKSUM) {
        sum = (sum ^ payload ^ (index as u64).rotate_left(40)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        sum ^= sum >> 32;
    }
    (sum & PAYLOAD_MASK).max(1)
}

fn node(node: Option<&Node>, incarnation: u32, record: &mut [u64]) {
    let Some(node) = node else {
        record[frame::NODE] = NodeWord::empty(incarnation).payload();
        return;
    };
    let (family, ip): (Family, [u8; 16]) = ip_bytes(node.address.ip());
    let tls = node.tls_name.as_ref().map_or(&[][..], |name| name.as_bytes());
    let id = node.id.as_bytes();
    record[frame::NODE] = NodeWord::new(incarnation, id.len(), family).payload();
    pack(id, &mut record[frame::NODE_ID..frame::NODE_IP]);
    pack(&ip, &mut record[frame::NODE_IP..frame::NODE_PORT]);
    record[frame::NODE_PORT] = PortWord::new(node.address.port(), tls.len()).payload();
    pack(tls, &mut record[frame::NODE_TLS..]);
}

fn namespace_record(namespace: &Namespace, record: &mut [u64]) {
    let name = namespace.name.as_bytes();
    record[frame::NAMESPACE] =
        NamespaceWord::new(name.len(), namespace.replication_factor, namespace.strong_consistency)
            .payload();
    pack(name, &mut record[frame::NAMESPACE_NAME..frame::NAMESPACE_WORDS]);
    let slots = (0..).map_while(super::Slot::new);
    for (slot, word) in slots.zip(&mut record[frame::NAMESPACE_WORDS..]) {
        *word = RackWord::new(namespace.rack(slot)).payload();
    }
}

fn namespace_arrays(namespace: &Namespace, geometry: &Geometry, arrays: &mut [u64]) {
    let table = &namespace.partitions;
    let count = geometry.capacity().partitions;
    for plane in 0..geometry.planes() {
        let words = &mut arrays[plane * count..][..count];
        for (partition, word) in words.iter_mut().enumerate() {
            let owner = |i| table.owner(partition, plane * REPLICAS_A_WORD + i);
            *word = RoutingWord::new([owner(0), owner(1), owner(2)]).payload();
        }
    }
    for (partition, word) in arrays[geometry.planes() * count..].iter_mut().enumerate() {
        *word = table.regime(partition).into();
    }
}
