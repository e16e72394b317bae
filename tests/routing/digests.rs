//! Digests of keys against vectors taken from the servers' own clients.

use serde_json::Value;
use tendmap::route::{Digest, DigestError, Key};

fn vectors() -> Vec<Value> {
    serde_json::from_str(include_str!("../../testkit/data/digests.json"))
        .expect("the vectors are JSON")
}

fn digest(vector: &Value) -> Digest {
    let text = |field: &str| vector[field].as_str().expect(field);
    let value = text("value").repeat(vector["repeat"].as_u64().unwrap_or(1) as usize);
    let key = match text("type") {
        "integer" => Key::Integer(value.parse().expect("an integer")),
        "string" => Key::Str(&value),
        "bytes" => Key::Bytes(value.as_bytes()),
        other => panic!("vector of unknown type {other}"),
    };
    Digest::of(text("set"), key)
}

#[test]
fn a_key_has_the_digest_that_the_servers_compute() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 26);
    for vector in vectors {
        assert_eq!(digest(&vector).to_hex(), vector["digest"], "{vector}");
    }
}

#[test]
fn a_key_goes_to_the_partition_that_the_servers_compute() {
    for vector in vectors() {
        assert_eq!(digest(&vector).partition(4096) as u64, vector["partition"], "{vector}");
    }
}

#[test]
fn a_double_is_typed_and_big_endian() {
    // RIPEMD-160 of "set", 0x02 and the eight bytes of 1.0, by another
    // implementation.
    assert_eq!(Digest::of("set", 1.0).to_hex(), DOUBLE_ONE);
    assert_eq!(Digest::of("set", 1.0f32), Digest::of("set", 1.0f64));
    assert_ne!(Digest::of("set", 1.0), Digest::of("set", 1));
    assert_ne!(Digest::of("set", 0.0), Digest::of("set", -0.0));
}

const DOUBLE_ONE: &str = "b6f2d34a9e1e346b8fe1544f86f41cd48113fbd2";

#[test]
fn the_type_and_the_set_are_part_of_the_digest() {
    assert_ne!(Digest::of("set", "a"), Digest::of("set", b"a"));
    assert_ne!(Digest::of("set", "a"), Digest::of("", "a"));
    assert_eq!(Digest::of("set", 7u8), Digest::of("set", 7i64));
    assert_eq!(Digest::of("set", &String::from("a")), Digest::of("set", "a"));
    assert_eq!(Digest::of("set", &vec![97]), Digest::of("set", b"a"));
}

#[test]
fn partitions_use_both_low_bytes_and_nothing_else() {
    let mut bytes = [0xff; Digest::LEN];
    (bytes[0], bytes[1]) = (0x34, 0x92);
    let digest = Digest::from_bytes(bytes);
    assert_eq!(digest.partition(1), 0);
    assert_eq!(digest.partition(16), 0x4);
    assert_eq!(digest.partition(4096), 0x234);
    assert_eq!(digest.partition(65_536), 0x9234);
}

#[test]
fn hexadecimal_goes_both_ways_and_refuses_the_rest() {
    let digest = Digest::of("set", "haha");
    let hex = digest.to_hex();
    assert_eq!(hex.parse(), Ok(digest));
    assert_eq!(Digest::from_hex(&hex.to_uppercase()), Ok(digest));
    assert_eq!(Digest::from_hex(&hex[1..]), Err(DigestError::Length { found: 39 }));
    assert_eq!(Digest::from_hex(&hex.replace("36", "+6")), Err(DigestError::Digit { at: 0 }));
    assert_eq!(Digest::from_hex(&"é".repeat(20)), Err(DigestError::Digit { at: 0 }));
}
