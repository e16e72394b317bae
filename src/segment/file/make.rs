//! A new file, completed before it gets its name.

use std::io;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};

use nix::sys::resource::Resource;
use rustix::fs::{AtFlags, CWD, FallocateFlags, Mode, OFlags, fallocate, fchmod, linkat};
use rustix::io::{Errno, pwrite};

use super::check::{check_group, check_header, open};
use super::names::is_strange;
use super::object;
use crate::descriptor::{FileId, KeptDescriptor};
use crate::layout::{Geometry, Header, Identity, WriteMapping};
use crate::limits::limit;
use crate::random::rng;
use crate::segment::backend::{Parts, UnlinkedSegment, Vacate};
use crate::segment::error::SegmentError;
use crate::segment::name::Place;

/// How many consecutive numbers are tried, and how many in total.
const STEPS: u32 = 16;
const MOST_TRIES: u32 = 64;

/// A file without its final name: unnamed if the file system supports that,
/// otherwise under a temporary name that is removed when this is dropped.
#[derive(Debug)]
pub struct UnnamedFile {
    place: Place,
    identity: Identity,
    path: PathBuf,
    geometry: Geometry,
    file: KeptDescriptor,
    temporary: Option<PathBuf>,
}

impl UnnamedFile {
    /// Opens such a file and reserves its pages.
    pub fn open(
        place: &Place,
        identity: Identity,
        geometry: &Geometry,
    ) -> Result<UnnamedFile, SegmentError> {
        let wanted = geometry.total_bytes() as u64;
        check_limit(place, wanted)?;
        let path = place.segment(identity.generation);
        check_group(&path, place.mode, place.allow_group_write)?;
        let (file, temporary) = create(place, identity.segment_id, geometry)?;
        let place = place.clone();
        let unnamed = UnnamedFile { place, identity, path, geometry: *geometry, file, temporary };
        match unnamed.file.get().and_then(|file| reserve(file, wanted)) {
            Ok(()) => Ok(unnamed),
            Err(error) => match Errno::from_io_error(&error) {
                Some(Errno::NOSPC) => Err(SegmentError::no_space(&unnamed.place, geometry)),
                _ => Err(SegmentError::io("reserve the pages of", &unnamed.path)(error)),
            },
        }
    }

    /// Moves to the next number, because another user has put something at the
    /// name. An attacker may occupy many numbers, and may predict how they are
    /// chosen unless they are random.
    fn renumber(&mut self, tries: u32) -> Result<bool, SegmentError> {
        let by = if tries < STEPS { 1 } else { rng().u64(1..1 << 32) };
        let Some(generation) = self.identity.generation.checked_add(by) else { return Ok(false) };
        self.identity.generation = generation;
        self.path = self.place.segment(generation);
        // No other process has seen it yet.
        self.memory()?.put_header(&Header::new(self.identity, &self.geometry));
        Ok(true)
    }

    fn give_name(&self) -> Result<(), Errno> {
        match &self.temporary {
            Some(temporary) => linkat(CWD, temporary, CWD, &self.path, AtFlags::empty()),
            None => {
                let held = self.file.path();
                let held =
                    held.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::BADF))?;
                linkat(CWD, held, CWD, &self.path, AtFlags::SYMLINK_FOLLOW)
            }
        }
    }

    /// The parts of the segment, now that it has its name; `None` if another
    /// process has already removed that.
    fn linked(&self) -> Result<Option<Parts>, SegmentError> {
        let Some(file) = self.named()? else { return Ok(None) };
        let (identity, geometry) = check_header(&file, &self.path)?;
        match object::parts(&self.place, self.path.clone(), file, identity, geometry) {
            Err(error) if error.is_absent() => Ok(None),
            parts => parts.map(Some),
        }
    }

    /// The file under its new name, opened read-only, so that operators see
    /// this name in `/proc` for what the process keeps open and mapped. `None`
    /// if the name already leads to another file.
    fn named(&self) -> Result<Option<KeptDescriptor>, SegmentError> {
        let named = match open(&self.path) {
            Err(error) if error.is_absent() => return Ok(None),
            other => other?,
        };
        Ok((named.id() == self.file.id()).then_some(named))
    }
}

/// Refuses a file longer than this process may create: the kernel would kill it
/// with SIGXFSZ.
fn check_limit(place: &Place, wanted: u64) -> Result<(), SegmentError> {
    match limit(Resource::RLIMIT_FSIZE) {
        Some(found) if found < wanted => {
            let directory = place.directory.clone();
            Err(SegmentError::FileLimit { directory, wanted, found })
        }
        _ => Ok(()),
    }
}

/// Reserves the pages, so that no access faults later.
fn reserve(file: BorrowedFd<'_>, bytes: u64) -> io::Result<()> {
    match fallocate(file, FallocateFlags::empty(), 0, bytes) {
        // The file system does not support it, a sandbox forbids it, or a signal
        // interrupted it, which frequent ones would do again and again: writing
        // the pages allocates them.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM | Errno::INTR) => {}
        other => return Ok(other?),
    }
    let zeros = [0; 64 * 1024];
    let mut at = 0;
    while at < bytes {
        let left = usize::try_from(bytes - at).unwrap_or(usize::MAX);
        match pwrite(file, &zeros[..left.min(zeros.len())], at) {
            Ok(written) => at += written as u64,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

fn create(
    place: &Place,
    segment_id: u64,
    geometry: &Geometry,
) -> Result<(KeptDescriptor, Option<PathBuf>), SegmentError> {
    let directory = &place.directory;
    let mode = Mode::from_raw_mode(0o600);
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let unnamed = rustix::fs::open(directory, flags, mode).map_err(io::Error::from);
    match unnamed.and_then(KeptDescriptor::new) {
        Ok(file) if can_be_linked(&file) => return Ok((file, None)),
        // If the directory is unusable, the next attempt shows that again.
        _ => {}
    }
    let path = temporary_path(directory, segment_id);
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    let file = KeptDescriptor::open(&path, flags, mode).map_err(SegmentError::no_file(
        "make a segment in",
        directory,
        place,
        geometry,
    ))?;
    Ok((file, Some(path)))
}

/// Where a segment is filled that can't be made without a name.
pub fn temporary_path(directory: &Path, segment_id: u64) -> PathBuf {
    directory.join(format!(".tendmap-{segment_id:016x}.tmp"))
}

/// Not possible without /proc.
fn can_be_linked(file: &KeptDescriptor) -> bool {
    file.path().is_ok_and(|path| FileId::at(&path).is_ok_and(|found| found == file.id()))
}

impl UnlinkedSegment for UnnamedFile {
    fn memory(&self) -> Result<WriteMapping, SegmentError> {
        let mapped = self.file.get().and_then(|file| WriteMapping::of_file(file, self.geometry));
        mapped.map_err(SegmentError::io("fill", &self.path))
    }

    fn filled(&mut self, _: WriteMapping) -> Result<(), SegmentError> {
        let mode = Mode::from_raw_mode(self.place.mode);
        let set = self.file.get().and_then(|file| Ok(fchmod(file, mode)?));
        set.map_err(SegmentError::io("set the mode of", &self.path))
    }

    fn link(&mut self, _: Vacate<'_>) -> Result<Option<Parts>, SegmentError> {
        for tries in 0.. {
            match self.give_name() {
                Ok(()) => break,
                Err(Errno::EXIST) => {
                    let strange = is_strange(&self.place, self.identity.generation);
                    if !strange || tries == MOST_TRIES || !self.renumber(tries)? {
                        return Ok(None);
                    }
                }
                Err(error) => return Err(SegmentError::io("link", &self.path)(error.into())),
            }
        }
        self.linked().inspect_err(|_| {
            // It has no owner: with its name it would be taken for the remains
            // of a crash.
            if FileId::at(&self.path).is_ok_and(|found| found == self.file.id()) {
                let _ = std::fs::remove_file(&self.path);
            }
        })
    }
}

impl Drop for UnnamedFile {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = std::fs::remove_file(temporary);
        }
    }
}
