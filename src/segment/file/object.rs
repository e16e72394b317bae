//! The file of one segment.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::super::backend::{Object, ObjectId, Parts};
use super::super::directory::unlink;
use super::super::error::SegmentError;
use super::super::location::Location;
use super::super::lock::{self, LockFile};
use super::check::{check_header, flags};
use crate::layout::{Geometry, Identity, Mapping, WriteMapping};

#[derive(Debug)]
struct SegmentFile {
    path: PathBuf,
    file: File,
    id: (u64, u64),
    mode: u32,
    /// The byte of the file by which this process counts as attached.
    mark: Mutex<Option<u64>>,
}

/// The parts of a segment whose file was checked.
pub fn parts(
    path: PathBuf,
    file: File,
    identity: Identity,
    geometry: Geometry,
) -> Result<Parts, SegmentError> {
    let mapping = Mapping::read_only(&file, geometry).map_err(SegmentError::io("map", &path))?;
    let found = file.metadata().map_err(SegmentError::io("examine", &path))?;
    let (id, mode) = ((found.dev(), found.ino()), found.mode() & 0o777);
    let object = Box::new(SegmentFile { path, file, id, mode, mark: Mutex::default() });
    Ok(Parts { identity, mapping, object })
}

impl SegmentFile {
    fn mark(&self) -> MutexGuard<'_, Option<u64>> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Opened for writing, through the descriptor that is there: its name in
    /// /proc leads to the file whatever became of its own. Where there is no
    /// /proc, by name.
    fn reopened(&self) -> io::Result<File> {
        let mut options = OpenOptions::new();
        let options = options.read(true).write(true);
        let at = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        match options.open(at) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                flags(options).open(&self.path)
            }
            other => other,
        }
    }
}

impl Object for SegmentFile {
    fn id(&self) -> ObjectId {
        ObjectId::File(self.id.0, self.id.1)
    }

    fn location(&self) -> Location {
        (&self.path).into()
    }

    fn mode(&self) -> u32 {
        self.mode
    }

    fn is_at_name(&self) -> bool {
        fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.id)
    }

    /// Neither its mode, its length nor its header has changed for the worse.
    fn is_sound(&self, identity: &Identity, mapping: &Mapping) -> bool {
        let trusted = |found: fs::Metadata| found.mode() & 0o002 == 0;
        self.is_at_name()
            && self.file.metadata().is_ok_and(trusted)
            && check_header(&self.file, &self.path).is_ok_and(|(found, geometry)| {
                (&found, &geometry) == (identity, mapping.geometry())
            })
    }

    /// Also of one that has lost its name: it can still be retired, and whoever
    /// reads it learns only so that nothing will come there any more.
    fn writer(&self, geometry: &Geometry) -> Result<WriteMapping, SegmentError> {
        let action = |source| SegmentError::io("open for writing", self.location())(source);
        let file = self.reopened().map_err(action)?;
        let found = file.metadata().map_err(action)?;
        if (found.dev(), found.ino()) != self.id {
            return Err(action(io::ErrorKind::NotFound.into()));
        }
        WriteMapping::of_file(&file, *geometry).map_err(action)
    }

    fn unlink(&self) -> Result<(), SegmentError> {
        unlink(&self.path)
    }

    fn join(&self, _: &LockFile) -> io::Result<()> {
        *self.mark() = Some(lock::attach(&self.file)?);
        Ok(())
    }

    fn leave(&self, _: &LockFile) {
        if let Some(byte) = self.mark().take() {
            lock::detach(&self.file, byte);
        }
    }

    fn attached(&self, _: &LockFile) -> io::Result<usize> {
        lock::attached(&self.file)
    }
}
