//! The header of the C client's segment, and the check of one that exists.

use super::layout::{Capacity, Layout, PARTITIONS, Shape, TABLE_BYTES};

/// The size of the header.
pub const HEADER_BYTES: usize = 56;

/// When the owner last tended: u64, milliseconds of CLOCK_MONOTONIC.
pub const TIMESTAMP: usize = 0;
/// The process that tends: u32.
pub const OWNER_PID: usize = 8;
/// How many slots were ever in use: u32.
pub const NODES_SIZE: usize = 12;
/// How many slots there are: u32.
pub const NODES_CAPACITY: usize = 16;
/// Changes whenever followers have to read the nodes again: u32.
pub const NODES_GEN: usize = 20;
/// The number of partitions: u32.
pub const PARTITION_COUNT: usize = 24;
/// How many tables are in use: u32.
pub const TABLES_SIZE: usize = 28;
/// How many tables there are: u32.
pub const TABLES_CAPACITY: usize = 32;
/// Where the tables begin: u32.
pub const TABLES_OFFSET: usize = 36;
/// The size of a table: u32.
pub const TABLE_SIZE: usize = 40;
/// The spin lock of a takeover: u32.
pub const TAKE_OVER_LOCK: usize = 44;
/// Whether somebody tends: u8.
pub const LOCK: usize = 48;
/// Whether the segment may be read: u8.
pub const READY: usize = 49;
/// Changes whenever followers have to read the racks again: u32.
pub const REBALANCE_GEN: usize = 52;

/// A field of the header.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// What it holds.
    pub name: &'static str,
    /// Where it lies.
    pub offset: usize,
    /// Its size, which is also its alignment.
    pub bytes: usize,
}

const fn field(name: &'static str, offset: usize, bytes: usize) -> Field {
    Field { name, offset, bytes }
}

/// All fields, by offset.
pub const FIELDS: [Field; 14] = [
    field("timestamp", TIMESTAMP, 8),
    field("owner_pid", OWNER_PID, 4),
    field("nodes_size", NODES_SIZE, 4),
    field("nodes_capacity", NODES_CAPACITY, 4),
    field("nodes_gen", NODES_GEN, 4),
    field("n_partitions", PARTITION_COUNT, 4),
    field("partition_tables_size", TABLES_SIZE, 4),
    field("partition_tables_capacity", TABLES_CAPACITY, 4),
    field("partition_tables_offset", TABLES_OFFSET, 4),
    field("partition_table_byte_size", TABLE_SIZE, 4),
    field("take_over_lock", TAKE_OVER_LOCK, 4),
    field("lock", LOCK, 1),
    field("ready", READY, 1),
    field("rebalance_gen", REBALANCE_GEN, 4),
];

/// A copy of the header. Any bit pattern is possible in each field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// When the owner last tended, in milliseconds of CLOCK_MONOTONIC.
    pub timestamp: u64,
    /// The process that tends.
    pub owner_pid: u32,
    /// How many slots were ever in use.
    pub nodes_size: u32,
    /// How many slots there are.
    pub nodes_capacity: u32,
    /// The generation of the nodes.
    pub nodes_gen: u32,
    /// The number of partitions.
    pub partitions: u32,
    /// How many tables are in use.
    pub tables_size: u32,
    /// How many tables there are.
    pub tables_capacity: u32,
    /// Where the tables begin.
    pub tables_offset: u32,
    /// The size of a table.
    pub table_bytes: u32,
    /// The spin lock of a takeover.
    pub take_over_lock: u32,
    /// Whether somebody tends (1).
    pub lock: u8,
    /// Whether the segment may be read (1).
    pub ready: u8,
    /// The generation of the racks.
    pub rebalance_gen: u32,
}

/// A segment that exists is not of the shape that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShapeError {
    /// It has another size.
    #[error(
        "the segment has {found} bytes; wanted {wanted} for layout {} with room for {} nodes and \
         {} namespaces; configure the layout and the sizes that its clients use",
        shape.layout, shape.capacity.max_nodes(), shape.capacity.max_namespaces()
    )]
    Size {
        /// Its size in bytes.
        found: usize,
        /// The size of the expected shape.
        wanted: usize,
        /// The expected shape.
        shape: Shape,
    },
    /// Its creator has not written the header yet.
    #[error("the header of the segment is empty: its creator has not finished; try again")]
    Empty,
    /// The distance of its nodes is that of another layout.
    #[error(
        "the nodes of the segment are {stride} bytes apart, as in layout {indicated} ({}); wanted \
         layout {wanted} ({}); give the version of the clients that use it, or another key",
        indicated.versions(), wanted.versions()
    )]
    Layout {
        /// The distance of two nodes in bytes.
        stride: usize,
        /// The newest layout of that distance.
        indicated: Layout,
        /// The expected layout.
        wanted: Layout,
    },
    /// A field of the header has another value.
    #[error(
        "{field} of the segment is {found}; wanted {wanted}; it was made for other sizes or is not a \
         segment of the C client"
    )]
    Field {
        /// The field's name.
        field: &'static str,
        /// Its value.
        found: u32,
        /// The value of the expected shape.
        wanted: u32,
    },
    /// More nodes or tables are in use than there are.
    #[error("{field} of the segment is {found}; wanted at most {most}; remove the segment")]
    Count {
        /// The field's name.
        field: &'static str,
        /// Its value.
        found: u32,
        /// The number that there are.
        most: u32,
    },
}

impl Header {
    /// The header of that copy.
    #[must_use]
    pub fn read(bytes: &[u8; HEADER_BYTES]) -> Header {
        let u32_at = |at: usize| super::words::u32_at(bytes, at);
        Header {
            timestamp: u64::from(u32_at(TIMESTAMP)) | u64::from(u32_at(TIMESTAMP + 4)) << 32,
            owner_pid: u32_at(OWNER_PID),
            nodes_size: u32_at(NODES_SIZE),
            nodes_capacity: u32_at(NODES_CAPACITY),
            nodes_gen: u32_at(NODES_GEN),
            partitions: u32_at(PARTITION_COUNT),
            tables_size: u32_at(TABLES_SIZE),
            tables_capacity: u32_at(TABLES_CAPACITY),
            tables_offset: u32_at(TABLES_OFFSET),
            table_bytes: u32_at(TABLE_SIZE),
            take_over_lock: u32_at(TAKE_OVER_LOCK),
            lock: bytes[LOCK],
            ready: bytes[READY],
            rebalance_gen: u32_at(REBALANCE_GEN),
        }
    }

    /// The distance of two nodes in bytes, which says which layouts are possible; `None`
    /// if the header contradicts itself.
    #[must_use]
    pub fn stride(&self) -> Option<usize> {
        let nodes = (self.tables_offset as usize).checked_sub(HEADER_BYTES)?;
        let capacity = self.nodes_capacity as usize;
        (capacity != 0 && nodes % capacity == 0).then(|| nodes / capacity)
    }

    /// The layouts that have that distance.
    pub fn layouts(&self) -> impl Iterator<Item = Layout> + use<> {
        let stride = self.stride();
        Layout::ALL.into_iter().filter(move |layout| Some(layout.node_bytes()) == stride)
    }

    /// The shape of the segment if it has that layout; `None` if the header contradicts
    /// it, or itself, or the size of the segment.
    #[must_use]
    pub fn shape(&self, layout: Layout, bytes: usize) -> Option<Shape> {
        let (nodes, tables) = (self.nodes_capacity as usize, self.tables_capacity as usize);
        let shape = Shape::new(layout, Capacity::new(nodes, tables).ok()?);
        shape.check(self, bytes).ok().map(|()| shape)
    }
}

impl Shape {
    /// Checks that a segment of that header and size has this shape.
    ///
    /// # Errors
    /// [`ShapeError`] names the first difference. The segment is then another's.
    pub fn check(&self, header: &Header, bytes: usize) -> Result<(), ShapeError> {
        let (nodes, tables) = (self.capacity.max_nodes(), self.capacity.max_namespaces());
        let empty = [header.nodes_capacity, header.partitions, header.tables_offset] == [0; 3];
        if empty && bytes == self.bytes() {
            return Err(ShapeError::Empty);
        }
        if let Some(indicated) = header.layouts().last() {
            let stride = indicated.node_bytes();
            if stride != self.layout.node_bytes() {
                return Err(ShapeError::Layout { stride, indicated, wanted: self.layout });
            }
        }
        if bytes != self.bytes() {
            return Err(ShapeError::Size { found: bytes, wanted: self.bytes(), shape: *self });
        }
        // All of them fit: the size of the segment does.
        let fields = [
            ("n_partitions", header.partitions, PARTITIONS),
            ("nodes_capacity", header.nodes_capacity, nodes),
            ("partition_tables_capacity", header.tables_capacity, tables),
            ("partition_tables_offset", header.tables_offset, self.table(0)),
            ("partition_table_byte_size", header.table_bytes, TABLE_BYTES),
        ];
        for (field, found, wanted) in fields {
            let wanted = wanted as u32;
            if found != wanted {
                return Err(ShapeError::Field { field, found, wanted });
            }
        }
        let counts = [
            ("nodes_size", header.nodes_size, header.nodes_capacity),
            ("partition_tables_size", header.tables_size, header.tables_capacity),
        ];
        for (field, found, most) in counts {
            if found > most {
                return Err(ShapeError::Count { field, found, most });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(shape: Shape) -> Header {
        Header {
            nodes_capacity: shape.capacity.max_nodes() as u32,
            partitions: PARTITIONS as u32,
            tables_capacity: shape.capacity.max_namespaces() as u32,
            tables_offset: shape.table(0) as u32,
            table_bytes: TABLE_BYTES as u32,
            ..Header::default()
        }
    }

    const E: Shape = Shape::new(Layout::E, Capacity::DEFAULT);
    const F: Shape = Shape::new(Layout::F, Capacity::DEFAULT);

    #[test]
    fn each_field_is_compared_with_what_is_expected() {
        assert_eq!(E.check(&of(E), E.bytes()), Ok(()));
        assert_eq!(E.check(&Header::default(), E.bytes()), Err(ShapeError::Empty));
        type Set = fn(&mut Header);
        let wrong: [(&str, Set); 7] = [
            ("n_partitions", |header| header.partitions = 1024),
            ("nodes_capacity", |header| header.nodes_capacity = 17),
            ("partition_tables_capacity", |header| header.tables_capacity = 9),
            ("partition_tables_offset", |header| header.tables_offset += 8),
            ("partition_table_byte_size", |header| header.table_bytes -= 8),
            ("nodes_size", |header| header.nodes_size = 17),
            ("partition_tables_size", |header| header.tables_size = u32::MAX),
        ];
        for (name, set) in wrong {
            let mut header = of(E);
            set(&mut header);
            let error = E.check(&header, E.bytes()).unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
        let larger = Shape::new(Layout::E, Capacity::new(32, 8).unwrap());
        let error = E.check(&of(larger), larger.bytes()).unwrap_err();
        assert!(matches!(error, ShapeError::Size { .. }), "{error}");
    }

    #[test]
    fn another_layout_is_named() {
        let error = E.check(&of(F), F.bytes()).unwrap_err();
        let layout = ShapeError::Layout { stride: 432, indicated: Layout::F, wanted: Layout::E };
        assert_eq!(error, layout);
        assert!(error.to_string().contains("7.4.1 to 7.6.1"), "{error}");
        let error = F.check(&of(E), E.bytes()).unwrap_err();
        assert!(matches!(error, ShapeError::Layout { stride: 424, .. }), "{error}");
        assert_eq!(of(E).layouts().collect::<Vec<_>>(), [Layout::D, Layout::E]);
        assert_eq!(of(F).shape(Layout::F, F.bytes()), Some(F));
        assert_eq!(of(F).shape(Layout::E, F.bytes()), None);
    }

    proptest! {
        #[test]
        fn any_header_gets_a_shape_or_an_error(
            bytes in proptest::array::uniform32(any::<u8>()),
            size in 0usize..1 << 20,
        ) {
            let mut header = [0; HEADER_BYTES];
            header[..32].copy_from_slice(&bytes);
            header[24..].copy_from_slice(&bytes);
            let header = Header::read(&header);
            let _ = header.stride();
            for shape in [E, F] {
                let _ = shape.check(&header, size).map_err(|error| error.to_string());
                prop_assert!(header.shape(shape.layout, size).is_none_or(|s| s.bytes() == size));
            }
        }
    }
}
