//! Claims, for 64 partitions, which keeps the inputs short.

use tendmap::internals::wire::info::parse_replicas;

pub fn run(bytes: &[u8]) {
    if let Ok(found) = parse_replicas(bytes, 64) {
        assert!(!found.claims.is_empty());
        for claim in found.claims {
            assert!(!found.unread.contains(&claim.namespace));
            assert_eq!(claim.columns.len(), usize::from(claim.replication_factor));
            assert!(claim.columns.iter().flat_map(|column| column.partitions()).all(|p| p < 64));
        }
    }
}
