//! Where each field of the C client's segment lies.
//!
//! ```text
//! header │ node 0 … node N-1 │ table 0 … table M-1
//!   56   │ 424 or 432 each   │ 40 + 4096 × 16 each
//! ```
//!
//! Integers are native and naturally aligned; there is no magic number and no version.
//! Three layouts are in use (see [`Layout`]); `NODE_E`, `TABLE_E` and their neighbours, and
//! `header` for the header, are the only places that know an offset. All offsets that a
//! [`Shape`] gives are bytes from the start of the segment.

use core::fmt;

use static_assertions::const_assert;

use super::header::HEADER_BYTES;

/// Partitions of a namespace.
pub const PARTITIONS: usize = 4096;

/// The size of a table without its entries.
const TABLE_HEAD: usize = 40;
/// The size of an entry.
const ENTRY: usize = 16;
/// The size of a table with its entries.
pub(super) const TABLE_BYTES: usize = TABLE_HEAD + PARTITIONS * ENTRY;

/// The size of a node's name with the NUL at its end.
pub(super) const NAME_BYTES: usize = 20;
/// The size of a TLS name with the NUL at its end.
pub(super) const TLS_NAME_BYTES: usize = 256;
/// The size of a namespace's name with the NUL at its end.
pub(super) const NAMESPACE_BYTES: usize = 32;

/// A layout of the segment. Its letter is that of its place in the history of the C
/// client; those before D are not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layout {
    /// C client 4.3.21 to 6.3: an entry has a master and one other replica.
    D,
    /// C client 6.4.0 to 7.4.0: an entry has three replicas.
    E,
    /// C client 7.4.1 to 7.6.1: a node has its version.
    F,
}

/// The offsets of the fields of a node.
#[derive(Clone, Copy)]
struct NodeFields {
    bytes: usize,
    name: usize,
    lock: usize,
    address: usize,
    tls_name: usize,
    version: Option<usize>,
    features: usize,
    rebalance: usize,
    rack: usize,
    active: usize,
}

/// The offsets of the fields of a table and an entry.
#[derive(Clone, Copy)]
struct TableFields {
    replica_size: Option<usize>,
    sc_mode: usize,
    /// In each entry, 4 bytes apart.
    replicas: usize,
    regime: usize,
}

const NODE_E: NodeFields = NodeFields {
    bytes: 424,
    name: 0,
    lock: 20,
    address: 24,
    tls_name: 152,
    version: None,
    features: 408,
    rebalance: 412,
    rack: 416,
    active: 420,
};

const NODE_F: NodeFields = NodeFields {
    bytes: 432,
    version: Some(408),
    features: 416,
    rebalance: 420,
    rack: 424,
    active: 428,
    ..NODE_E
};

const TABLE_D: TableFields =
    TableFields { replica_size: None, sc_mode: 32, replicas: 2, regime: 8 };
const TABLE_E: TableFields =
    TableFields { replica_size: Some(32), sc_mode: 33, replicas: 3, regime: 12 };

impl Layout {
    /// All layouts, oldest first.
    pub const ALL: [Layout; 3] = [Layout::D, Layout::E, Layout::F];

    const fn node_fields(self) -> NodeFields {
        match self {
            Layout::D | Layout::E => NODE_E,
            Layout::F => NODE_F,
        }
    }

    const fn table_fields(self) -> TableFields {
        match self {
            Layout::D => TABLE_D,
            Layout::E | Layout::F => TABLE_E,
        }
    }

    /// The key that C and Node.js clients of this layout use if none is configured. Python
    /// clients of every layout use that of D.
    #[must_use]
    pub const fn default_key(self) -> u32 {
        match self {
            Layout::D => 0xA800_0000,
            Layout::E => 0xA900_0000,
            Layout::F => 0xAC00_0000,
        }
    }

    /// The versions of the C client that have it, in words.
    #[must_use]
    pub const fn versions(self) -> &'static str {
        match self {
            Layout::D => "C client 4.3.21 to 6.3",
            Layout::E => "C client 6.4.0 to 7.4.0",
            Layout::F => "C client 7.4.1 to 7.6.1",
        }
    }

    /// How many replicas an entry has room for.
    #[must_use]
    pub const fn replicas(self) -> usize {
        self.table_fields().replicas
    }

    /// The size of a node.
    #[must_use]
    pub const fn node_bytes(self) -> usize {
        self.node_fields().bytes
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Layout::D => "D",
            Layout::E => "E",
            Layout::F => "F",
        })
    }
}

/// How many nodes and namespaces a segment has room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    max_nodes: u16,
    max_namespaces: u16,
}

/// A capacity is out of range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "room for {found} {what} in the C client's segment; wanted 1 to 4096, and no more than the \
     clients are configured with"
)]
pub struct CapacityError {
    /// What there is to be room for.
    pub what: &'static str,
    /// The invalid number.
    pub found: usize,
}

impl Capacity {
    /// The default of the C client: 16 nodes and 8 namespaces.
    pub const DEFAULT: Capacity = Capacity { max_nodes: 16, max_namespaces: 8 };
    /// The largest number of nodes, and of namespaces.
    const LIMIT: usize = 4096;

    /// Room for this many nodes and namespaces.
    ///
    /// # Errors
    /// [`CapacityError`] if one of them is 0 or above the limit.
    pub const fn new(max_nodes: usize, max_namespaces: usize) -> Result<Capacity, CapacityError> {
        if max_nodes == 0 || max_nodes > Capacity::LIMIT {
            return Err(CapacityError { what: "nodes", found: max_nodes });
        }
        if max_namespaces == 0 || max_namespaces > Capacity::LIMIT {
            return Err(CapacityError { what: "namespaces", found: max_namespaces });
        }
        Ok(Capacity { max_nodes: max_nodes as u16, max_namespaces: max_namespaces as u16 })
    }

    /// The number of nodes.
    #[must_use]
    pub const fn max_nodes(self) -> usize {
        self.max_nodes as usize
    }

    /// The number of namespaces.
    #[must_use]
    pub const fn max_namespaces(self) -> usize {
        self.max_namespaces as usize
    }
}

/// A layout and a capacity: together they determine where everything lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The layout.
    pub layout: Layout,
    /// The capacity.
    pub capacity: Capacity,
}

impl Shape {
    /// The shape of that layout and capacity.
    #[must_use]
    pub const fn new(layout: Layout, capacity: Capacity) -> Shape {
        Shape { layout, capacity }
    }

    /// The size of the segment.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.table(self.capacity.max_namespaces())
    }

    /// Where a slot begins.
    #[must_use]
    pub const fn node(self, slot: usize) -> usize {
        HEADER_BYTES + slot * self.layout.node_bytes()
    }

    /// A node's name, 20 bytes with the NUL.
    #[must_use]
    pub const fn name(self, slot: usize) -> usize {
        self.node(slot) + self.layout.node_fields().name
    }

    /// A slot's lock, u32: bit 31 a writer, bit 30 its latch, the rest counts readers.
    #[must_use]
    pub const fn slot_lock(self, slot: usize) -> usize {
        self.node(slot) + self.layout.node_fields().lock
    }

    /// A node's address, a `sockaddr_storage`.
    #[must_use]
    pub const fn address(self, slot: usize) -> usize {
        self.node(slot) + self.layout.node_fields().address
    }

    /// A node's TLS name, 256 bytes with the NUL.
    #[must_use]
    pub const fn tls_name(self, slot: usize) -> usize {
        self.node(slot) + self.layout.node_fields().tls_name
    }

    /// A node's build, four u16; only in F.
    #[must_use]
    pub const fn version(self, slot: usize) -> Option<usize> {
        match self.layout.node_fields().version {
            Some(version) => Some(self.node(slot) + version),
            None => None,
        }
    }

    /// What a node can do, u32.
    #[must_use]
    pub const fn features(self, slot: usize) -> usize {
        self.node(slot) + self.layout.node_fields().features
    }

    /// A node's own generation of racks, u32.
    #[must_use]
    pub const fn rebalance_generation(self, slot: usize) -> usize {
        self.node(slot) + self.layout.node_fields().rebalance
    }

    /// A node's rack, i32; -1 if it differs by namespace.
    #[must_use]
    pub const fn rack(self, slot: usize) -> usize {
        self.node(slot) + self.layout.node_fields().rack
    }

    /// Whether a slot is active, u8.
    #[must_use]
    pub const fn active(self, slot: usize) -> usize {
        self.node(slot) + self.layout.node_fields().active
    }

    /// Where a table begins, with its namespace's name, 32 bytes with the NUL.
    #[must_use]
    pub const fn table(self, table: usize) -> usize {
        self.node(self.capacity.max_nodes()) + table * TABLE_BYTES
    }

    /// A namespace's replication factor, u8; not in D.
    #[must_use]
    pub const fn replica_size(self, table: usize) -> Option<usize> {
        match self.layout.table_fields().replica_size {
            Some(replica_size) => Some(self.table(table) + replica_size),
            None => None,
        }
    }

    /// Whether a namespace is strongly consistent, u8.
    #[must_use]
    pub const fn sc_mode(self, table: usize) -> usize {
        self.table(table) + self.layout.table_fields().sc_mode
    }

    /// Where an entry begins.
    #[must_use]
    pub const fn entry(self, table: usize, partition: usize) -> usize {
        self.table(table) + TABLE_HEAD + partition * ENTRY
    }

    /// The holder of a replica, u32: its slot + 1, or 0.
    #[must_use]
    pub const fn holder(self, table: usize, partition: usize, replica: usize) -> usize {
        self.entry(table, partition) + 4 * replica
    }

    /// A partition's regime, u32.
    #[must_use]
    pub const fn regime(self, table: usize, partition: usize) -> usize {
        self.entry(table, partition) + self.layout.table_fields().regime
    }
}

const DEFAULT_D: Shape = Shape::new(Layout::D, Capacity::DEFAULT);
const DEFAULT_E: Shape = Shape::new(Layout::E, Capacity::DEFAULT);
const DEFAULT_F: Shape = Shape::new(Layout::F, Capacity::DEFAULT);
const_assert!(DEFAULT_D.bytes() == 531_448);
const_assert!(DEFAULT_E.bytes() == 531_448);
const_assert!(DEFAULT_F.bytes() == 531_576);
const_assert!(TABLE_BYTES == 65_576);
const_assert!(NODE_E.active + 4 == NODE_E.bytes && NODE_F.active + 4 == NODE_F.bytes);
// The names of the map fit with their NUL, so that none is ever cut.
const_assert!(crate::map::NodeId::MAX < NAME_BYTES);
const_assert!(crate::map::TlsName::MAX < TLS_NAME_BYTES);
const_assert!(crate::map::NamespaceName::MAX < NAMESPACE_BYTES);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::c_client::header;
    use proptest::prelude::*;

    /// Every field as (offset, size, alignment).
    fn fields(shape: Shape) -> Vec<(usize, usize, usize)> {
        let mut fields: Vec<_> =
            header::FIELDS.iter().map(|field| (field.offset, field.bytes, field.bytes)).collect();
        for slot in 0..shape.capacity.max_nodes() {
            fields.push((shape.name(slot), NAME_BYTES, 1));
            fields.push((shape.slot_lock(slot), 4, 4));
            fields.push((shape.address(slot), 128, 8));
            fields.push((shape.tls_name(slot), TLS_NAME_BYTES, 1));
            fields.extend(shape.version(slot).map(|version| (version, 8, 2)));
            fields.push((shape.features(slot), 4, 4));
            fields.push((shape.rebalance_generation(slot), 4, 4));
            fields.push((shape.rack(slot), 4, 4));
            fields.push((shape.active(slot), 1, 1));
        }
        for table in 0..shape.capacity.max_namespaces() {
            fields.push((shape.table(table), NAMESPACE_BYTES, 1));
            fields.extend(shape.replica_size(table).map(|size| (size, 1, 1)));
            fields.push((shape.sc_mode(table), 1, 1));
            for partition in 0..PARTITIONS {
                for replica in 0..shape.layout.replicas() {
                    fields.push((shape.holder(table, partition, replica), 4, 4));
                }
                fields.push((shape.regime(table, partition), 4, 4));
            }
        }
        fields
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn fields_are_aligned_inside_and_do_not_overlap(
            layout in proptest::sample::select(&Layout::ALL[..]),
            nodes in 1usize..40,
            namespaces in 1usize..4,
        ) {
            let shape = Shape::new(layout, Capacity::new(nodes, namespaces).unwrap());
            let mut fields = fields(shape);
            fields.sort_unstable();
            for &(offset, _, alignment) in &fields {
                prop_assert_eq!(offset % alignment, 0);
            }
            for pair in fields.windows(2) {
                prop_assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pair:?} overlap");
            }
            let last = fields.last().unwrap();
            prop_assert!(last.0 + last.1 <= shape.bytes());
            prop_assert!(shape.bytes() < u32::MAX as usize);
        }
    }

    #[test]
    fn each_layout_has_the_offsets_of_its_debug_information() {
        let f = Shape::new(Layout::F, Capacity::DEFAULT);
        let at = |offset: usize| offset - f.node(0);
        assert_eq!(
            [at(f.name(0)), at(f.slot_lock(0)), at(f.address(0)), at(f.tls_name(0))],
            [0, 20, 24, 152]
        );
        assert_eq!(f.version(0).map(at), Some(408));
        assert_eq!(
            [at(f.features(0)), at(f.rebalance_generation(0)), at(f.rack(0)), at(f.active(0))],
            [416, 420, 424, 428]
        );
        for layout in [Layout::D, Layout::E] {
            let e = Shape::new(layout, Capacity::DEFAULT);
            let at = |offset: usize| offset - e.node(3);
            assert_eq!(e.version(3), None);
            assert_eq!(
                [at(e.features(3)), at(e.rebalance_generation(3)), at(e.rack(3)), at(e.active(3))],
                [408, 412, 416, 420]
            );
        }
        for (layout, regime, replica_size) in
            [(Layout::D, 8, None), (Layout::E, 12, Some(32)), (Layout::F, 12, Some(32))]
        {
            let shape = Shape::new(layout, Capacity::DEFAULT);
            let table = shape.table(1);
            assert_eq!(table, shape.table(0) + 65_576);
            assert_eq!(shape.entry(1, 2), table + 40 + 32);
            assert_eq!(shape.holder(1, 2, 1), shape.entry(1, 2) + 4);
            assert_eq!(shape.regime(1, 2), shape.entry(1, 2) + regime);
            assert_eq!(shape.replica_size(1).map(|at| at - table), replica_size);
        }
    }

    #[test]
    fn a_capacity_has_room_for_1_to_4096() {
        for (nodes, namespaces, valid) in
            [(1, 1, true), (4096, 4096, true), (0, 1, false), (1, 0, false), (4097, 1, false)]
        {
            assert_eq!(Capacity::new(nodes, namespaces).is_ok(), valid, "{nodes}, {namespaces}");
        }
        let most = Shape::new(Layout::F, Capacity::new(4096, 4096).unwrap());
        assert!(most.bytes() < u32::MAX as usize, "clients count bytes in a u32");
    }
}
