//! A note in a lock file: what the holder of a byte leaves for its successor.
//!
//! The kernel frees the byte when the holder dies, and the note remains: a
//! process that gets the byte learns what that one had done. Like the locks it
//! only determines when something is done.

use nix::sys::resource::Resource;
use rustix::io::{pread, pwrite};

use super::LockFile;
use crate::limits::limit;

/// Where the note is: after the file's name, which is shorter.
const OFFSET: u64 = 256;

impl LockFile {
    /// The two numbers of the note; `None` if there is none, or if this process
    /// may not read the file.
    pub fn note(&self) -> Option<(u64, u64)> {
        let handle = self.handle().ok()?;
        let mut note = [0; 16];
        let length = pread(handle.file().ok()?, &mut note, OFFSET).ok()?;
        let (first, second) = note.split_at(8);
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_le_bytes).ok();
        (length == note.len()).then_some((number(first)?, number(second)?))
    }

    /// Replaces the note. If it can't be written there is none: a successor
    /// then waits as long as for a holder of which it knows nothing.
    pub fn set_note(&self, first: u64, second: u64) {
        let mut note = [0; 16];
        note[..8].copy_from_slice(&first.to_le_bytes());
        note[8..].copy_from_slice(&second.to_le_bytes());
        // The kernel kills a process that writes beyond its limit.
        let end = OFFSET + note.len() as u64;
        let fits = limit(Resource::RLIMIT_FSIZE).is_none_or(|limit| limit >= end);
        if let Some(handle) = self.handle().ok().filter(|handle| fits && handle.writable) {
            let _ = handle.file().map(|file| pwrite(file, &note, OFFSET));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_outlives_its_writer_and_the_file_stays_a_lock_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tendmap-c-client-ac000000.lock");
        let open = || LockFile::open(path.clone(), 0o600, &[]).unwrap();
        let first = open();
        assert_eq!(first.note(), None);
        first.set_note(32770, u64::MAX);
        drop(first);
        // A second name: the file counts because it holds its own.
        std::fs::hard_link(&path, folder.path().join("link")).unwrap();
        let second = open();
        assert!(second.is_writable() && !second.is_occupied());
        assert_eq!(second.note(), Some((32770, u64::MAX)));
        second.set_note(0, 0);
        assert_eq!(second.note(), Some((0, 0)));
    }
}
