//! The header, field by field.

use tendmap::internals::layout::{Geometry, Header, Identity, LAYOUT_HASH, LAYOUT_VERSION};
use tendmap::map::Capacity;

use super::{document, formulas, number, source, values};
use crate::markdown::{read, table};

#[test]
fn the_header_is_as_the_document_says() {
    let header = table(&document(), &["byte", "field", "type", "content"]);
    let text = read("src/layout/header.rs");
    let fields = source(&text, "pub struct Header {").lines().skip(1);
    let fields = fields.map(|line| line.trim().trim_end_matches(',').split_once(": ").unwrap());
    let size = |kind: &str| match kind {
        "u32" => 4,
        "u64" => 8,
        "[u8; 8]" => 8,
        "[u64; 6]" => 48,
        "[u64; 13]" => 104,
        other => panic!("the type {other}"),
    };
    let mut at = 0;
    let fields: Vec<(String, String, u64)> = fields
        .map(|(name, kind)| {
            at += size(kind);
            (name.to_owned(), kind.to_owned(), at - size(kind))
        })
        .collect();
    let (names, kinds) = (header.column("field"), header.column("type"));
    let bytes: Vec<u64> = header.column("byte").iter().map(|cell| number(cell)).collect();
    let found: Vec<_> =
        names.into_iter().zip(kinds).zip(bytes).map(|((n, k), b)| (n, k, b)).collect();
    assert_eq!(found, fields);
    assert_eq!(at as usize, size_of::<Header>());

    // A header is read at the bytes of the document.
    let capacity = Capacity { max_nodes: 11, max_namespaces: 7, max_replicas: 5, partitions: 64 };
    let geometry = Geometry::new(capacity).unwrap();
    let identity = Identity {
        key: 0xA700_0001,
        generation: 3,
        segment_id: 0x1234_5678_9abc_def0,
        created_ns: 77,
        creator_pid: 99,
        lock_directory: 55,
    };
    let header = Header::new(identity, &geometry);
    let raw = header.bytes();
    let (formulas, values) = (formulas(), values(capacity));
    let geometry_at = |index: u64| {
        found.iter().find(|f| f.0 == "geometry").unwrap().2 as usize + 8 * index as usize
    };
    let word = |at: usize| u64::from_ne_bytes(raw[at..at + 8].try_into().unwrap());
    for (name, kind, at) in &found {
        let at = *at as usize;
        let value = match &**kind {
            "u32" => u32::from_ne_bytes(raw[at..at + 4].try_into().unwrap()).into(),
            _ => word(at),
        };
        let wanted = match &**name {
            "magic" => u64::from_ne_bytes(*b"TENDMAP\n"),
            "layout_version" => LAYOUT_VERSION.into(),
            "endian_mark" => 0x0102_0304,
            "layout_hash" => LAYOUT_HASH,
            "total_len" => formulas.value("total_bytes", &values),
            "header_len" => 256,
            "key" => identity.key.into(),
            "generation" => identity.generation,
            "segment_id" => identity.segment_id,
            "created_ns" => identity.created_ns,
            "creator_pid" => identity.creator_pid.into(),
            "lock_directory" => identity.lock_directory,
            "reserved" | "padding" => 0,
            "geometry" => formulas.value("namespaces", &values),
            "checksum" => {
                let mut copy = raw.to_vec();
                copy[at..at + 8].fill(0);
                // FNV-1a, from its definition.
                copy.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, &byte| {
                    (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
                })
            }
            capacity => values[capacity],
        };
        // Of the bytes of a word, the checksum takes the least significant first.
        if name != "checksum" || cfg!(target_endian = "little") {
            assert_eq!(value, wanted, "{name}");
        }
    }
    let content = document();
    let row = content.lines().find(|line| line.contains("| `geometry` |")).unwrap();
    let listed: Vec<&str> = row.rsplit("| `[u64; 6]` |").next().unwrap().split('`').collect();
    for (index, name) in (0..).zip(listed.iter().skip(1).step_by(2)) {
        assert_eq!(word(geometry_at(index)), formulas.value(name, &values), "{name}");
    }
    assert_eq!(word(geometry_at(5)), formulas.value("8 * frame(0)", &values));
}
