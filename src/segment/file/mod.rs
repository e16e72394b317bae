//! Segments as files in a directory.
//!
//! A file is created without a name, its pages are reserved, and it is linked
//! into place once it is complete. Every generation has its own name.

mod check;
mod copy;
mod make;
mod names;
mod object;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::backend::{
    Backend, Discovery, Located, ObjectId, SegmentPart, Standing, Store, UnlinkedSegment,
};
use super::error::SegmentError;
use super::foreign;
use super::fs::files;
use super::listed::{ListedSegment, SegmentState};
use super::name::{Place, SegmentName, lock_path, parse_lock};
use super::registry::registry;
use super::trust::Trusted;
use crate::descriptor::KeptDescriptor;
use crate::layout::{Geometry, Header, Identity, LAYOUT_VERSION};
use check::{check_copy, check_file, check_header, check_name, check_owner, id, open};

/// What a name leads to.
enum NameTarget {
    /// A segment that this process, or its parent, may have attached.
    Known(Located<'static>),
    File(KeptDescriptor),
}

/// The segment that this process has attached under that name, or the file.
/// What was attached has been checked and stays in use, whatever user the
/// process has now.
fn open_unless_known(path: &Path) -> Result<NameTarget, SegmentError> {
    let id = match id(path) {
        Err(error) if error.is_refused() => attached_at(path).ok_or(error)?,
        other => other?,
    };
    if let Some(segment) = registry().segment(id) {
        return Ok(NameTarget::Known(Located::Attached(segment)));
    }
    match open(path) {
        Err(error) if error.is_refused() => Ok(NameTarget::Known(Located::Refused(id, error))),
        other => other.map(NameTarget::File),
    }
}

/// The backend of files.
pub struct Files;

impl Store for Files {
    /// The file's kind, owner, mode, length and header are checked first; a
    /// file that fails a check is not touched.
    fn locate<'a>(&self, place: &'a Place, generation: u64) -> Result<Located<'a>, SegmentError> {
        let path = place.segment(generation);
        let file = match open_unless_known(&path)? {
            NameTarget::Known(located) => return Ok(located),
            NameTarget::File(file) => file,
        };
        let object = check_file(&file, &path, place)?;
        let parts = move || {
            let (identity, geometry) = check_header(&file, &path)?;
            check_name(&identity, place, generation, &path)?;
            object::parts(place, path, file, identity, geometry)
        };
        Ok(Located::New { object, discovery: Discovery::ByName, parts: Box::new(parts) })
    }

    fn look<'a>(
        &self,
        place: &'a Place,
        generation: u64,
        part: SegmentPart,
    ) -> Result<Located<'a>, SegmentError> {
        let path = place.segment(generation);
        let file = match open_unless_known(&path)? {
            NameTarget::Known(located) => return Ok(located),
            NameTarget::File(file) => file,
        };
        let is_strangers = check_owner(&file, &path, &place.owners)?;
        let object = ObjectId::File(file.id());
        let parts = move || {
            let (identity, geometry) = check_header(&file, &path)?;
            check_name(&identity, place, generation, &path)?;
            let copied = copy::take(&file, geometry, part, is_strangers);
            let copied = copied.map_err(SegmentError::io("read", &path))?;
            check_copy(&copied, &identity, &geometry, &path)?;
            object::copied(place, path, file, identity, &copied)
        };
        Ok(Located::New { object, discovery: Discovery::ByName, parts: Box::new(parts) })
    }

    fn generations(&self, place: &Place) -> Result<Vec<u64>, SegmentError> {
        let of_key =
            |name: &SegmentName| name.key == place.key && name.layout_version == LAYOUT_VERSION;
        let found = match names::of_key(place) {
            Ok(named) => return Ok(named.trusted),
            // This process knows what it has attached in any case.
            Err(error) if error.is_refused() => {
                let names = attached_in(&place.directory);
                if names.is_empty() {
                    return Err(error);
                }
                names
            }
            Err(error) => return Err(error),
        };
        Ok(found.into_iter().filter(of_key).map(|name| name.generation).collect())
    }

    fn not_found_error(&self, place: &Place) -> SegmentError {
        let key = place.key;
        if let Some(strange) = self.stepped_over(place) {
            return strange;
        }
        let found = match names(&place.directory) {
            Ok(names) => names.into_iter().find(|name| name.key == key),
            Err(error) => return error,
        };
        match found.map(|name| name.layout_version) {
            Some(found) if found != LAYOUT_VERSION => {
                SegmentError::OtherVersion { key, found, wanted: LAYOUT_VERSION }
            }
            _ => SegmentError::NotFound { key, directory: place.directory.clone() },
        }
    }

    fn stepped_over(&self, place: &Place) -> Option<SegmentError> {
        let strange = names::of_key(place).ok()?.strange?;
        let path = place.segment(strange);
        let (found, wanted) =
            (fs::symlink_metadata(&path).ok()?.uid(), Trusted::with(&place.owners));
        match wanted.may_have(found) {
            // A hard link to a file of that user.
            true => Some(SegmentError::Kind { at: path.into(), found: "a link to another file" }),
            false => Some(SegmentError::Owner { at: path.into(), found, wanted: wanted.users() }),
        }
    }

    fn list(
        &self,
        directory: &Path,
        standing: Standing<'_>,
    ) -> Result<Vec<ListedSegment>, SegmentError> {
        let mut strange = StrangerCounts::default();
        let names = names(directory)?.into_iter();
        Ok(names.filter_map(|name| describe(directory, name, standing, &mut strange)).collect())
    }

    fn discard(&self, found: &ListedSegment) -> Result<(), SegmentError> {
        let Some(path) = found.at.path() else { return Ok(()) };
        fs::remove_file(path).map_err(SegmentError::io("remove", path))
    }

    fn unknown_attachments_error(&self, found: &ListedSegment) -> SegmentError {
        let in_use = || SegmentError::InUse { at: found.at.clone(), attached: 0 };
        let Some(path) = found.at.path() else { return in_use() };
        match found.state {
            SegmentState::OtherVersion => match open(path) {
                Err(error) => error,
                Ok(_) => SegmentError::OtherVersion {
                    key: found.key,
                    found: found.layout_version,
                    wanted: LAYOUT_VERSION,
                },
            },
            _ => match open(path).and_then(|file| check_header(&file, path)) {
                Err(error) => error,
                Ok(_) => in_use(),
            },
        }
    }

    fn unlinked(
        &self,
        place: &Place,
        identity: Identity,
        geometry: &Geometry,
    ) -> Result<Box<dyn UnlinkedSegment>, SegmentError> {
        Ok(Box::new(make::UnnamedFile::open(place, identity, geometry)?))
    }

    fn lock_directory(&self, _: &Path) -> Result<u64, SegmentError> {
        Ok(0)
    }

    fn lock_path(&self, directory: &Path, key: u32, segment_id: u64) -> PathBuf {
        lock_path(Backend::File, directory, key, segment_id)
    }

    fn parse_lock(&self, name: &str) -> Option<(u32, u64)> {
        parse_lock(Backend::File, name)
    }

    fn living(&self, place: &Place) -> Result<BTreeSet<u64>, SegmentError> {
        let mut living = BTreeSet::new();
        // The lock file of an untrusted user's segment is untrusted as well.
        for generation in names::of_key(place)?.trusted {
            let path = place.segment(generation);
            if let Ok((identity, _)) = open(&path).and_then(|file| check_header(&file, &path)) {
                living.insert(identity.segment_id);
            }
        }
        Ok(living)
    }

    fn sweep(&self, _: &Place) -> Vec<PathBuf> {
        Vec::new()
    }

    fn sweep_unlinked(&self, place: &Place, segment_id: u64) -> Option<PathBuf> {
        let path = make::temporary_path(&place.directory, segment_id);
        fs::remove_file(&path).is_ok().then_some(path)
    }
}

fn names(directory: &Path) -> Result<Vec<SegmentName>, SegmentError> {
    Ok(files(directory)?.iter().filter_map(|name| name.parse().ok()).collect())
}

/// The object that this process, or its parent, has attached under that name.
fn attached_at(path: &Path) -> Option<ObjectId> {
    let files = registry().files();
    files.iter().find(|(_, at)| at == path).map(|(id, _)| *id)
}

/// The names in a directory of the segments that this process, or its parent,
/// has attached.
fn attached_in(directory: &Path) -> Vec<SegmentName> {
    let files = registry().files().into_iter().map(|(_, path)| path);
    let there = files.filter(|path| path.parent() == Some(directory));
    there.filter_map(|path| path.file_name()?.to_str()?.parse().ok()).collect()
}

/// How many files that are not segments are listed for an untrusted user:
/// creating any number of names costs nothing.
const MOST_STRANGE: usize = 16;

/// How many have been listed, by user.
#[derive(Debug, Default)]
struct StrangerCounts(BTreeMap<u32, usize>);

impl StrangerCounts {
    fn is_enough(&self, user: u32) -> bool {
        self.0.get(&user).is_some_and(|&listed| listed >= MOST_STRANGE)
    }
}

/// `None` if it is already gone, or not worth listing.
fn describe(
    directory: &Path,
    name: SegmentName,
    standing: Standing<'_>,
    strange: &mut StrangerCounts,
) -> Option<ListedSegment> {
    let path = directory.join(name.to_string());
    let found = fs::symlink_metadata(&path).ok()?;
    let user = found.uid();
    let is_strange = !Trusted::with(&[]).may_have(user);
    let may_be_one = found.is_file() && Header::is_length(found.len());
    if is_strange && !may_be_one && strange.is_enough(user) {
        return None;
    }
    let mut listed = ListedSegment {
        key: name.key,
        layout_version: name.layout_version,
        generation: name.generation,
        backend: Backend::File,
        at: path.into(),
        user: found.uid(),
        mode: found.mode() & 0o7777,
        bytes: found.len(),
        attached: None,
        mappings: None,
        state: SegmentState::Damaged,
    };
    if name.layout_version != LAYOUT_VERSION {
        listed.state = SegmentState::OtherVersion;
        listed.attached = foreign::attached(directory, &listed).ok();
        return Some(listed);
    }
    // It is listed whichever user it belongs to; whether to trust it is decided
    // at attach.
    let place = Place { owners: vec![found.uid()], ..Place::of_key(name.key) };
    let place = Place { directory: directory.into(), ..place };
    (listed.attached, listed.state) =
        standing(&place, Files.look(&place, name.generation, SegmentPart::Words))?;
    if is_strange && listed.state == SegmentState::Damaged {
        if strange.is_enough(user) {
            return None;
        }
        *strange.0.entry(user).or_default() += 1;
    }
    Some(listed)
}
