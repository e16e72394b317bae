//! Whether a file is still where it was.
//!
//! If its name leads nowhere, there are two possible reasons. It was removed:
//! then no process will find it any more, and another file takes its place. Or
//! this process does not see it: it has changed its root, something was mounted
//! over the directory, or the directory was moved or removed as a whole. Then
//! the other processes still see it, or no process can create anything there;
//! processes that have the file open continue to use it.

use std::path::Path;

use rustix::fs::{lstat, stat};
use rustix::io::Errno;

use crate::descriptor::{FileId, KeptDescriptor};

/// Whether a file is still at its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whereabouts {
    /// Its name leads to it.
    Here,
    /// It was removed, or its name leads to another file.
    Gone,
    /// The directory is not the one that it was in, or does not exist.
    Unseen,
}

/// The directory that a path is in.
pub(super) fn directory_of(path: &Path) -> Option<FileId> {
    FileId::at(path.parent()?).ok()
}

/// Checks a file that was opened at `path`, in the directory `was_in`.
pub(super) fn whereabouts(
    path: &Path,
    was_in: Option<FileId>,
    file: &KeptDescriptor,
) -> Whereabouts {
    let named = lstat(path);
    if named.as_ref().is_ok_and(|found| FileId::of(found) == file.id()) {
        return Whereabouts::Here;
    }
    // A file that the host has closed counts as having names.
    let has_names = file.stat().is_none_or(|found| found.st_nlink > 0);
    let Some(directory) = path.parent().and_then(|directory| stat(directory).ok()) else {
        return Whereabouts::Unseen;
    };
    let same = was_in.is_none_or(|was_in| was_in == FileId::of(&directory));
    match named {
        // A process that has changed its user may lack the permission.
        Err(Errno::ACCESS | Errno::PERM) if has_names => Whereabouts::Here,
        _ if same || !has_names => Whereabouts::Gone,
        _ => Whereabouts::Unseen,
    }
}
