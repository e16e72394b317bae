//! A list of addresses.

use tendmap::internals::wire::info::parse_service;

pub fn run(bytes: &[u8]) {
    let (hosts, _) = parse_service(bytes);
    let text: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    // Parsed hosts can be written and parsed again without bad entries.
    let (again, bad) = parse_service(text.join(",").as_bytes());
    assert_eq!(again, hosts);
    assert!(bad.is_empty(), "{bad:?}");
}
