use std::fs::File;

use super::*;
use crate::layout::Capacity;

fn geometry() -> Geometry {
    Geometry::new(Capacity::DEFAULT).unwrap()
}

/// A file of that many bytes.
fn file(bytes: usize) -> File {
    let file = tempfile::tempfile_in("/dev/shm").unwrap();
    file.set_len(bytes as u64).unwrap();
    file
}

/// How often this process has the file mapped.
fn mappings(file: &File) -> usize {
    let inode = rustix::fs::fstat(file).unwrap().st_ino.to_string();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    maps.lines().filter(|line| line.split_whitespace().nth(4) == Some(&*inode)).count()
}

#[test]
fn a_file_that_is_too_short_is_not_mapped() {
    let bytes = geometry().total_bytes();
    for (length, fits) in [(0, false), (bytes - 1, false), (bytes, true), (bytes + 1, true)] {
        let file = file(length);
        for mapped in [
            Mapping::read_only(&file, geometry()).map(drop),
            WriteMapping::of_file(&file, geometry()).map(drop),
        ] {
            let kind = mapped.map_err(|error| error.kind());
            let wanted = if fits { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof) };
            assert_eq!(kind, wanted, "{length} of {bytes} bytes");
        }
    }
}

#[test]
fn a_second_mapping_ends_when_it_is_dropped() {
    let file = file(geometry().total_bytes());
    let first = Mapping::read_only(&file, geometry()).unwrap();
    let second = WriteMapping::of_mapped(&first).unwrap();
    assert_eq!(mappings(&file), 2);
    drop(second);
    assert_eq!(mappings(&file), 1);
    drop(first);
    assert_eq!(mappings(&file), 0);
}

/// The records of the notes follow each other without a gap or an overlap.
#[test]
fn the_records_of_the_notes_are_apart() {
    let mapping = WriteMapping::private(geometry()).unwrap();
    let reasons = (0..notes::REASONS).map(|index| mapping.reason(index));
    let departures = (0..notes::DEPARTURES).map(|index| mapping.departure(index));
    let mut next = mapping.conditions().as_ptr_range().end;
    for record in reasons.chain(departures) {
        assert_eq!(record.as_ptr(), next);
        assert!(!record.is_empty());
        next = record.as_ptr_range().end;
    }
    assert!(mapping.reason(notes::REASONS).is_empty());
    assert!(mapping.departure(notes::DEPARTURES).is_empty());
}
