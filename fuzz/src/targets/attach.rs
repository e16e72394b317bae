//! A file with a segment's name: a valid header with changed bytes, under a correct
//! checksum so that its fields are reached, of any length, with any words.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use libfuzzer_sys::arbitrary::Unstructured;
use tendmap::client::Reader;
use tendmap::internals::layout::{Geometry, Header, HeaderError, Identity};
use tendmap::map::Capacity;
use tendmap::segment::{Place, list};

const CAPACITY: Capacity =
    Capacity { max_nodes: 2, max_namespaces: 1, max_replicas: 2, partitions: 8 };
/// The position of the checksum.
const CHECKSUM: std::ops::Range<usize> = 248..256;

pub fn run(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let Ok((changes, longer)) = input.arbitrary::<(Vec<(u8, u8)>, i16)>() else { return };
    let rest = input.take_rest();
    let key = 0xA700_0000;
    let identity = Identity {
        key,
        generation: 1,
        segment_id: 9,
        created_ns: 5,
        creator_pid: 1,
        lock_directory: 0,
    };
    let geometry = Geometry::new(CAPACITY).unwrap();
    let mut bytes = Header::new(identity, &geometry).bytes().to_vec();
    for (at, value) in changes {
        bytes[usize::from(at)] = value;
    }
    bytes.extend(rest);
    bytes.resize(geometry.total_bytes().saturating_add_signed(longer.into()), 0);
    let length = bytes.len() as u64;
    if let Err(HeaderError::Checksum { wanted, .. }) = Header::validate(&bytes, length) {
        bytes[CHECKSUM].copy_from_slice(&wanted.to_le_bytes());
    }
    let directory = std::env::temp_dir().join(format!("tendmap-fuzz-{}", std::process::id()));
    let place = Place { directory: directory.clone(), ..Place::of_key(key) };
    fs::create_dir_all(&directory).unwrap();
    fs::write(place.segment(1), &bytes).unwrap();
    fs::set_permissions(place.segment(1), Permissions::from_mode(0o600)).unwrap();
    if let Ok(reader) = Reader::attach(&place) {
        let _ = (reader.map(), reader.status().map(|status| status.verdict()));
        let mut router = reader.router();
        let _ = router.namespace("test");
    }
    let _ = list(&directory);
    let _ = fs::remove_dir_all(&directory);
}
