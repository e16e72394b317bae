//! What a test says that can't run here.

use std::fs::OpenOptions;
use std::io::Write;

/// The variable that names the file which the lines of skipped tests are added
/// to. The gate reads it: what it could have run must not be skipped.
const SKIPS: &str = "TENDMAP_SKIPS";

/// Says why a test, or a part of it, does not run here: to standard error, and to
/// the file that the environment names, since a test that passes is not heard.
pub fn skipped(why: &str) {
    eprintln!("skipped: {why}");
    let Some(path) = std::env::var_os(SKIPS) else { return };
    let binary = std::env::current_exe().unwrap();
    let binary = binary.file_name().unwrap().to_string_lossy().into_owned();
    // Without the hash that cargo adds.
    let binary = binary.rsplit_once('-').map_or(&*binary, |(name, _)| name);
    let thread = std::thread::current();
    let line = format!("{binary} {}: {why}\n", thread.name().unwrap_or("main"));
    // Another user, that a test has become, may not be allowed to write it.
    if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path) {
        file.write_all(line.as_bytes()).unwrap();
    }
}
