//! The command line: looks at the segments of this host, tends a cluster in
//! the foreground, simulates one, and shows all of it at work.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use tendmap::WipingAllocator;

/// Passwords go through the memory of parsers and of TLS.
#[global_allocator]
static WIPING: WipingAllocator = WipingAllocator;

fn main() -> ExitCode {
    tendmap_cli::run()
}
