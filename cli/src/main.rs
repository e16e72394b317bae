//! The command line: examines the segments of this host, tends a cluster in the
//! foreground, simulates one, and runs a demo.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use tendmap::WipingAllocator;

/// Wipes memory that is freed, because passwords pass through the memory of
/// parsers and of TLS.
#[global_allocator]
static WIPING: WipingAllocator = WipingAllocator;

fn main() -> ExitCode {
    tendmap_cli::run()
}
