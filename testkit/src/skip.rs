//! Reports tests that can't run on this machine.

use std::fs::OpenOptions;
use std::io::Write;

/// The variable that names the file to which skipped tests are added. The gate reads
/// it, because no test may be skipped that could have run.
const SKIPS: &str = "TENDMAP_SKIPS";

/// Reports why a test, or a part of it, does not run here: to standard error, and to
/// the file that the environment names, because the output of a test that passes is
/// not shown.
pub fn skipped(why: &str) {
    eprintln!("skipped: {why}");
    let Some(path) = std::env::var_os(SKIPS) else { return };
    let binary = std::env::current_exe().unwrap();
    let binary = binary.file_name().unwrap().to_string_lossy().into_owned();
    // The name without the hash that cargo adds.
    let binary = binary.rsplit_once('-').map_or(&*binary, |(name, _)| name);
    let thread = std::thread::current();
    let line = format!("{binary} {}: {why}\n", thread.name().unwrap_or("main"));
    // A test may have become another user that may not write the file.
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) {
        file.write_all(line.as_bytes()).unwrap();
    }
}
