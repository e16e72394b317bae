//! Digests one by one and many at once, in every kind of lanes that the machine has,
//! compared with another implementation of RIPEMD-160.

use proptest::prelude::*;
use ripemd::{Digest as _, Ripemd160};
use serde_json::Value;
use tendmap::internals::route::Lanes;
use tendmap::route::{AsKey, Digest, InSet, Key, Keys, Record};

/// The digest by the other implementation.
fn judge(set: &str, key: Key<'_>) -> Digest {
    let hash = Ripemd160::new().chain_update(set);
    let hash = match key {
        Key::Integer(value) => hash.chain_update([1]).chain_update(value.to_be_bytes()),
        Key::Double(value) => hash.chain_update([2]).chain_update(value.to_be_bytes()),
        Key::Str(value) => hash.chain_update([3]).chain_update(value),
        Key::Bytes(value) => hash.chain_update([4]).chain_update(value),
        other => panic!("a key of unknown type: {other:?}"),
    };
    Digest::from_bytes(hash.finalize().into())
}

/// Checks these keys in all lanes.
#[track_caller]
fn check(keys: &(impl Keys + ?Sized), wanted: &[Digest]) {
    let len = wanted.len();
    for lanes in Lanes::available() {
        // The old content of the memory must not remain.
        let mut found = vec![Digest::from_bytes([0xee; Digest::LEN]); len];
        Digest::many_in(lanes, keys, &mut found);
        for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
            assert_eq!(found, wanted, "{lanes}, key {at} of {len}");
        }
    }
}

#[track_caller]
fn check_in_set<K: AsKey>(set: &str, keys: &[K]) {
    let wanted: Vec<Digest> = keys.iter().map(|key| judge(set, key.as_key())).collect();
    for (key, wanted) in keys.iter().zip(&wanted) {
        assert_eq!(Digest::of(set, key.as_key()), *wanted);
    }
    check(&InSet::new(set, keys), &wanted);
}

#[test]
fn lanes_that_the_machine_lacks_are_named() {
    let there: Vec<String> = Lanes::available().map(|lanes| lanes.to_string()).collect();
    assert_eq!(there[0], "portable");
    assert_eq!(Lanes::available().last(), Some(Lanes::best()));
    for name in ["AVX2", "AVX-512"] {
        if !there.iter().any(|there| there == name) {
            tendmap_testkit::skipped(&format!("this machine has no {name} lanes, only {there:?}"));
        }
    }
    let widths: Vec<usize> = Lanes::available().map(Lanes::width).collect();
    assert!(widths.is_sorted() && widths[0] == 4, "{widths:?}");
}

#[test]
fn the_vectors_hold_in_every_lane() {
    let text = include_str!("../../testkit/data/digests.json");
    let vectors: Vec<Value> = serde_json::from_str(text).expect("the vectors are JSON");
    let field = |vector: &Value, name: &str| vector[name].as_str().expect(name).to_owned();
    let values: Vec<String> = vectors
        .iter()
        .map(|vector| {
            field(vector, "value").repeat(vector["repeat"].as_u64().unwrap_or(1) as usize)
        })
        .collect();
    let sets: Vec<String> = vectors.iter().map(|vector| field(vector, "set")).collect();
    let records: Vec<Record> = vectors
        .iter()
        .zip(&values)
        .zip(&sets)
        .map(|((vector, value), set)| match field(vector, "type").as_str() {
            "integer" => Record::new(set, value.parse::<i64>().expect("an integer")),
            "string" => Record::new(set, value),
            "bytes" => Record::new(set, value.as_bytes()),
            other => panic!("vector of unknown type {other}"),
        })
        .collect();
    let wanted: Vec<Digest> =
        vectors.iter().map(|vector| field(vector, "digest").parse().expect("a digest")).collect();
    assert_eq!(wanted.len(), 26);
    check(&records[..], &wanted);
    // Each key in each lane, whatever its neighbours.
    for turn in 1..16 {
        let turned = |at: usize| (at + turn) % records.len();
        let records: Vec<Record> = (0..records.len()).map(|at| records[turned(at)]).collect();
        let wanted: Vec<Digest> = (0..wanted.len()).map(|at| wanted[turned(at)]).collect();
        check(&records[..], &wanted);
    }
}

#[test]
fn every_length_of_set_and_value_is_padded_right() {
    let bytes: Vec<u8> = (0..200).map(|byte: u8| byte.wrapping_mul(37) | 1).collect();
    let set = "s".repeat(130);
    for set_len in 0..=130 {
        let values: Vec<&[u8]> = (0..=140).map(|len| &bytes[len..][..len.min(200 - len)]).collect();
        check_in_set(&set[..set_len], &values);
        check_in_set(&set[..set_len], &[i64::MIN, -1, 0, 1, 0x0123_4567_89ab_cdef]);
    }
}

#[test]
fn a_long_key_among_short_ones_holds_its_own_digest() {
    let long = vec![7_u8; 100_000];
    for at in 0..40 {
        let mut keys: Vec<&[u8]> = vec![b"short"; 40];
        keys[at] = &long;
        check_in_set("set", &keys);
    }
}

#[test]
fn numbers_of_every_type_go_the_short_way_to_the_same_digest() {
    for n in 0..40 {
        check_in_set("users", &(0..n).map(|n| i64::MAX / 41 * n).collect::<Vec<_>>());
        check_in_set("users", &(0..n).map(|n| -(n as i32)).collect::<Vec<_>>());
        check_in_set("users", &(0..n).map(|n| n as u8).collect::<Vec<_>>());
        check_in_set("users", &(0..n).map(|n| n as f64 / 7.0).collect::<Vec<_>>());
        check_in_set("users", &(0..n).map(|n| n as f32 / 7.0).collect::<Vec<_>>());
    }
}

#[test]
fn digests_given_are_handed_through() {
    let digests: Vec<Digest> = (0..40).map(|n| judge("set", Key::Integer(n))).collect();
    check(&digests[..], &digests);
}

#[test]
#[should_panic(expected = "2 places for the digests of 3 keys")]
fn too_few_places_are_refused() {
    Digest::many(&InSet::new("set", &[1, 2, 3]), &mut [Digest::ZERO; 2]);
}

/// A key with memory of its own, for property tests.
#[derive(Clone, Debug)]
enum Owned {
    Integer(i64),
    Double(u64),
    Str(String),
    Bytes(Vec<u8>),
}

impl AsKey for Owned {
    fn as_key(&self) -> Key<'_> {
        match self {
            Owned::Integer(value) => Key::Integer(*value),
            Owned::Double(bits) => Key::Double(f64::from_bits(*bits)),
            Owned::Str(value) => Key::Str(value),
            Owned::Bytes(value) => Key::Bytes(value),
        }
    }
}

/// Mostly short, some of several blocks.
fn key() -> impl Strategy<Value = Owned> {
    prop_oneof![
        any::<i64>().prop_map(Owned::Integer),
        any::<u64>().prop_map(Owned::Double),
        ".{0,20}".prop_map(Owned::Str),
        ".{30,130}".prop_map(Owned::Str),
        prop::collection::vec(any::<u8>(), 0..60).prop_map(Owned::Bytes),
        prop::collection::vec(any::<u8>(), 50..400).prop_map(Owned::Bytes),
    ]
}

proptest! {
    #[test]
    fn keys_of_mixed_types_have_the_judges_digests(
        set in ".{0,70}",
        keys in prop::collection::vec(key(), 0..80),
    ) {
        check_in_set(&set, &keys);
    }

    #[test]
    fn keys_of_one_type_have_the_judges_digests(
        set in "[a-z]{0,70}",
        integers in prop::collection::vec(any::<i64>(), 0..50),
        doubles in prop::collection::vec(any::<f64>(), 0..50),
        texts in prop::collection::vec("[a-z0-9:-]{0,70}", 0..50),
        bytes in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..70), 0..50),
    ) {
        check_in_set(&set, &integers);
        check_in_set(&set, &doubles);
        check_in_set(&set, &texts);
        check_in_set(&set, &bytes);
    }

    #[test]
    fn records_of_mixed_sets_have_the_judges_digests(
        owned in prop::collection::vec(("[a-z]{0,40}", key()), 0..60),
    ) {
        let records: Vec<Record> =
            owned.iter().map(|(set, key)| Record::new(set, key.as_key())).collect();
        let wanted: Vec<Digest> = records.iter().map(|record| judge(record.set, record.key)).collect();
        check(&records[..], &wanted);
    }
}
