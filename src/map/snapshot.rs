//! Reads the map from a frame. Any bit pattern is possible there: everything is
//! checked, nothing is trusted.

use super::cluster::ClusterMap;
use super::extent::checksum;
use super::names::{ClusterName, NamespaceName, NodeId, TlsName};
use super::namespace::Namespace;
use super::node::{Node, NodeTable, Slot};
use super::records::{
    BuildWords, IP_BYTES, NamespaceWord, NodeWord, PortWord, RackWord, RoutingWord, TableCounts,
    address_of, unpack,
};
use crate::layout::{BYTES_PER_WORD, Geometry, Mapping, REPLICAS_PER_WORD, frame};
use crate::protocol::{Stamp, Word, read, tries};
use crate::sync::{AtomicU64, Ordering};
use crate::text::Printable;

/// Why no map could be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// Nothing has been published yet.
    #[error("nothing has been published in the segment yet")]
    Empty,
    /// Every read was overtaken by a publication. Publications should be at
    /// least 50 ms apart.
    #[error("every read was overtaken by a publication; they come faster than the 50 ms allowed")]
    ReadRaced,
    /// The published frame holds something that no owner writes.
    #[error("the published map is damaged: {}; remove the segment", Printable(.what))]
    Corrupt {
        /// The record, and what is wrong with it.
        what: String,
    },
}

/// The tables of one publication: everything except the partitions.
#[derive(Clone, Debug)]
pub struct Tables {
    /// The publication.
    pub stamp: Stamp,
    /// The table generation as its whole tagged word.
    pub generation: u64,
    /// The cluster's name.
    pub cluster_name: Option<ClusterName>,
    /// The nodes.
    pub nodes: NodeTable,
    /// The namespaces, without partitions.
    pub namespaces: Vec<Namespace>,
}

/// One whole publication.
///
/// [`Client::map`](crate::Client::map) and [`Reader::map`](crate::Reader::map) return the last one.
///
/// ```
/// use tendmap::map::Snapshot;
///
/// fn print(snapshot: &Snapshot) {
///     println!("publication {}", snapshot.sequence);
///     for (_, node) in snapshot.map.nodes.iter() {
///         println!("{} at {}", node.id, node.address);
///     }
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Snapshot {
    /// The publication's number, which increases over all segments of the key.
    pub sequence: u64,
    /// The table generation (without its tag).
    pub table_generation: u64,
    /// Whether its checksum matches; `None` if the owner published none.
    pub intact: Option<bool>,
    /// The map.
    pub map: ClusterMap,
}

/// Reads the tables of the live frame.
///
/// # Errors
/// [`SnapshotError`].
pub fn tables(mapping: &Mapping) -> Result<Tables, SnapshotError> {
    let copy = FrameCopy::take(mapping, false)?;
    copy.tables(mapping.geometry())
}

/// Reads the whole live frame.
///
/// # Errors
/// [`SnapshotError`].
pub fn snapshot(mapping: &Mapping) -> Result<Snapshot, SnapshotError> {
    let geometry = mapping.geometry();
    let copy = FrameCopy::take(mapping, true)?;
    let mut tables = copy.tables(geometry)?;
    for (index, namespace) in tables.namespaces.iter_mut().enumerate() {
        copy.partitions(geometry, index, &tables.nodes, namespace)?;
    }
    let table_generation = Word::from_bits(tables.generation).payload();
    let found = copy.payload(frame::CHECKSUM);
    let intact = (found != 0).then(|| found == checksum(copy.live(geometry)));
    let Tables { stamp, cluster_name, nodes, namespaces, .. } = tables;
    let map = ClusterMap::restore(geometry.capacity(), cluster_name, nodes, namespaces);
    Ok(Snapshot { sequence: stamp.sequence(), table_generation, intact, map })
}

/// A private copy of the live parts of a frame.
struct FrameCopy {
    stamp: Stamp,
    counts: TableCounts,
    /// Tagged words at their places in the frame.
    words: Vec<u64>,
}

impl FrameCopy {
    fn take(mapping: &Mapping, arrays: bool) -> Result<FrameCopy, SnapshotError> {
        let geometry = mapping.geometry();
        let capacity = geometry.capacity();
        let size = if arrays { geometry.frame_words() } else { geometry.table_words() };
        let mut words = vec![0; size];
        let (stamp, counts) = read(mapping.head(), tries(size), |stamp| {
            let source = mapping.frame(stamp.frame());
            copy_range(source, &mut words, 0..frame::PREFIX);
            let counts = TableCounts::from_payload(Word::from_bits(words[frame::COUNTS]).payload());
            // This may be a mixture of two publications, or damaged: copy what
            // is in bounds, and check it later.
            let slots = counts.slots().min(capacity.max_nodes);
            let namespaces = counts.namespaces().min(capacity.max_namespaces);
            // The first words are there already: they say how far to copy.
            for mut span in geometry.spans(slots, namespaces, arrays) {
                span.start = span.start.max(frame::PREFIX);
                copy_range(source, &mut words, span);
            }
            counts
        })
        .map_err(|_| SnapshotError::ReadRaced)?;
        if stamp.sequence() == 0 {
            return Err(SnapshotError::Empty);
        }
        if counts.slots() > capacity.max_nodes || counts.namespaces() > capacity.max_namespaces {
            return Err(corrupt(format!(
                "it lists {} node slots and {} namespaces; the segment has room for {} and {}",
                counts.slots(),
                counts.namespaces(),
                capacity.max_nodes,
                capacity.max_namespaces,
            )));
        }
        Ok(FrameCopy { stamp, counts, words })
    }

    fn payload(&self, index: usize) -> u64 {
        Word::from_bits(self.words[index]).payload()
    }

    fn bytes<const N: usize>(&self, first: usize, len: usize) -> Option<[u8; N]> {
        let mut payloads = [0; 44];
        let words = N.div_ceil(BYTES_PER_WORD);
        for (offset, payload) in payloads[..words].iter_mut().enumerate() {
            *payload = self.payload(first + offset);
        }
        let mut out = [0; N];
        unpack(&payloads[..words], len, &mut out).map(|()| out)
    }

    fn tables(&self, geometry: &Geometry) -> Result<Tables, SnapshotError> {
        let mut nodes = NodeTable::new(geometry.capacity().max_nodes);
        for slot in (0..self.counts.slots()).map_while(Slot::new) {
            let (incarnation, node) = self.node(geometry, slot)?;
            if let Some(node) = &node {
                if nodes.slot_of(&node.id).is_some() {
                    return Err(corrupt(format!("node {} is in two slots", node.id)));
                }
            }
            nodes.restore(slot, incarnation, node);
        }
        let mut namespaces: Vec<Namespace> = Vec::new();
        for index in 0..self.counts.namespaces() {
            let namespace = self.namespace(geometry, index)?;
            if namespaces.iter().any(|known| known.name == namespace.name) {
                return Err(corrupt(format!("namespace {} is listed twice", namespace.name)));
            }
            namespaces.push(namespace);
        }
        Ok(Tables {
            stamp: self.stamp,
            generation: self.words[frame::TABLE_GENERATION],
            cluster_name: self.cluster_name()?,
            nodes,
            namespaces,
        })
    }

    fn cluster_name(&self) -> Result<Option<ClusterName>, SnapshotError> {
        let len = self.payload(frame::CLUSTER_NAME) as usize;
        if len == 0 {
            return Ok(None);
        }
        self.bytes::<{ ClusterName::MAX }>(frame::CLUSTER_NAME + 1, len)
            .and_then(|bytes| ClusterName::from_bytes(&bytes[..len]).ok())
            .map(Some)
            .ok_or_else(|| corrupt(format!("cluster name: invalid length {len}")))
    }

    fn node(&self, geometry: &Geometry, slot: Slot) -> Result<(u32, Option<Node>), SnapshotError> {
        let first = geometry.node(slot.index());
        let word = NodeWord::from_payload(self.payload(first + frame::NODE));
        if word.id_len() == 0 {
            return Ok((word.incarnation(), None));
        }
        let node = || {
            let id = self.bytes::<{ NodeId::MAX }>(first + frame::NODE_ID, word.id_len())?;
            let id = NodeId::from_bytes(&id[..word.id_len()]).ok()?;
            let ip = self.bytes::<IP_BYTES>(first + frame::NODE_IP, IP_BYTES)?;
            let port = PortWord::from_payload(self.payload(first + frame::NODE_PORT));
            let len = port.tls_len();
            let tls_name = match len {
                0 => None,
                _ => {
                    let name = self.bytes::<{ TlsName::MAX }>(first + frame::NODE_TLS, len)?;
                    Some(TlsName::from_bytes(&name[..len]).ok()?)
                }
            };
            let address = address_of(word.family()?, ip, port.port());
            let build = [0, 1].map(|word| self.payload(first + frame::NODE_BUILD + word));
            let build = BuildWords::from_payloads(build).build();
            Some(Node { id, address, tls_name, build })
        };
        let node = node().ok_or_else(|| {
            corrupt(format!("slot {} holds an invalid node record", slot.index()))
        })?;
        Ok((word.incarnation(), Some(node)))
    }

    fn namespace(&self, geometry: &Geometry, index: usize) -> Result<Namespace, SnapshotError> {
        let first = geometry.namespace(index);
        let word = NamespaceWord::from_payload(self.payload(first + frame::NAMESPACE));
        let name = self
            .bytes::<{ NamespaceName::MAX }>(first + frame::NAMESPACE_NAME, word.name_len())
            .and_then(|bytes| NamespaceName::from_bytes(&bytes[..word.name_len()]).ok())
            .ok_or_else(|| corrupt(format!("namespace {index} has an invalid record")))?;
        let mut namespace = Namespace::new(name, 0, geometry.capacity().max_replicas);
        namespace.replication_factor = word.replication_factor();
        namespace.strong_consistency = word.strong_consistency();
        for slot in (0..self.counts.slots()).map_while(Slot::new) {
            let word = self.payload(geometry.rack(index, slot.index()));
            namespace.set_rack(slot, RackWord::from_payload(word).rack());
        }
        Ok(namespace)
    }

    fn partitions(
        &self,
        geometry: &Geometry,
        index: usize,
        nodes: &NodeTable,
        namespace: &mut Namespace,
    ) -> Result<(), SnapshotError> {
        let capacity = geometry.capacity();
        namespace.reset_partitions(capacity.partitions, capacity.max_replicas);
        for partition in 0..capacity.partitions {
            for replica in 0..capacity.max_replicas {
                let plane = geometry.routing(index, replica / REPLICAS_PER_WORD);
                let word = RoutingWord::from_payload(self.payload(plane + partition));
                let slot = word.slot(replica % REPLICAS_PER_WORD);
                if slot.is_some_and(|slot| nodes.get(slot).is_none()) {
                    return Err(corrupt(format!(
                        "replica {replica} of partition {partition} of {} is assigned to an empty slot",
                        namespace.name
                    )));
                }
                namespace.partitions.set_holder(partition, replica, slot);
            }
            let regime = self.payload(geometry.regimes(index) + partition);
            let regime = u32::try_from(regime).map_err(|_| {
                corrupt(format!("regime {regime} of partition {partition} of {}", namespace.name))
            })?;
            namespace.partitions.set_regime(partition, regime);
        }
        Ok(())
    }

    fn live(&self, geometry: &Geometry) -> impl Iterator<Item = (u64, usize)> {
        geometry
            .spans(self.counts.slots(), self.counts.namespaces(), true)
            .flatten()
            .map(|index| (self.payload(index), index))
    }
}

fn copy_range(source: &[AtomicU64], words: &mut [u64], range: core::ops::Range<usize>) {
    for (to, from) in words[range.clone()].iter_mut().zip(&source[range]) {
        // Relaxed: the caller's head check gives the order.
        *to = from.load(Ordering::Relaxed);
    }
}

fn corrupt(what: String) -> SnapshotError {
    SnapshotError::Corrupt { what }
}
