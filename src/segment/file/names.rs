//! The names of a key's segments in a directory that other users may write.
//!
//! Another user can create any number of names there, with any numbers. Only
//! names of trusted users are used. Each of the others costs one stat of its
//! inode: nothing is opened.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, Stat, lstat, statat};

use super::check::{check_header, open};
use crate::descriptor::{FileId, KeptDescriptor};
use crate::layout::LAYOUT_VERSION;
use crate::segment::error::SegmentError;
use crate::segment::name::Place;
use crate::segment::trust::Trusted;

/// The files named like segments of one key in this layout.
#[derive(Debug, Default)]
pub struct KeyFiles {
    /// The generations of those that may be segments.
    pub trusted: Vec<u64>,
    /// One that belongs to an untrusted user.
    pub strange: Option<u64>,
}

/// Searches a directory.
pub fn of_key(place: &Place) -> Result<KeyFiles, SegmentError> {
    let directory = &place.directory;
    let failed = |error: std::io::Error| SegmentError::Directory {
        directory: directory.clone(),
        error: error.into(),
    };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let opened = rustix::fs::open(directory, flags, Mode::empty()).map_err(std::io::Error::from);
    let kept = opened.and_then(KeptDescriptor::new).map_err(failed)?;
    let at = kept.get().map_err(failed)?;
    let prefix = format!("tendmap-{:08x}-v{LAYOUT_VERSION}-g", place.key);
    let mut judge = Judge::new(place);
    let mut named = KeyFiles::default();
    let mut buffer = Vec::with_capacity(64 * 1024);
    let mut entries = RawDir::new(at, buffer.spare_capacity_mut());
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(|error| failed(error.into()))?;
        let name = entry.file_name();
        let Some(number) = name.to_bytes().strip_prefix(prefix.as_bytes()).and_then(number) else {
            continue;
        };
        // A file that has disappeared since is skipped.
        let Ok(found) = statat(at, name, AtFlags::SYMLINK_NOFOLLOW) else { continue };
        match judge.may_be(number, &found) {
            true => named.trusted.push(number),
            false => named.strange = Some(number),
        }
    }
    Ok(named)
}

/// Parses a generation as written in a name: no sign, no leading zero.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.first() == Some(&b'0') || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether the file with that generation's name belongs to an untrusted user;
/// `false` if there is none.
pub fn is_strange(place: &Place, generation: u64) -> bool {
    let found = lstat(place.segment(generation));
    found.is_ok_and(|found| !Judge::new(place).may_be(generation, &found))
}

struct Judge<'a> {
    place: &'a Place,
    trusted: Trusted,
    /// The generation in the header of each file that has several names.
    linked: BTreeMap<(u64, u64), Option<u64>>,
}

impl Judge<'_> {
    fn new(place: &Place) -> Judge<'_> {
        Judge { place, trusted: Trusted::with(&place.owners), linked: BTreeMap::new() }
    }

    /// Whether the file may be a segment of a trusted user, or was at least not
    /// put there by another user. A hard link to another file of a trusted user
    /// belongs to that user: it is accepted only at the name that its header
    /// gives.
    fn may_be(&mut self, generation: u64, found: &Stat) -> bool {
        if !self.trusted.may_have(found.st_uid) {
            return false;
        }
        let kind = FileType::from_raw_mode(found.st_mode);
        if found.st_nlink <= 1 || kind == FileType::Directory {
            return true;
        }
        if kind != FileType::RegularFile {
            return false;
        }
        let FileId { device, inode } = FileId::of(found);
        let place = self.place;
        let told = || told_by(&place.segment(generation), place.key);
        *self.linked.entry((device, inode)).or_insert_with(told) == Some(generation)
    }
}

fn told_by(path: &Path, key: u32) -> Option<u64> {
    let (identity, _) = open(path).and_then(|file| check_header(&file, path)).ok()?;
    (identity.key == key).then_some(identity.generation)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h125_a_number_has_one_spelling() {
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        assert_eq!(number(b"1"), Some(1));
        for other in ["", "0", "01", "+1", "-1", "1x", "18446744073709551616"] {
            assert_eq!(number(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn h125_a_link_to_another_file_of_a_trusted_user_is_no_segment() {
        let folder = tempfile::tempdir().unwrap();
        let place = Place { directory: folder.path().into(), ..Place::of_key(7) };
        std::fs::write(place.segment(1), "a file of a trusted user").unwrap();
        assert_eq!(of_key(&place).unwrap().trusted, [1], "what is wrong with it is told");
        std::fs::hard_link(place.segment(1), place.segment(u64::MAX)).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", folder.path().join("link")).unwrap();
        std::fs::hard_link(folder.path().join("link"), place.segment(5)).unwrap();
        let named = of_key(&place).unwrap();
        assert!(named.trusted.is_empty() && named.strange.is_some(), "{named:?}");
        assert!(is_strange(&place, 5) && !is_strange(&place, 6));
    }
}
