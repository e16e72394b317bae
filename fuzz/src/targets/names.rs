//! What comes from a command line or a directory: keys, hosts, file names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tendmap::segment::{SegmentName, parse_key};
use tendmap::tend::Host;

fuzz_target!(|text: &str| {
    if let Ok(key) = parse_key(text) {
        assert_eq!(parse_key(&format!("{key:#x}")), Ok(key));
    }
    if let Some(name) = SegmentName::parse(text) {
        assert_eq!(name.to_string(), text);
    }
    if let Ok(host) = text.parse::<Host>() {
        assert_eq!(host.to_string().parse::<Host>(), Ok(host));
    }
});
