//! Benchmarks of tendmap; see `benches/`.
