//! A list of addresses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tendmap::tend::info::parse_service;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(hosts) = parse_service(bytes) {
        let text: Vec<String> = hosts.iter().map(ToString::to_string).collect();
        assert_eq!(parse_service(text.join(",").as_bytes()), Ok(hosts));
    }
});
