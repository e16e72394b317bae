//! The immutable header at the front of a segment.

use bytemuck::{Pod, Zeroable};
use static_assertions::{assert_eq_size, const_assert_eq};

use super::capacity::Capacity;
use super::geometry::{Geometry, frame, notes};
use super::words::{EVENT, HEAD, OWNER, OwnerWord, TIMES, TIMES_BUCKETS, TIMES_KINDS, TIMES_WORDS};

/// The version of this layout. It is part of every segment's name, so that two
/// layouts never meet; a change of the layout must increment it.
pub const LAYOUT_VERSION: u32 = 3;

const MAGIC: [u8; 8] = *b"TENDMAP\n";
const ENDIAN_MARK: u32 = 0x0102_0304;

/// A fingerprint of the sizes and offsets that this build was compiled with.
pub const LAYOUT_HASH: u64 = hash_words(&[
    LAYOUT_VERSION as u64,
    size_of::<Header>() as u64,
    HEAD as u64,
    OWNER as u64,
    OwnerWord::COUNT as u64,
    EVENT as u64,
    TIMES as u64,
    TIMES_WORDS as u64,
    TIMES_BUCKETS as u64,
    TIMES_KINDS as u64,
    frame::COUNTS as u64,
    frame::CHECKSUM as u64,
    frame::CLUSTER_NAME as u64,
    frame::PREFIX as u64,
    frame::NODE_ID as u64,
    frame::NODE_IP as u64,
    frame::NODE_PORT as u64,
    frame::NODE_BUILD as u64,
    frame::NODE_TLS as u64,
    frame::NODE_WORDS as u64,
    frame::NAMESPACE_NAME as u64,
    frame::NAMESPACE_WORDS as u64,
    frame::HEALTH_WORDS as u64,
    notes::CONDITIONS as u64,
    notes::REASONS as u64,
    notes::REASON_WORDS as u64,
    notes::DEPARTURES as u64,
    notes::DEPARTURE_WORDS as u64,
]);

/// The identity of a segment, as opposed to its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The key that the segment is named by.
    pub key: u32,
    /// The segment's generation under the key, from 1.
    pub generation: u64,
    /// A random number that names the lock file.
    pub segment_id: u64,
    /// The time of creation, in nanoseconds since 1970, for display only.
    pub created_ns: u64,
    /// The pid of the creator, for display only.
    pub creator_pid: u32,
    /// The directory of the lock file, as a number that differs from directory
    /// to directory; 0 = beside the segment's own file.
    pub lock_directory: u64,
}

/// The header as stored in the file.
#[repr(C)]
#[derive(Clone, Copy, Debug, Pod, Zeroable)]
pub struct Header {
    magic: [u8; 8],
    layout_version: u32,
    endian_mark: u32,
    layout_hash: u64,
    total_len: u64,
    header_len: u32,
    max_nodes: u32,
    max_namespaces: u32,
    max_replicas: u32,
    partitions: u32,
    key: u32,
    generation: u64,
    segment_id: u64,
    created_ns: u64,
    creator_pid: u32,
    reserved: u32,
    geometry: [u64; 6],
    lock_directory: u64,
    padding: [u64; 13],
    checksum: u64,
}

assert_eq_size!(Header, [u8; 256]);
const_assert_eq!(core::mem::offset_of!(Header, layout_version), 8);
const_assert_eq!(core::mem::offset_of!(Header, layout_hash), 16);
const_assert_eq!(core::mem::offset_of!(Header, total_len), 24);
const_assert_eq!(core::mem::offset_of!(Header, header_len), 32);
const_assert_eq!(core::mem::offset_of!(Header, partitions), 48);
const_assert_eq!(core::mem::offset_of!(Header, generation), 56);
const_assert_eq!(core::mem::offset_of!(Header, segment_id), 64);
const_assert_eq!(core::mem::offset_of!(Header, created_ns), 72);
const_assert_eq!(core::mem::offset_of!(Header, geometry), 88);
const_assert_eq!(core::mem::offset_of!(Header, lock_directory), 136);
const_assert_eq!(core::mem::offset_of!(Header, checksum), 248);

/// Why a header is not the header of a segment of this layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The file is shorter than a header.
    #[error("{found} bytes long, wanted at least {} for the header", size_of::<Header>())]
    Short {
        /// The length of the file.
        found: u64,
    },
    /// The file is not a segment.
    #[error("it does not begin with the magic bytes of a segment")]
    Magic,
    /// The segment was created on a machine with the other byte order.
    #[error("it was made with the other byte order")]
    Endian,
    /// The segment has another layout.
    #[error("layout version {found}, wanted {LAYOUT_VERSION}")]
    Version {
        /// Its layout version.
        found: u32,
    },
    /// The layout version is the same, but sizes and offsets differ.
    #[error(
        "layout hash {found:016x}, wanted {:016x}: another build of the same layout version",
        LAYOUT_HASH
    )]
    Hash {
        /// The hash that was found.
        found: u64,
    },
    /// The checksum does not match the header's bytes.
    #[error("header checksum {found:016x}, wanted {wanted:016x}: the header is damaged")]
    Checksum {
        /// The stored checksum.
        found: u64,
        /// The checksum of the bytes.
        wanted: u64,
    },
    /// A field is out of range.
    #[error("{field} is {found}, which is out of range: the header is damaged")]
    Field {
        /// The name of the field.
        field: &'static str,
        /// The value that was found.
        found: u64,
    },
    /// The length of the file is not the one that the header implies.
    #[error("{found} bytes long, wanted {wanted}: the file was truncated or extended")]
    Length {
        /// The length of the file.
        found: u64,
        /// The length that the header implies.
        wanted: u64,
    },
}

impl Header {
    /// The header of a new segment.
    pub fn new(identity: Identity, geometry: &Geometry) -> Header {
        let capacity = geometry.capacity();
        let mut header = Header {
            magic: MAGIC,
            layout_version: LAYOUT_VERSION,
            endian_mark: ENDIAN_MARK,
            layout_hash: LAYOUT_HASH,
            total_len: geometry.total_bytes() as u64,
            header_len: size_of::<Header>() as u32,
            max_nodes: capacity.max_nodes as u32,
            max_namespaces: capacity.max_namespaces as u32,
            max_replicas: capacity.max_replicas as u32,
            partitions: capacity.partitions as u32,
            key: identity.key,
            generation: identity.generation,
            segment_id: identity.segment_id,
            created_ns: identity.created_ns,
            creator_pid: identity.creator_pid,
            reserved: 0,
            geometry: geometry.fingerprint(),
            lock_directory: identity.lock_directory,
            padding: [0; 13],
            checksum: 0,
        };
        header.checksum = header.wanted_checksum();
        header
    }

    /// The header as bytes.
    pub fn bytes(&self) -> &[u8] {
        bytemuck::bytes_of(self)
    }

    /// The header as words; the first one is the magic.
    pub(super) fn words(&self) -> [u64; 32] {
        bytemuck::cast(*self)
    }

    /// Whether a private copy of a segment's first bytes is what a creator
    /// leaves behind that died before it stored the magic: zeros, or words that
    /// every header of this layout has.
    pub fn is_half_made(copy: &[u8]) -> bool {
        let Some(bytes) = copy.get(..size_of::<Header>()) else { return false };
        let header: Header = bytemuck::pod_read_unaligned(bytes);
        header.magic == [0; 8]
            && (header.endian_mark == 0 || header.endian_mark == ENDIAN_MARK)
            && (header.layout_hash == 0 || header.layout_hash == LAYOUT_HASH)
    }

    /// Whether a segment can have this length in bytes.
    pub fn is_length(bytes: u64) -> bool {
        bytes > Geometry::FRAMES as u64 && (bytes - Geometry::FRAMES as u64) % (2 * 4096) == 0
    }

    /// Validates a private copy of a file's first bytes against the file's real length; returns
    /// the identity and the geometry of the segment.
    ///
    /// # Errors
    /// [`HeaderError`] says what was found.
    pub fn validate(copy: &[u8], file_len: u64) -> Result<(Identity, Geometry), HeaderError> {
        let short = HeaderError::Short { found: file_len.min(copy.len() as u64) };
        let bytes = copy.get(..size_of::<Header>()).ok_or(short)?;
        let header: Header = bytemuck::pod_read_unaligned(bytes);
        if header.magic != MAGIC {
            return Err(HeaderError::Magic);
        }
        if header.endian_mark == ENDIAN_MARK.swap_bytes() {
            return Err(HeaderError::Endian);
        }
        if header.layout_version != LAYOUT_VERSION {
            return Err(HeaderError::Version { found: header.layout_version });
        }
        if header.layout_hash != LAYOUT_HASH {
            return Err(HeaderError::Hash { found: header.layout_hash });
        }
        let wanted = header.wanted_checksum();
        if header.checksum != wanted {
            return Err(HeaderError::Checksum { found: header.checksum, wanted });
        }
        header.check_fields(file_len)
    }

    fn check_fields(&self, file_len: u64) -> Result<(Identity, Geometry), HeaderError> {
        let field = |field, found| HeaderError::Field { field, found };
        let capacity = Capacity {
            max_nodes: self.max_nodes as usize,
            max_namespaces: self.max_namespaces as usize,
            max_replicas: self.max_replicas as usize,
            partitions: self.partitions as usize,
        };
        capacity.check().map_err(|error| field(error.name, error.found as u64))?;
        let geometry = Geometry::new(capacity).map_err(|_| field("total_len", self.total_len))?;
        if self.endian_mark != ENDIAN_MARK {
            return Err(field("endian_mark", self.endian_mark.into()));
        }
        if self.header_len as usize != size_of::<Header>() {
            return Err(field("header_len", self.header_len.into()));
        }
        if self.geometry != geometry.fingerprint() {
            return Err(field("geometry", self.geometry[4]));
        }
        if self.total_len != geometry.total_bytes() as u64 {
            return Err(field("total_len", self.total_len));
        }
        if self.generation == 0 {
            return Err(field("generation", 0));
        }
        if file_len != self.total_len {
            return Err(HeaderError::Length { found: file_len, wanted: self.total_len });
        }
        let identity = Identity {
            key: self.key,
            generation: self.generation,
            segment_id: self.segment_id,
            created_ns: self.created_ns,
            creator_pid: self.creator_pid,
            lock_directory: self.lock_directory,
        };
        Ok((identity, geometry))
    }

    fn wanted_checksum(&self) -> u64 {
        let copy = Header { checksum: 0, ..*self };
        hash_words(&copy.words())
    }
}

/// FNV-1a over words: enough to detect a damaged header, and usable in constants.
pub(crate) const fn hash_words(words: &[u64]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut i = 0;
    while i < words.len() {
        let mut byte = 0;
        while byte < 64 {
            hash ^= words[i] >> byte & 0xff;
            hash = hash.wrapping_mul(0x0000_0100_0000_01b3);
            byte += 8;
        }
        i += 1;
    }
    hash
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample() -> (Header, Geometry) {
        let geometry = Geometry::new(Capacity::DEFAULT).unwrap();
        let identity = Identity {
            key: 7,
            generation: 3,
            segment_id: 99,
            created_ns: 5,
            creator_pid: 1,
            lock_directory: 0,
        };
        (Header::new(identity, &geometry), geometry)
    }

    #[test]
    fn a_header_validates_and_tells_its_geometry() {
        let (header, geometry) = sample();
        let (identity, found) =
            Header::validate(header.bytes(), geometry.total_bytes() as u64).unwrap();
        assert_eq!(found, geometry);
        assert_eq!((identity.key, identity.generation, identity.segment_id), (7, 3, 99));
    }

    proptest! {
        /// A header with any single damaged byte is refused.
        #[test]
        fn h30_any_damaged_byte_is_found(at in 0usize..256, by in 1u8..) {
            let (header, geometry) = sample();
            let mut bytes = header.bytes().to_vec();
            bytes[at] ^= by;
            prop_assert!(Header::validate(&bytes, geometry.total_bytes() as u64).is_err());
        }

        #[test]
        fn h30_arbitrary_bytes_are_refused(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            prop_assert!(Header::validate(&bytes, bytes.len() as u64).is_err());
        }

        /// Fields out of range are refused even with a valid checksum.
        #[test]
        fn h30_hostile_fields_are_refused(nodes in 4097u32.., namespaces in 4097u32..) {
            let (mut header, geometry) = sample();
            header.max_nodes = nodes;
            header.max_namespaces = namespaces;
            header.checksum = header.wanted_checksum();
            let result = Header::validate(header.bytes(), geometry.total_bytes() as u64);
            let refused = matches!(result, Err(HeaderError::Field { .. }));
            prop_assert!(refused);
        }
    }

    #[test]
    fn h30_a_file_cut_short_is_refused() {
        let (header, geometry) = sample();
        let wanted = geometry.total_bytes() as u64;
        let found = wanted - 1;
        assert_eq!(
            Header::validate(header.bytes(), found).unwrap_err(),
            HeaderError::Length { found, wanted }
        );
    }

    #[test]
    fn h11_what_is_half_made_is_told_from_what_is_somebody_elses() {
        let (header, geometry) = sample();
        assert!(Header::is_length(geometry.total_bytes() as u64));
        assert!(!Header::is_length(geometry.total_bytes() as u64 + 4096));
        assert!(Header::is_half_made(&[0; 256]) && !Header::is_half_made(&[0; 255]));
        assert!(!Header::is_half_made(header.bytes()), "it is whole");
        // The words are stored from the last to the first.
        for stored in 1..32 {
            let mut bytes = header.bytes().to_vec();
            bytes[..stored * 8].fill(0);
            assert!(Header::is_half_made(&bytes), "{stored}");
        }
        let mut other = [0; 256];
        other[12] = 1;
        assert!(!Header::is_half_made(&other), "another program's counter");
    }

    #[test]
    fn h13_another_layout_version_is_named() {
        let (mut header, geometry) = sample();
        header.layout_version = 9;
        let error = Header::validate(header.bytes(), geometry.total_bytes() as u64).unwrap_err();
        assert_eq!(error, HeaderError::Version { found: 9 });
        assert!(error.to_string().contains("version 9, wanted 3"));
    }
}
