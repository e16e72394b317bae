//! Claims; 64 partitions keep the inputs short.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tendmap::tend::info::parse_replicas;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(claims) = parse_replicas(bytes, 64) {
        for claim in claims {
            assert_eq!(claim.columns.len(), usize::from(claim.replication_factor));
            assert!(claim.columns.iter().flat_map(|column| column.partitions()).all(|p| p < 64));
        }
    }
});
