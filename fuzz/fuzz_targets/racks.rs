//! Racks.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tendmap::tend::info::parse_racks;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(racks) = parse_racks(bytes) {
        let text: Vec<String> = racks.iter().map(|(name, rack)| format!("{name}:{rack}")).collect();
        assert_eq!(parse_racks(text.join(";").as_bytes()), Ok(racks));
    }
});
