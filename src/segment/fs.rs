//! The names of files: reading those of a directory, removing one.

use std::fs;
use std::io;
use std::path::Path;

use super::error::SegmentError;

/// The names of a directory's files.
pub(super) fn files(directory: &Path) -> Result<Vec<String>, SegmentError> {
    crate::descriptor::names(directory).map_err(|error| {
        let directory = directory.to_path_buf();
        SegmentError::Directory { directory, error: error.into() }
    })
}

/// Removes a name; that it is already gone is no error.
pub(super) fn unlink(path: &Path) -> Result<(), SegmentError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(SegmentError::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}
