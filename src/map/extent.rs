//! The map as stored in a frame: payloads by word.

use core::ops::Range;

use super::cluster::ClusterMap;
use super::namespace::Namespace;
use super::node::{Node, Slot};
use super::records::{
    BuildWords, NamespaceWord, NodeWord, PortWord, RackWord, RoutingWord, TableCounts, ip_bytes,
    pack,
};
use crate::layout::{Capacity, Geometry, REPLICAS_PER_WORD, frame};
use crate::protocol::{PAYLOAD_MASK, Publisher, Word};
use crate::sync::{AtomicU64, Ordering};

/// The map has outgrown the segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the map has {slots} node slots, {namespaces} namespaces and {replicas} replicas, the segment room for {max_nodes}, {max_namespaces} and {max_replicas}"
)]
pub struct NoRoom {
    /// The number of node slots in use.
    pub slots: usize,
    /// The number of namespaces.
    pub namespaces: usize,
    /// The number of replicas to be routable.
    pub replicas: usize,
    /// The segment's number of node slots.
    pub max_nodes: usize,
    /// The number of namespaces for which the segment has room.
    pub max_namespaces: usize,
    /// The number of replicas for which the segment has room.
    pub max_replicas: usize,
}

/// The part of a frame that a map occupies: the words in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameExtent {
    spans: Vec<Range<usize>>,
    /// The number of `spans` that belong to the tables.
    tables: usize,
}

/// What differs from the map that was stored before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// A node or namespace record, or the cluster's name, differs.
    pub tables: bool,
    /// A routing word or a regime differs.
    pub arrays: bool,
}

impl FrameExtent {
    /// The extent of a map.
    ///
    /// # Errors
    /// [`NoRoom`] if the segment is too small for the map.
    pub fn of(map: &ClusterMap, geometry: &Geometry) -> Result<FrameExtent, NoRoom> {
        let capacity = geometry.capacity();
        let (slots, namespaces) = (map.nodes.slots(), map.namespaces().len());
        let replicas = map.held_replicas();
        if slots > capacity.max_nodes
            || namespaces > capacity.max_namespaces
            || replicas > capacity.max_replicas
        {
            let Capacity { max_nodes, max_namespaces, max_replicas, .. } = capacity;
            return Err(NoRoom {
                slots,
                namespaces,
                replicas,
                max_nodes,
                max_namespaces,
                max_replicas,
            });
        }
        let spans = geometry.spans(slots, namespaces, true).collect();
        Ok(FrameExtent { spans, tables: 1 + namespaces })
    }

    /// The words to publish.
    pub fn spans(&self) -> &[Range<usize>] {
        &self.spans
    }

    /// Whether the tables have the same extent as in `other`.
    pub fn same_tables(&self, other: &FrameExtent) -> bool {
        self.spans[..self.tables] == other.spans[..other.tables]
    }

    /// Stores the map, whose extent this is, into the publisher's next
    /// publication: everything except the table generation and the checksum.
    pub fn put(&self, map: &ClusterMap, geometry: &Geometry, to: &mut Publisher) -> Changes {
        let mut changes = Changes::default();
        let mut prefix = [0; frame::PREFIX];
        prefix[frame::COUNTS] =
            TableCounts::new(map.nodes.slots(), map.namespaces().len()).payload();
        if let Some(name) = &map.cluster_name {
            prefix[frame::CLUSTER_NAME] = name.as_bytes().len() as u64;
            pack(name.as_bytes(), &mut prefix[frame::CLUSTER_NAME + 1..]);
        }
        changes.tables |= to.set(frame::COUNTS, &prefix[frame::COUNTS..=frame::COUNTS]);
        changes.tables |= to.set(frame::CLUSTER_NAME, &prefix[frame::CLUSTER_NAME..]);
        for slot in (0..map.nodes.slots()).map_while(Slot::new) {
            let record = node(map.nodes.get(slot), map.nodes.incarnation(slot));
            changes.tables |= to.set(geometry.node(slot.index()), &record);
        }
        for (index, namespace) in map.namespaces().iter().enumerate() {
            let record = namespace_record(namespace);
            changes.tables |= to.set(geometry.namespace(index), &record);
            for slot in (0..map.nodes.slots()).map_while(Slot::new) {
                let rack = RackWord::new(namespace.rack(slot)).payload();
                changes.tables |= to.set(geometry.rack(index, slot.index()), &[rack]);
            }
            changes.arrays |= put_arrays(namespace, geometry, index, to);
        }
        changes
    }

    /// Sets the table generation, and the checksum if one is wanted.
    pub fn seal(&self, table_generation: u64, checksum: bool, to: &mut Publisher) {
        to.set(frame::TABLE_GENERATION, &[table_generation & PAYLOAD_MASK]);
        let sum = if checksum { self.checksum(to) } else { 0 };
        to.set(frame::CHECKSUM, &[sum]);
    }

    /// Whether this frame holds what the publisher published last, ignoring tags.
    pub fn stands_in(&self, frame: &[AtomicU64], of: &Publisher) -> bool {
        self.spans.iter().all(|span| {
            let words = frame[span.clone()].iter().zip(of.get(span.clone()));
            words.into_iter().all(|(word, &payload)| {
                // Relaxed: the caller is the only process that writes there.
                Word::from_bits(word.load(Ordering::Relaxed)).payload() == payload
            })
        })
    }

    fn checksum(&self, of: &Publisher) -> u64 {
        let spans = self.spans.iter();
        checksum(spans.flat_map(|span| of.get(span.clone()).iter().copied().zip(span.clone())))
    }
}

/// A 48-bit checksum of `(payload, index)` over every live word except the
/// checksum itself; never 0.
pub(super) fn checksum(words: impl Iterator<Item = (u64, usize)>) -> u64 {
    let mut sum = 0x9e37_79b9_7f4a_7c15_u64;
    for (payload, index) in words.filter(|&(_, index)| index != frame::CHECKSUM) {
        sum = (sum ^ payload ^ (index as u64).rotate_left(40)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        sum ^= sum >> 32;
    }
    (sum & PAYLOAD_MASK).max(1)
}

fn node(node: Option<&Node>, incarnation: u32) -> [u64; frame::NODE_WORDS] {
    let mut record = [0; frame::NODE_WORDS];
    let Some(node) = node else {
        record[frame::NODE] = NodeWord::empty(incarnation).payload();
        return record;
    };
    let (family, ip) = ip_bytes(node.address);
    let tls = node.tls_name.as_ref().map_or(&[][..], |name| name.as_bytes());
    let id = node.id.as_bytes();
    record[frame::NODE] = NodeWord::new(incarnation, id.len(), family).payload();
    pack(id, &mut record[frame::NODE_ID..frame::NODE_IP]);
    pack(&ip, &mut record[frame::NODE_IP..frame::NODE_PORT]);
    record[frame::NODE_PORT] = PortWord::new(node.address.port(), tls.len()).payload();
    record[frame::NODE_BUILD..frame::NODE_TLS]
        .copy_from_slice(&BuildWords::new(node.build).payloads());
    pack(tls, &mut record[frame::NODE_TLS..]);
    record
}

fn namespace_record(namespace: &Namespace) -> [u64; frame::NAMESPACE_WORDS] {
    let mut record = [0; frame::NAMESPACE_WORDS];
    let name = namespace.name.as_bytes();
    record[frame::NAMESPACE] =
        NamespaceWord::new(name.len(), namespace.replication_factor, namespace.strong_consistency)
            .payload();
    pack(name, &mut record[frame::NAMESPACE_NAME..]);
    record
}

/// The number of words that are packed at a time.
const CHUNK: usize = 64;

fn put_arrays(
    namespace: &Namespace,
    geometry: &Geometry,
    index: usize,
    to: &mut Publisher,
) -> bool {
    let (table, partitions) = (&namespace.partitions, geometry.capacity().partitions);
    let nobody = [Slot::NOBODY; CHUNK];
    let (mut words, mut any) = ([0; CHUNK], false);
    for start in (0..partitions).step_by(CHUNK) {
        let chunk = start..partitions.min(start + CHUNK);
        let words = &mut words[..chunk.len()];
        for plane in 0..geometry.planes() {
            let replica = |i| match table.holders(plane * REPLICAS_PER_WORD + i) {
                Some(owners) => &owners[chunk.clone()],
                None => &nobody[..chunk.len()],
            };
            let replicas = replica(0).iter().zip(replica(1)).zip(replica(2));
            for (word, ((&first, &second), &third)) in words.iter_mut().zip(replicas) {
                *word = RoutingWord::of_bits([first, second, third]).payload();
            }
            any |= to.set(geometry.routing(index, plane) + start, words);
        }
        for (word, &regime) in words.iter_mut().zip(&table.regimes()[chunk]) {
            *word = regime.into();
        }
        any |= to.set(geometry.regimes(index) + start, words);
    }
    any
}
