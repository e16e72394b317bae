//! A list of addresses.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tendmap::tend::info::parse_service;

fuzz_target!(|bytes: &[u8]| {
    let (hosts, _) = parse_service(bytes);
    let text: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    // Whatever was read can be written and read again, and nothing of it is bad.
    let (again, bad) = parse_service(text.join(",").as_bytes());
    assert_eq!(again, hosts);
    assert!(bad.is_empty(), "{bad:?}");
});
