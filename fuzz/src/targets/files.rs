//! Text from directories and the kernel: names of files, rows of
//! `/proc/sysvipc/shm`.

use std::path::Path;

use tendmap::internals::segment::fuzzing::{
    foreign_lock, is_system_v_lock, lock_path, parse_lock, row,
};
use tendmap::internals::segment::SegmentName;
use tendmap::segment::Backend;

pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(name) = text.parse::<SegmentName>() {
        assert_eq!(name.to_string(), text);
    }
    for backend in [Backend::File, Backend::SystemV] {
        let Some((key, id)) = parse_lock(backend, &text) else { continue };
        let written = lock_path(backend, Path::new(""), key, id);
        let written = written.to_str().unwrap();
        assert_eq!(parse_lock(backend, written), Some((key, id)));
        assert_eq!(foreign_lock(written).map(|(of, key, _)| (of, key)), Some((backend, key)));
        assert_eq!(is_system_v_lock(written, key), backend == Backend::SystemV);
    }
    // Of another layout's lock only its segment is known.
    if let Some((Backend::SystemV, key, _)) = foreign_lock(&text) {
        let _ = is_system_v_lock(&text, key);
    }
    for line in text.lines() {
        if let Some((mode, fields)) = row(line) {
            assert!(mode <= 0o777);
            let written = format!(
                "{} {} {mode:o} {} 0 0 {} {} 0 {}",
                fields[0], fields[1], fields[2], fields[3], fields[4], fields[5]
            );
            assert_eq!(row(&written), Some((mode, fields)), "{written}");
        }
    }
}
