//! All targets in one binary, so that one build is enough. The variable
//! `FUZZ_TARGET` selects the target. Without it the targets are listed.
#![cfg_attr(fuzzing, no_main)]

mod failure;
mod targets;

use std::sync::OnceLock;

/// The target that runs in this process.
fn chosen() -> fn(&[u8]) {
    static CHOSEN: OnceLock<fn(&[u8])> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let wanted = std::env::var("FUZZ_TARGET").unwrap_or_default();
        match targets::ALL.iter().find(|(name, _)| *name == wanted) {
            Some((_, run)) => *run,
            None => {
                targets::ALL.iter().for_each(|(name, _)| println!("{name}"));
                std::process::exit(0)
            }
        }
    })
}

libfuzzer_sys::fuzz_target!(
    init: {
        chosen();
    },
    |bytes: &[u8]| chosen()(bytes)
);
