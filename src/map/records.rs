//! The packed words of a frame's records, each a newtype over its payload.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use super::build::Build;
use super::node::Slot;
use crate::layout::{BYTES_PER_WORD, REPLICAS_PER_WORD};

/// Packs bytes 6 to a word; the rest of the last word is zero.
pub fn pack(bytes: &[u8], words: &mut [u64]) {
    for (chunk, word) in bytes.chunks(BYTES_PER_WORD).zip(words) {
        let mut padded = [0; 8];
        padded[..chunk.len()].copy_from_slice(chunk);
        *word = u64::from_le_bytes(padded);
    }
}

/// The first `len` bytes that [`pack`] put into these words; `None` if they
/// hold fewer.
pub fn unpack(words: &[u64], len: usize, out: &mut [u8]) -> Option<()> {
    let out = out.get_mut(..len)?;
    if len > words.len() * BYTES_PER_WORD {
        return None;
    }
    for (chunk, word) in out.chunks_mut(BYTES_PER_WORD).zip(words) {
        chunk.copy_from_slice(&word.to_le_bytes()[..chunk.len()]);
    }
    Some(())
}

/// `slots:16 | namespaces:16`: the extent of a frame's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableCounts(u64);

impl TableCounts {
    pub const fn new(slots: usize, namespaces: usize) -> TableCounts {
        TableCounts((slots as u64 & 0xffff) << 16 | namespaces as u64 & 0xffff)
    }
    pub const fn from_payload(payload: u64) -> TableCounts {
        TableCounts(payload)
    }
    pub const fn payload(self) -> u64 {
        self.0
    }
    pub const fn slots(self) -> usize {
        (self.0 >> 16 & 0xffff) as usize
    }
    pub const fn namespaces(self) -> usize {
        (self.0 & 0xffff) as usize
    }
}

/// The family of a node record's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
}

/// `incarnation:32 | id_len:8 | family:8`; an `id_len` of 0 = an empty slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeWord(u64);

impl NodeWord {
    pub const fn new(incarnation: u32, id_len: usize, family: Family) -> NodeWord {
        let family = match family {
            Family::V4 => 4,
            Family::V6 => 6,
        };
        NodeWord((incarnation as u64) << 16 | (id_len as u64 & 0xff) << 8 | family)
    }
    pub const fn empty(incarnation: u32) -> NodeWord {
        NodeWord((incarnation as u64) << 16)
    }
    pub const fn from_payload(payload: u64) -> NodeWord {
        NodeWord(payload)
    }
    pub const fn payload(self) -> u64 {
        self.0
    }
    pub const fn incarnation(self) -> u32 {
        (self.0 >> 16) as u32
    }
    pub const fn id_len(self) -> usize {
        (self.0 >> 8 & 0xff) as usize
    }
    pub const fn family(self) -> Option<Family> {
        match self.0 & 0xff {
            4 => Some(Family::V4),
            6 => Some(Family::V6),
            _ => None,
        }
    }
}

/// `port:16 | tls_len:8`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortWord(u64);

impl PortWord {
    pub const fn new(port: u16, tls_len: usize) -> PortWord {
        PortWord((port as u64) << 8 | tls_len as u64 & 0xff)
    }
    pub const fn from_payload(payload: u64) -> PortWord {
        PortWord(payload)
    }
    pub const fn payload(self) -> u64 {
        self.0
    }
    pub const fn port(self) -> u16 {
        (self.0 >> 8) as u16
    }
    pub const fn tls_len(self) -> usize {
        (self.0 & 0xff) as usize
    }
}

/// `present:1 | major:16 | minor:16` and `patch:16 | build:16`: a server's
/// build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildWords([u64; 2]);

impl BuildWords {
    const PRESENT: u64 = 1 << 32;

    pub const fn new(build: Option<Build>) -> BuildWords {
        match build {
            Some(Build { major, minor, patch, build }) => BuildWords([
                Self::PRESENT | (major as u64) << 16 | minor as u64,
                (patch as u64) << 16 | build as u64,
            ]),
            None => BuildWords([0; 2]),
        }
    }
    pub const fn from_payloads(payloads: [u64; 2]) -> BuildWords {
        BuildWords(payloads)
    }
    pub const fn payloads(self) -> [u64; 2] {
        self.0
    }
    pub const fn build(self) -> Option<Build> {
        let [first, second] = self.0;
        if first & Self::PRESENT == 0 {
            return None;
        }
        let (major, minor) = ((first >> 16) as u16, first as u16);
        Some(Build { major, minor, patch: (second >> 16) as u16, build: second as u16 })
    }
}

/// `name_len:8 | replication_factor:8 | strong_consistency:1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamespaceWord(u64);

impl NamespaceWord {
    pub const fn new(name_len: usize, replication_factor: u8, strong: bool) -> NamespaceWord {
        let name_len = (name_len as u64 & 0xff) << 9;
        NamespaceWord(name_len | (replication_factor as u64) << 1 | strong as u64)
    }
    pub const fn from_payload(payload: u64) -> NamespaceWord {
        NamespaceWord(payload)
    }
    pub const fn payload(self) -> u64 {
        self.0
    }
    pub const fn name_len(self) -> usize {
        (self.0 >> 9 & 0xff) as usize
    }
    pub const fn replication_factor(self) -> u8 {
        (self.0 >> 1) as u8
    }
    pub const fn strong_consistency(self) -> bool {
        self.0 & 1 != 0
    }
}

/// `present:1 | rack:32`, the rack as a signed number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RackWord(u64);

impl RackWord {
    pub const fn new(rack: Option<i32>) -> RackWord {
        match rack {
            Some(rack) => RackWord(1 << 32 | rack as u32 as u64),
            None => RackWord(0),
        }
    }
    pub const fn from_payload(payload: u64) -> RackWord {
        RackWord(payload)
    }
    pub const fn payload(self) -> u64 {
        self.0
    }
    pub const fn rack(self) -> Option<i32> {
        if self.0 >> 32 & 1 == 1 { Some(self.0 as u32 as i32) } else { None }
    }
}

/// `r2:16 | r1:16 | r0:16`: the slots of three replicas, all ones = nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoutingWord(u64);

impl RoutingWord {
    /// Packs slots, or [`Slot::NOBODY`], as the map stores them.
    #[inline(always)]
    pub const fn of_bits([first, second, third]: [u16; REPLICAS_PER_WORD]) -> RoutingWord {
        RoutingWord((third as u64) << 32 | (second as u64) << 16 | first as u64)
    }
    #[inline(always)]
    pub const fn from_payload(payload: u64) -> RoutingWord {
        RoutingWord(payload)
    }
    pub const fn payload(self) -> u64 {
        self.0
    }
    /// The replicas in a whole word as loaded, whatever its tag.
    #[inline(always)]
    pub const fn from_word(bits: u64) -> RoutingWord {
        RoutingWord(bits)
    }
    /// The slot of a replica (0 to 2) as stored: any 16 bits.
    #[inline(always)]
    pub const fn raw(self, replica: usize) -> usize {
        (self.0 >> (16 * replica) & 0xffff) as usize
    }
    pub const fn slot(self, replica: usize) -> Option<Slot> {
        Slot::new(self.raw(replica))
    }
}

/// The number of bytes of an address: those of its family, and 4 for an IPv6
/// address's scope.
pub const IP_BYTES: usize = 20;

/// An address, without its port, as the bytes of its family and its scope.
pub fn ip_bytes(address: SocketAddr) -> (Family, [u8; IP_BYTES]) {
    let mut bytes = [0; IP_BYTES];
    match address {
        SocketAddr::V4(v4) => {
            bytes[..4].copy_from_slice(&v4.ip().octets());
            (Family::V4, bytes)
        }
        SocketAddr::V6(v6) => {
            bytes[..16].copy_from_slice(&v6.ip().octets());
            bytes[16..].copy_from_slice(&v6.scope_id().to_le_bytes());
            (Family::V6, bytes)
        }
    }
}

/// The reverse of [`ip_bytes`], with the port.
pub fn address_of(family: Family, bytes: [u8; IP_BYTES], port: u16) -> SocketAddr {
    let [a, b, c, d, ..] = bytes;
    match family {
        Family::V4 => SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), port),
        Family::V6 => {
            let (mut ip, mut scope) = ([0; 16], [0; 4]);
            ip.copy_from_slice(&bytes[..16]);
            scope.copy_from_slice(&bytes[16..]);
            SocketAddrV6::new(Ipv6Addr::from(ip), port, 0, u32::from_le_bytes(scope)).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::PAYLOAD_MASK;
    use proptest::prelude::*;
    use std::net::IpAddr;

    fn slot() -> impl Strategy<Value = Option<Slot>> {
        proptest::option::of((0..Slot::LIMIT).prop_map(|index| Slot::new(index).unwrap()))
    }

    proptest! {
        #[test]
        fn counts_keep_their_fields(slots in 0usize..=4096, namespaces in 0usize..=4096) {
            let word = TableCounts::new(slots, namespaces);
            prop_assert!(word.payload() <= PAYLOAD_MASK);
            prop_assert_eq!((word.slots(), word.namespaces()), (slots, namespaces));
        }

        #[test]
        fn node_words_keep_their_fields(incarnation: u32, id_len in 1usize..20, six: bool) {
            let family = if six { Family::V6 } else { Family::V4 };
            let word = NodeWord::new(incarnation, id_len, family);
            prop_assert!(word.payload() <= PAYLOAD_MASK);
            prop_assert_eq!(word.incarnation(), incarnation);
            prop_assert_eq!((word.id_len(), word.family()), (id_len, Some(family)));
            let empty = NodeWord::empty(incarnation);
            prop_assert_eq!((empty.incarnation(), empty.id_len()), (incarnation, 0));
        }

        #[test]
        fn port_words_keep_their_fields(port: u16, tls_len in 0usize..254) {
            let word = PortWord::new(port, tls_len);
            prop_assert!(word.payload() <= PAYLOAD_MASK);
            prop_assert_eq!((word.port(), word.tls_len()), (port, tls_len));
        }

        #[test]
        fn build_words_keep_their_numbers(numbers: Option<(u16, u16, u16, u16)>) {
            let build = numbers.map(|(major, minor, patch, build)| Build { major, minor, patch, build });
            let words = BuildWords::new(build);
            prop_assert!(words.payloads().iter().all(|&payload| payload <= PAYLOAD_MASK));
            prop_assert_eq!(BuildWords::from_payloads(words.payloads()).build(), build);
        }

        #[test]
        fn namespace_words_keep_their_fields(len in 1usize..32, rf: u8, strong: bool) {
            let word = NamespaceWord::new(len, rf, strong);
            prop_assert!(word.payload() <= PAYLOAD_MASK);
            prop_assert_eq!(word.name_len(), len);
            prop_assert_eq!((word.replication_factor(), word.strong_consistency()), (rf, strong));
        }

        #[test]
        fn rack_words_keep_negative_racks(rack: Option<i32>) {
            let word = RackWord::new(rack);
            prop_assert!(word.payload() <= PAYLOAD_MASK);
            prop_assert_eq!(word.rack(), rack);
        }

        #[test]
        fn routing_words_keep_their_replicas(a in slot(), b in slot(), c in slot()) {
            let bits = |slot: Option<Slot>| slot.map_or(Slot::NOBODY, Slot::bits);
            let word = RoutingWord::of_bits([bits(a), bits(b), bits(c)]);
            prop_assert!(word.payload() <= PAYLOAD_MASK);
            prop_assert_eq!((word.slot(0), word.slot(1), word.slot(2)), (a, b, c));
        }

        /// No bit pattern makes an accessor panic or return a slot out of range.
        #[test]
        fn any_payload_is_harmless(payload: u64) {
            let routing = RoutingWord::from_payload(payload);
            for replica in 0..3 {
                let tagged = RoutingWord::from_word(payload | 7 << 48);
                prop_assert_eq!(tagged.raw(replica), routing.raw(replica));
                prop_assert!(routing.slot(replica).is_none_or(|slot| slot.index() < Slot::LIMIT));
            }
            let _ = (RackWord::from_payload(payload).rack(), NodeWord::from_payload(payload).family());
            let _ = (PortWord::from_payload(payload).port(), TableCounts::from_payload(payload).slots());
            let _ = NamespaceWord::from_payload(payload).replication_factor();
            // A build that was read can be written and is read again.
            let build = BuildWords::from_payloads([payload, payload.rotate_left(17)]).build();
            prop_assert_eq!(BuildWords::new(build).build(), build);
        }

        #[test]
        fn packed_bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 0..260)) {
            let mut words = [0; 44];
            pack(&bytes, &mut words);
            prop_assert!(words.iter().all(|&word| word <= PAYLOAD_MASK));
            let mut out = [0; 264];
            unpack(&words, bytes.len(), &mut out).unwrap();
            prop_assert_eq!(&out[..bytes.len()], &bytes[..]);
        }

        #[test]
        fn h58_addresses_come_back_with_their_scope(ip: IpAddr, port: u16, scope: u32) {
            let address = match ip {
                IpAddr::V6(ip) => SocketAddrV6::new(ip, port, 0, scope).into(),
                ip => SocketAddr::new(ip, port),
            };
            let (family, bytes) = ip_bytes(address);
            prop_assert_eq!(address_of(family, bytes, port), address);
        }
    }

    #[test]
    fn more_bytes_than_there_are_words_is_none() {
        assert!(unpack(&[0; 2], 13, &mut [0; 20]).is_none());
        assert!(unpack(&[0; 4], 21, &mut [0; 20]).is_none());
    }
}
