//! A copy of a segment as plain values.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::super::header::{HEADER_BYTES, Header, ShapeError};
use super::super::layout::{
    Capacity, Layout, NAME_BYTES, NAMESPACE_BYTES, PARTITIONS, Shape, TLS_NAME_BYTES,
};
use super::super::words::u32_at;
use crate::map::Build;

/// The families of a `sockaddr` on Linux.
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
/// The size of a `sockaddr_storage`.
const ADDRESS_BYTES: usize = 128;

/// A slot of the segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSlot {
    /// The node's name, with what is no UTF-8 replaced.
    pub name: String,
    /// Its address; `None` if it is neither IPv4 nor IPv6.
    pub address: Option<SocketAddr>,
    /// Its TLS name; empty if it has none.
    pub tls_name: String,
    /// The build of its server, where the layout has one and it was stored.
    pub build: Option<Build>,
    /// Its rack; -1 if it differs by namespace.
    pub rack: i32,
    /// Whether clients use it.
    pub active: bool,
    /// The slot's lock.
    pub lock: u32,
}

/// The partitions of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// The namespace, with what is no UTF-8 replaced.
    pub name: String,
    /// The replication factor; `None` where the layout has none.
    pub replicas: Option<u8>,
    /// Whether the namespace is strongly consistent.
    pub strong: bool,
    /// For each partition the holders of its replicas: slot + 1, or 0.
    pub holders: Vec<[u32; 3]>,
}

/// What is wrong with the entries of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableFaults {
    /// Partitions without a master.
    pub holes: usize,
    /// Partitions with a holder whose slot is not active.
    pub inactive: usize,
    /// Partitions with a holder that is not among the slots in use.
    pub nonexistent: usize,
}

/// A copy of a segment. Any content is possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// The header.
    pub header: Header,
    /// The layouts that header and size fit, oldest first.
    pub layouts: Vec<Layout>,
    /// Why none fits.
    pub error: Option<ShapeError>,
    /// The layout by which the content was read, one of those that fit.
    pub layout: Option<Layout>,
    /// Whether the content shows that it is that layout and none of the others.
    pub layout_is_certain: bool,
    /// The slots that are or were in use.
    pub nodes: Vec<NodeSlot>,
    /// The tables in use.
    pub tables: Vec<Table>,
}

/// The text up to the first NUL.
fn text(bytes: &[u8], at: usize, most: usize) -> String {
    let field = bytes.get(at..).unwrap_or_default();
    let field = &field[..field.len().min(most)];
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    String::from_utf8_lossy(&field[..end]).into_owned()
}

fn byte(bytes: &[u8], at: usize) -> u8 {
    bytes.get(at).copied().unwrap_or(0)
}

/// The address in a `sockaddr_storage`.
fn address(bytes: &[u8], at: usize) -> Option<SocketAddr> {
    let field: [u8; ADDRESS_BYTES] = bytes.get(at..)?.first_chunk().copied()?;
    let port = u16::from_be_bytes([field[2], field[3]]);
    match u16::from_ne_bytes([field[0], field[1]]) {
        AF_INET => {
            let ip: [u8; 4] = field[4..].first_chunk().copied()?;
            Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(ip)), port))
        }
        AF_INET6 => {
            let ip: [u8; 16] = field[8..].first_chunk().copied()?;
            let scope = u32_at(&field, 24);
            Some(SocketAddr::V6(core::net::SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, scope)))
        }
        _ => None,
    }
}

fn node(bytes: &[u8], shape: Shape, slot: usize) -> NodeSlot {
    let half = |at: usize| {
        let half = bytes.get(at..).and_then(|rest| rest.first_chunk());
        half.copied().map_or(0, u16::from_ne_bytes)
    };
    let build = |at: usize| {
        let [major, minor, patch, build] = [0, 2, 4, 6].map(|offset| half(at + offset));
        (major != 0).then_some(Build { major, minor, patch, build })
    };
    NodeSlot {
        name: text(bytes, shape.name(slot), NAME_BYTES),
        address: address(bytes, shape.address(slot)),
        tls_name: text(bytes, shape.tls_name(slot), TLS_NAME_BYTES),
        build: shape.version(slot).and_then(build),
        rack: u32_at(bytes, shape.rack(slot)) as i32,
        active: byte(bytes, shape.active(slot)) != 0,
        lock: u32_at(bytes, shape.slot_lock(slot)),
    }
}

fn table(bytes: &[u8], shape: Shape, index: usize) -> Table {
    let replicas = shape.layout.replicas();
    let entry = |partition| {
        let mut holders = [0; 3];
        for (replica, holder) in holders.iter_mut().enumerate().take(replicas) {
            *holder = u32_at(bytes, shape.holder(index, partition, replica));
        }
        holders
    };
    Table {
        name: text(bytes, shape.table(index), NAMESPACE_BYTES),
        replicas: shape.replica_size(index).map(|at| byte(bytes, at)),
        strong: byte(bytes, shape.sc_mode(index)) != 0,
        holders: (0..PARTITIONS).map(entry).collect(),
    }
}

/// The layout that the content shows, if several fit: D has `sc_mode` where E has the
/// replication factor. `true`: it can't be the other one.
fn choose(bytes: &[u8], header: &Header, fitting: &[Shape]) -> Option<(Shape, bool)> {
    let newest = *fitting.last()?;
    let oldest = fitting[0];
    if oldest.layout == newest.layout {
        return Some((newest, true));
    }
    let tables = 0..header.tables_size as usize;
    let sizes = tables.filter_map(|index| newest.replica_size(index)).map(|at| byte(bytes, at));
    let (mut zero, mut many) = (false, false);
    for size in sizes {
        zero |= size == 0;
        many |= size > 1;
    }
    Some(match (zero, many) {
        (true, false) => (oldest, true),
        (false, true) => (newest, true),
        _ => (newest, false),
    })
}

/// The shape that was meant, to explain why the segment does not have it.
fn meant(header: &Header, bytes: usize) -> Shape {
    let by_size = |layout: &Layout| Shape::new(*layout, Capacity::DEFAULT).bytes() == bytes;
    let by_stride = header.layouts().last();
    let layout = by_stride.or_else(|| Layout::ALL.into_iter().rev().find(by_size));
    let capacity = Capacity::new(header.nodes_capacity as usize, header.tables_capacity as usize);
    let capacity = if by_stride.is_some() { capacity.ok() } else { None };
    Shape::new(layout.unwrap_or(Layout::F), capacity.unwrap_or(Capacity::DEFAULT))
}

impl Picture {
    /// How many bytes from the start of a segment of that header and size a picture is
    /// made of.
    #[must_use]
    pub fn extent(header: &Header, bytes: usize) -> usize {
        let shape = Layout::ALL.into_iter().find_map(|layout| header.shape(layout, bytes));
        shape.map_or(HEADER_BYTES, |shape| shape.table(header.tables_size as usize))
    }

    /// The picture of a segment of that size which begins with those bytes. What lies
    /// behind them counts as zero.
    #[must_use]
    pub fn of(copy: &[u8], bytes: usize) -> Picture {
        let mut head = [0; HEADER_BYTES];
        let there = copy.len().min(HEADER_BYTES);
        head[..there].copy_from_slice(&copy[..there]);
        let header = Header::read(&head);
        let fitting: Vec<Shape> =
            Layout::ALL.into_iter().filter_map(|layout| header.shape(layout, bytes)).collect();
        let error = match fitting.is_empty() {
            true => meant(&header, bytes).check(&header, bytes).err(),
            false => None,
        };
        let chosen = choose(copy, &header, &fitting);
        let (mut nodes, mut tables) = (Vec::new(), Vec::new());
        if let Some((shape, _)) = chosen {
            // Both numbers were checked with the shape.
            nodes = (0..header.nodes_size as usize).map(|slot| node(copy, shape, slot)).collect();
            tables =
                (0..header.tables_size as usize).map(|index| table(copy, shape, index)).collect();
        }
        Picture {
            header,
            layouts: fitting.iter().map(|shape| shape.layout).collect(),
            error,
            layout: chosen.map(|(shape, _)| shape.layout),
            layout_is_certain: chosen.is_some_and(|(_, certain)| certain),
            nodes,
            tables,
        }
    }

    /// The size of the segment's part that has the nodes.
    #[must_use]
    pub fn nodes_extent(header: &Header, bytes: usize) -> usize {
        Picture::extent(header, bytes).min(header.tables_offset as usize)
    }

    /// How many slots are active.
    #[must_use]
    pub fn active(&self) -> usize {
        self.nodes.iter().filter(|node| node.active).count()
    }

    /// The node that an entry names; `None` if it names none that is active.
    #[must_use]
    pub fn holder(&self, entry: u32) -> Option<&NodeSlot> {
        let slot = (entry as usize).checked_sub(1)?;
        self.nodes.get(slot).filter(|node| node.active)
    }

    /// What is wrong with the entries of a table.
    #[must_use]
    pub fn faults(&self, table: &Table) -> TableFaults {
        let mut faults = TableFaults::default();
        for holders in &table.holders {
            let named = || holders.iter().filter(|&&entry| entry != 0);
            let exists = |entry: &&u32| (**entry as usize) <= self.nodes.len();
            faults.holes += usize::from(holders[0] == 0);
            faults.nonexistent += usize::from(!named().all(|entry| exists(&entry)));
            let inactive = |entry: &u32| self.holder(*entry).is_none();
            faults.inactive += usize::from(named().filter(exists).any(inactive));
        }
        faults
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::c_client::header;
    use crate::c_client::layout::TABLE_BYTES;
    use proptest::prelude::*;

    /// A segment as a C client would fill it: two nodes, one namespace.
    pub fn healthy(layout: Layout) -> (Shape, Vec<u8>) {
        let shape = Shape::new(layout, Capacity::DEFAULT);
        let mut bytes = vec![0; shape.bytes()];
        for (at, value) in [
            (header::OWNER_PID, 77),
            (header::NODES_SIZE, 2),
            (header::NODES_CAPACITY, 16),
            (header::PARTITION_COUNT, PARTITIONS),
            (header::TABLES_SIZE, 1),
            (header::TABLES_CAPACITY, 8),
            (header::TABLES_OFFSET, shape.table(0)),
            (header::TABLE_SIZE, TABLE_BYTES),
        ] {
            put(&mut bytes, at, value as u32);
        }
        (bytes[header::LOCK], bytes[header::READY]) = (1, 1);
        bytes[..8].copy_from_slice(&100_000u64.to_ne_bytes());
        for slot in 0..2 {
            let name = format!("BB9{slot:012}");
            bytes[shape.name(slot)..][..name.len()].copy_from_slice(name.as_bytes());
            let address = shape.address(slot);
            bytes[address..][..2].copy_from_slice(&AF_INET.to_ne_bytes());
            bytes[address + 2..][..6].copy_from_slice(&[11, 184, 127, 0, 0, 1 + slot as u8]);
            bytes[shape.active(slot)] = 1;
        }
        bytes[shape.table(0)..][..4].copy_from_slice(b"test");
        if let Some(at) = shape.replica_size(0) {
            bytes[at] = 2;
        }
        for partition in 0..PARTITIONS {
            let first = partition % 2;
            put(&mut bytes, shape.holder(0, partition, 0), first as u32 + 1);
            put(&mut bytes, shape.holder(0, partition, 1), 2 - first as u32);
        }
        (shape, bytes)
    }

    pub fn put(bytes: &mut [u8], at: usize, value: u32) {
        bytes[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }

    #[test]
    fn each_layout_is_read() {
        for layout in Layout::ALL {
            let (shape, mut bytes) = healthy(layout);
            if let Some(at) = shape.version(1) {
                for (index, number) in [8u16, 1, 2, 3].into_iter().enumerate() {
                    bytes[at + 2 * index..][..2].copy_from_slice(&number.to_ne_bytes());
                }
            }
            put(&mut bytes, shape.rack(1), u32::MAX);
            let picture = Picture::of(&bytes, bytes.len());
            let layouts =
                if layout == Layout::F { vec![layout] } else { vec![Layout::D, Layout::E] };
            assert_eq!((picture.layouts.clone(), picture.error), (layouts, None));
            assert_eq!((picture.layout, picture.layout_is_certain), (Some(layout), true));
            let node = &picture.nodes[1];
            assert_eq!((node.name.as_str(), node.active), ("BB9000000000001", true));
            assert_eq!(node.address, Some("127.0.0.2:3000".parse().unwrap()));
            assert_eq!(node.rack, -1);
            let build = (layout == Layout::F).then(|| "8.1.2.3".to_owned());
            assert_eq!(node.build.map(|build| build.to_string()), build);
            let table = &picture.tables[0];
            assert_eq!(table.name, "test");
            assert_eq!((table.holders[3], table.holders[4]), ([2, 1, 0], [1, 2, 0]));
            assert_eq!(picture.faults(table), TableFaults::default());
            assert_eq!(Picture::extent(&picture.header, bytes.len()), shape.table(1));
            assert_eq!(Picture::nodes_extent(&picture.header, bytes.len()), shape.table(0));
        }
    }

    #[test]
    fn an_address_is_ipv4_or_ipv6_or_none() {
        let mut field = [0; ADDRESS_BYTES];
        assert_eq!(address(&field, 0), None);
        field[..2].copy_from_slice(&AF_INET6.to_ne_bytes());
        field[2..4].copy_from_slice(&3000u16.to_be_bytes());
        field[8..24].copy_from_slice(&"fe80::1".parse::<Ipv6Addr>().unwrap().octets());
        put(&mut field, 24, 2);
        assert_eq!(address(&field, 0).unwrap().to_string(), "[fe80::1%2]:3000");
        assert_eq!(address(&field, 1), None);
    }

    #[test]
    fn faults_of_entries_are_counted_by_partition() {
        let (shape, mut bytes) = healthy(Layout::E);
        put(&mut bytes, shape.holder(0, 0, 0), 0);
        put(&mut bytes, shape.holder(0, 1, 2), 3);
        put(&mut bytes, shape.holder(0, 2, 2), u32::MAX);
        bytes[shape.active(1)] = 0;
        let picture = Picture::of(&bytes, bytes.len());
        let faults = TableFaults { holes: 1, inactive: PARTITIONS, nonexistent: 2 };
        assert_eq!(picture.faults(&picture.tables[0]), faults);
        assert_eq!(picture.active(), 1);
    }

    #[test]
    fn a_segment_of_no_layout_says_why() {
        let (shape, mut bytes) = healthy(Layout::F);
        put(&mut bytes, header::TABLE_SIZE, 5);
        let picture = Picture::of(&bytes, bytes.len());
        assert!(matches!(picture.error, Some(ShapeError::Field { .. })), "{:?}", picture.error);
        assert_eq!((picture.layout, picture.nodes.len()), (None, 0));
        let zeros = vec![0; shape.bytes()];
        assert_eq!(Picture::of(&zeros, zeros.len()).error, Some(ShapeError::Empty));
        assert!(Picture::of(&[], 5).error.is_some());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn random_bytes_get_a_picture(
            seed in any::<u64>(),
            layout in proptest::sample::select(&Layout::ALL[..]),
            (kept, cut) in (0usize..HEADER_BYTES + 8, 0usize..600_000),
        ) {
            let (shape, start) = healthy(layout);
            let mut random = fastrand::Rng::with_seed(seed);
            let mut bytes: Vec<u8> = core::iter::repeat_with(|| random.u8(..)).take(shape.bytes()).collect();
            // With more of the header, more of the rest is read.
            bytes[..kept.min(HEADER_BYTES)].copy_from_slice(&start[..kept.min(HEADER_BYTES)]);
            bytes.truncate(cut);
            let picture = Picture::of(&bytes, shape.bytes());
            prop_assert!(picture.nodes.len() <= 16 && picture.tables.len() <= 8);
            prop_assert_eq!(picture.layout.is_some(), picture.error.is_none());
            for table in &picture.tables {
                prop_assert_eq!(table.holders.len(), PARTITIONS);
                let _ = picture.faults(table);
            }
            prop_assert!(Picture::extent(&picture.header, shape.bytes()) <= shape.bytes());
        }
    }
}
