//! A new file, made whole before it has its name.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;

use rustix::fs::{AtFlags, CWD, FallocateFlags, OFlags, fallocate, linkat};
use rustix::io::Errno;

use super::super::backend::{Parts, Unlinked};
use super::super::create::no_space;
use super::super::error::SegmentError;
use super::super::name::Place;
use super::check::{check_header, flags, open};
use super::object;
use crate::layout::{Geometry, Identity, WriteMapping};

/// A file without its name: truly without one where the file system can do
/// that, else under a temporary one that is taken away when this is dropped.
#[derive(Debug)]
pub struct Unnamed {
    path: PathBuf,
    mode: u32,
    geometry: Geometry,
    file: File,
    temporary: Option<PathBuf>,
}

impl Unnamed {
    /// Opens one and reserves its pages.
    pub fn open(
        place: &Place,
        identity: Identity,
        geometry: &Geometry,
    ) -> Result<Unnamed, SegmentError> {
        let (file, temporary) = create(place, identity.segment_id)?;
        let path = place.segment(identity.generation);
        let unnamed = Unnamed { path, mode: place.mode, geometry: *geometry, file, temporary };
        match fallocate(&unnamed.file, FallocateFlags::empty(), 0, geometry.total_bytes() as u64) {
            Ok(()) => Ok(unnamed),
            Err(Errno::NOSPC | Errno::DQUOT) => Err(no_space(place, geometry)),
            // A file system that can't reserve would let a later access fault.
            Err(error) => {
                Err(SegmentError::io("reserve the pages of", &unnamed.path)(error.into()))
            }
        }
    }

    /// The file by its new name and for reading only: what this process keeps
    /// open and mapped is then what operators see in `/proc`. `None` if the
    /// name leads to another file by now.
    fn named(&self) -> Result<Option<File>, SegmentError> {
        let io = || SegmentError::io("open", &self.path);
        let named = match open(&self.path) {
            Err(error) if error.is_absent() => return Ok(None),
            other => other?,
        };
        let id = |file: &File| file.metadata().map(|found| (found.dev(), found.ino()));
        let same = id(&named).map_err(io())? == id(&self.file).map_err(io())?;
        Ok(same.then_some(named))
    }
}

fn create(place: &Place, segment_id: u64) -> Result<(File, Option<PathBuf>), SegmentError> {
    let directory = &place.directory;
    let mut options = OpenOptions::new();
    options.read(true).write(true).mode(0o600);
    let bits = OFlags::TMPFILE | OFlags::CLOEXEC;
    match options.clone().custom_flags(bits.bits() as i32).open(directory) {
        Ok(file) => return Ok((file, None)),
        Err(error) => match Errno::from_io_error(&error) {
            // What file systems and kernels without O_TMPFILE answer.
            Some(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL) => {}
            _ => return Err(SegmentError::io("make a segment in", directory)(error)),
        },
    }
    let path = directory.join(format!(".tendmap-{segment_id:016x}.tmp"));
    let file = flags(options.create_new(true))
        .open(&path)
        .map_err(SegmentError::io("make a segment in", directory))?;
    Ok((file, Some(path)))
}

impl Unlinked for Unnamed {
    fn memory(&self) -> Result<WriteMapping, SegmentError> {
        WriteMapping::of_file(&self.file, self.geometry)
            .map_err(SegmentError::io("fill", &self.path))
    }

    fn filled(&mut self, _: WriteMapping) -> Result<(), SegmentError> {
        self.file
            .set_permissions(Permissions::from_mode(self.mode))
            .map_err(SegmentError::io("set the mode of", &self.path))
    }

    fn link(&mut self) -> Result<Option<Parts>, SegmentError> {
        let linked = match &self.temporary {
            Some(temporary) => linkat(CWD, temporary, CWD, &self.path, AtFlags::empty()),
            None => {
                let held = format!("/proc/self/fd/{}", self.file.as_raw_fd());
                linkat(CWD, held, CWD, &self.path, AtFlags::SYMLINK_FOLLOW)
            }
        };
        match linked.map_err(io::Error::from) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            Err(error) => return Err(SegmentError::io("link", &self.path)(error)),
        }
        let Some(file) = self.named()? else { return Ok(None) };
        let (identity, geometry) = check_header(&file, &self.path)?;
        object::parts(self.path.clone(), file, identity, geometry).map(Some)
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = std::fs::remove_file(temporary);
        }
    }
}
