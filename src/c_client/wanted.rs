//! What a segment is to hold, from tendmap's map.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::layout::{Layout, PARTITIONS, Shape};
use super::words::{put, text_at, u16_at, u32_at};
use crate::map::{Build, ClusterMap, Namespace, NamespaceName, Node, NodeId, Slot, TlsName};

/// How many replicas of a partition an entry has at most.
pub const REPLICAS: usize = 3;

/// Marks a replica without holder.
pub const NOBODY: u16 = u16::MAX;

/// The rack of a node whose rack differs by namespace: followers ask the server.
pub const MIXED_RACK: i32 = -1;

/// The rack generation of every slot: no server's. A C client that becomes the owner
/// therefore asks each server for its racks.
const NO_GENERATION: u32 = u32::MAX;

/// What followers keep of a node for as long as its slot is active. They never notice a
/// change of it, so a node that changes in it moves to another slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Its id.
    pub id: NodeId,
    /// Its address.
    pub address: SocketAddr,
    /// The name in its certificate, if it has one.
    pub tls_name: Option<TlsName>,
    /// Its build; `None` if it is not known or the layout has no field for it.
    pub build: Option<Build>,
    /// The bits of what it can do.
    pub features: u32,
}

/// A node that a segment is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedNode {
    /// What followers keep of it.
    pub identity: Identity,
    /// Whether its build is known. Otherwise any build in a slot counts as its own.
    pub build_known: bool,
    /// Its rack, or [`MIXED_RACK`].
    pub rack: i32,
}

/// A namespace that a segment is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedNamespace {
    /// Its name.
    pub name: NamespaceName,
    /// Its replication factor as clients may use it: 1 to [`REPLICAS`].
    pub replication_factor: u8,
    /// Whether it is strongly consistent.
    pub strong_consistency: bool,
    /// By partition and replica, the index of the holder among the nodes, or [`NOBODY`].
    pub holders: Vec<[u16; REPLICAS]>,
    /// The regimes by partition.
    pub regimes: Vec<u32>,
}

/// What a segment is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// The nodes.
    pub nodes: Vec<WantedNode>,
    /// The namespaces.
    pub namespaces: Vec<WantedNamespace>,
}

/// The map can't be shown to a C client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the map has {found} partitions in each namespace; the C client can use only {PARTITIONS}")]
pub struct WantedError {
    /// The number of partitions.
    pub found: usize,
}

impl Wanted {
    /// What a segment of that layout is to hold of a map.
    ///
    /// All names fit: those of the map are no longer than the fields of the segment.
    ///
    /// # Errors
    /// [`WantedError`] if the map has another number of partitions than the C client.
    pub fn of(map: &ClusterMap, layout: Layout) -> Result<Wanted, WantedError> {
        let found = map.capacity().partitions;
        if found != PARTITIONS {
            return Err(WantedError { found });
        }
        // The index among the nodes, by slot of the map.
        let mut index = vec![NOBODY; map.nodes.slots()];
        let mut nodes = Vec::new();
        for (slot, node) in map.nodes.iter() {
            index[slot.index()] = nodes.len() as u16;
            nodes.push(WantedNode {
                identity: Identity::of(node, layout),
                build_known: node.build.is_some(),
                rack: rack(map.namespaces(), slot),
            });
        }
        let namespaces = map.namespaces().iter().map(|namespace| of_namespace(namespace, &index));
        Ok(Wanted { namespaces: namespaces.collect(), nodes })
    }
}

impl WantedNode {
    /// Whether a slot that holds this serves the node.
    pub(super) fn is_in(&self, held: &Identity) -> bool {
        let wanted = &self.identity;
        (wanted.id, wanted.address, wanted.tls_name) == (held.id, held.address, held.tls_name)
            && (!self.build_known || (wanted.build, wanted.features) == (held.build, held.features))
    }
}

fn of_namespace(namespace: &Namespace, index: &[u16]) -> WantedNamespace {
    let mut holders = vec![[NOBODY; REPLICAS]; PARTITIONS];
    for replica in 0..namespace.routable_replicas().min(REPLICAS) {
        let Some(slots) = namespace.partitions.holders(replica) else { break };
        for (holders, &slot) in holders.iter_mut().zip(slots) {
            holders[replica] = index.get(usize::from(slot)).copied().unwrap_or(NOBODY);
        }
    }
    WantedNamespace {
        name: namespace.name,
        // Clients take it for the length of an entry.
        replication_factor: namespace.replication_factor.clamp(1, REPLICAS as u8),
        strong_consistency: namespace.strong_consistency,
        holders,
        regimes: namespace.partitions.regimes().to_vec(),
    }
}

/// A node's rack: that of all namespaces for which it is known, 0 if it is for none.
fn rack(namespaces: &[Namespace], slot: Slot) -> i32 {
    let mut racks = namespaces.iter().filter_map(|namespace| namespace.rack(slot));
    let Some(first) = racks.next() else { return 0 };
    if racks.all(|rack| rack == first) { first } else { MIXED_RACK }
}

/// What a node of that build can do, as the bits that clients look at.
///
/// Of an unknown build only the first is claimed, which every server has that these
/// clients support: a client that believes too little uses a request that newer servers
/// still answer; one that believes too much sends a request that fails.
#[must_use]
pub fn features(build: Option<Build>) -> u32 {
    const fn since(major: u16, minor: u16, patch: u16, build: u16) -> Build {
        Build { major, minor, patch, build }
    }
    const SINCE: [Build; 5] = [
        since(4, 9, 0, 3), // scans by partition
        since(5, 7, 0, 7), // the command query-show
        since(6, 0, 0, 0), // batches of any operation
        since(6, 0, 0, 0), // queries by partition
        since(8, 1, 2, 0),
    ];
    let Some(build) = build else { return 1 };
    let bits = SINCE.iter().enumerate().filter(|&(_, since)| build >= *since);
    bits.fold(0, |features, (bit, _)| features | 1 << bit)
}

const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;

impl Identity {
    /// What a segment of that layout holds of a node.
    #[must_use]
    pub fn of(node: &Node, layout: Layout) -> Identity {
        let shown = node.build.filter(|&build| layout == Layout::F && numbers(build) != [0; 4]);
        Identity {
            id: node.id,
            address: node.address,
            tls_name: node.tls_name,
            build: shown,
            features: features(node.build),
        }
    }

    /// The image of a slot that holds it: all except the lock, and not active.
    pub(super) fn image(&self, layout: Layout, rack: i32) -> Vec<u8> {
        // As slot 0 of a segment that has no header.
        let at = Fields::of(layout);
        let mut image = vec![0; layout.node_bytes()];
        put(&mut image, at.name, self.id.as_bytes());
        put_address(&mut image, at.address, self.address);
        if let Some(tls_name) = &self.tls_name {
            put(&mut image, at.tls_name, tls_name.as_bytes());
        }
        if let Some(version) = at.version {
            for (place, number) in self.build.map(numbers).into_iter().flatten().enumerate() {
                put(&mut image, version + 2 * place, &number.to_ne_bytes());
            }
        }
        put(&mut image, at.features, &self.features.to_ne_bytes());
        put(&mut image, at.rebalance, &NO_GENERATION.to_ne_bytes());
        put(&mut image, at.rack, &rack.to_ne_bytes());
        image
    }

    /// What a slot of that image holds; `None` if it is not what any tender stores.
    pub(super) fn read(image: &[u8], layout: Layout) -> Option<Identity> {
        let at = Fields::of(layout);
        let tls_name = match text_at(image, at.tls_name, super::layout::TLS_NAME_BYTES)? {
            [] => None,
            name => Some(TlsName::from_bytes(name).ok()?),
        };
        let number = |version: usize, place: usize| u16_at(image, version + 2 * place);
        let build = at.version.map(|at| Build {
            major: number(at, 0),
            minor: number(at, 1),
            patch: number(at, 2),
            build: number(at, 3),
        });
        let build = build.filter(|&build| numbers(build) != [0; 4]);
        Some(Identity {
            id: name(image, layout)?,
            address: address_at(image, at.address)?,
            tls_name,
            build,
            features: u32_at(image, at.features),
        })
    }
}

/// The numbers of a build; zeros stand for one that is not known.
fn numbers(build: Build) -> [u16; 4] {
    [build.major, build.minor, build.patch, build.build]
}

/// The name in a slot of that image, if it is a node's.
pub(super) fn name(image: &[u8], layout: Layout) -> Option<NodeId> {
    let name = text_at(image, Fields::of(layout).name, super::layout::NAME_BYTES)?;
    NodeId::from_bytes(name).ok()
}

/// Offsets within a slot.
struct Fields {
    name: usize,
    address: usize,
    tls_name: usize,
    version: Option<usize>,
    features: usize,
    rebalance: usize,
    rack: usize,
}

impl Fields {
    fn of(layout: Layout) -> Fields {
        let shape = Shape::new(layout, super::layout::Capacity::DEFAULT);
        let within = |at: usize| at - shape.node(0);
        Fields {
            name: within(shape.name(0)),
            address: within(shape.address(0)),
            tls_name: within(shape.tls_name(0)),
            version: shape.version(0).map(within),
            features: within(shape.features(0)),
            rebalance: within(shape.rebalance_generation(0)),
            rack: within(shape.rack(0)),
        }
    }
}

/// As `sockaddr_in` or `sockaddr_in6`: the family and the scope native, the rest in
/// network order.
fn put_address(image: &mut [u8], at: usize, address: SocketAddr) {
    put(image, at + 2, &address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            put(image, at, &AF_INET.to_ne_bytes());
            put(image, at + 4, &v4.ip().octets());
        }
        SocketAddr::V6(v6) => {
            put(image, at, &AF_INET6.to_ne_bytes());
            put(image, at + 4, &v6.flowinfo().to_be_bytes());
            put(image, at + 8, &v6.ip().octets());
            put(image, at + 24, &v6.scope_id().to_ne_bytes());
        }
    }
}

fn address_at(image: &[u8], at: usize) -> Option<SocketAddr> {
    let port = u16::from_be_bytes(*image.get(at + 2..)?.first_chunk()?);
    match u16_at(image, at) {
        AF_INET => {
            let ip: [u8; 4] = *image.get(at + 4..)?.first_chunk()?;
            Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::from(ip)), port))
        }
        AF_INET6 => {
            let flow = u32::from_be_bytes(*image.get(at + 4..)?.first_chunk()?);
            let ip: [u8; 16] = *image.get(at + 8..)?.first_chunk()?;
            let scope = u32_at(image, at + 24);
            Some(SocketAddrV6::new(Ipv6Addr::from(ip), port, flow, scope).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::map::Capacity;
    use proptest::prelude::*;

    fn of_numbers([major, minor, patch, build]: [u16; 4]) -> Build {
        Build { major, minor, patch, build }
    }

    #[test]
    fn features_follow_the_build_and_an_unknown_one_claims_the_least() {
        let cases = [
            (None, 0b1),
            (Some([4, 8, 9, 9]), 0),
            (Some([4, 9, 0, 3]), 0b1),
            (Some([5, 7, 0, 6]), 0b1),
            (Some([5, 7, 0, 7]), 0b11),
            (Some([6, 0, 0, 0]), 0b1111),
            (Some([8, 1, 1, 9]), 0b1111),
            (Some([8, 1, 2, 0]), 0b11111),
            (Some([10, 0, 0, 0]), 0b11111),
        ];
        for (build, wanted) in cases {
            let build = build.map(of_numbers);
            assert_eq!(features(build), wanted, "{build:?}");
        }
    }

    proptest! {
        #[test]
        fn a_slot_reads_as_it_was_written(
            layout in proptest::sample::select(&Layout::ALL[..]),
            name in "[A-Z0-9]{1,19}",
            v4: bool, ip: [u8; 16], port: u16, flow: u32, scope: u32,
            tls_name in proptest::option::of("[a-z]{1,253}"),
            build in proptest::option::of(any::<[u16; 4]>()),
            rack: i32,
        ) {
            let address = match v4 {
                true => SocketAddr::new(IpAddr::V4(Ipv4Addr::new(ip[0], ip[1], ip[2], ip[3])), port),
                false => SocketAddrV6::new(Ipv6Addr::from(ip), port, flow, scope).into(),
            };
            let tls_name = tls_name.map(|name| TlsName::new(&name).unwrap());
            let build = build.map(of_numbers);
            let node = Node { id: NodeId::new(&name).unwrap(), address, tls_name, build };
            let identity = Identity::of(&node, layout);
            let image = identity.image(layout, rack);
            prop_assert_eq!(Identity::read(&image, layout), Some(identity));
            prop_assert_eq!(u32_at(&image, Fields::of(layout).rack) as i32, rack);
        }

        #[test]
        fn any_slot_is_a_node_or_nothing(image in proptest::collection::vec(any::<u8>(), 432)) {
            for layout in Layout::ALL {
                let _ = Identity::read(&image[..layout.node_bytes()], layout);
            }
        }
    }

    #[test]
    fn the_map_is_taken_over_by_index_and_up_to_three_replicas() {
        let mut map = ClusterMap::new(Capacity { max_replicas: 5, ..Capacity::DEFAULT });
        let node = |name: &str, port| {
            Node::new(NodeId::new(name).unwrap(), SocketAddr::from(([127, 0, 0, 1], port)))
        };
        let slots: Vec<_> =
            (0..4).map(|n| map.nodes.insert(node(&format!("N{n}"), 3000 + n)).unwrap()).collect();
        map.remove_node(slots[1]);
        for name in ["one", "two"] {
            map.namespace_entry(NamespaceName::new(name).unwrap()).unwrap();
        }
        let one = &mut map.namespaces_mut()[0];
        (one.replication_factor, one.strong_consistency) = (5, true);
        for replica in 0..5 {
            one.partitions.set_holder(7, replica, Some(slots[[3, 2, 0, 0, 0][replica]]));
        }
        one.partitions.set_regime(7, 9);
        one.set_rack(slots[2], Some(4));
        one.set_rack(slots[3], Some(5));
        map.namespaces_mut()[1].set_rack(slots[3], Some(6));
        let wanted = Wanted::of(&map, Layout::E).unwrap();
        let names: Vec<_> = wanted.nodes.iter().map(|node| node.identity.id.to_string()).collect();
        assert_eq!(names, ["N0", "N2", "N3"]);
        let racks: Vec<_> = wanted.nodes.iter().map(|node| node.rack).collect();
        assert_eq!(racks, [0, 4, MIXED_RACK]);
        let [one, two] = &wanted.namespaces[..] else { panic!("two namespaces") };
        assert_eq!((one.replication_factor, one.strong_consistency), (3, true));
        assert_eq!((one.holders[7], one.regimes[7]), ([2, 1, 0], 9));
        assert_eq!((two.replication_factor, two.strong_consistency), (1, false));
        assert!(two.holders.iter().all(|holders| *holders == [NOBODY; 3]));
        let small = ClusterMap::new(Capacity { partitions: 16, ..Capacity::DEFAULT });
        assert_eq!(Wanted::of(&small, Layout::E), Err(WantedError { found: 16 }));
    }
}
