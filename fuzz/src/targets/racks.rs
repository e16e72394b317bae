//! Racks.

use tendmap::internals::wire::info::parse_racks;

pub fn run(bytes: &[u8]) {
    let found = parse_racks(bytes);
    let text: Vec<String> =
        found.racks.iter().map(|(name, rack)| format!("{name}:{rack}")).collect();
    // Parsed racks can be written and parsed again without bad entries.
    let again = parse_racks(text.join(";").as_bytes());
    assert_eq!(again.racks, found.racks);
    assert!(again.bad.is_empty(), "{:?}", again.bad);
}
