//! The file of one segment.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use rustix::fs::{Access, AtFlags, CWD, Mode, OFlags, accessat, lstat, stat};
use rustix::process::geteuid;

use super::check::check_header;
use super::copy;
use crate::descriptor::{self, KeptDescriptor, reopening};
use crate::layout::{Geometry, Identity, Lineage, Mapping, WriteMapping};
use crate::protocol::Head;
use crate::segment::backend::{Object, ObjectId, Parts};
use crate::segment::error::SegmentError;
use crate::segment::fs::unlink;
use crate::segment::location::Location;
use crate::segment::lock::{self, LockFile};
use crate::segment::name::Place;
use crate::segment::trust::Trusted;
use crate::segment::whereabouts::{Whereabouts, directory_of, whereabouts};
use crate::sync::Ordering;

#[derive(Debug)]
struct SegmentFile {
    path: PathBuf,
    id: descriptor::FileId,
    directory: Option<descriptor::FileId>,
    /// As found when it was opened, together with what was allowed.
    user: u32,
    mode: u32,
    place: Place,
    /// Whether the caller only looks, and the mapping is a private copy.
    copied: bool,
    /// Replaced when the host has closed the descriptor. (Not a lock, which a
    /// forked child could inherit in locked state.)
    file: ArcSwap<KeptDescriptor>,
    mark: Mutex<Mark>,
    lineage: Lineage,
}

/// The mark by which this process counts as attached.
#[derive(Clone, Copy, Debug)]
enum Mark {
    None,
    /// A byte of the file; the lock belongs to the descriptor.
    File(u64),
    /// A byte of the lock file; the lock belongs to the process. Used if the
    /// descriptor is shared with the parent.
    LockFile(Option<u64>),
}

/// The parts of a segment whose file was checked.
pub fn parts(
    place: &Place,
    path: PathBuf,
    file: KeptDescriptor,
    identity: Identity,
    geometry: Geometry,
) -> Result<Parts, SegmentError> {
    // Mapped read-only. A process that may write the file now may also do so
    // later, whatever has become of its user; no such descriptor is kept.
    let map = |file: &KeptDescriptor| Mapping::read_only(file.get()?, geometry);
    let mapping = match same(&path, OFlags::RDWR, file.id()) {
        Ok(writable) => map(&writable),
        // It was removed since it was found. Attached now, it could never be
        // retired by this process.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(error),
        Err(_) => map(&file),
    };
    let mapping = mapping.map_err(SegmentError::io("map", &path))?;
    let object = SegmentFile::new(place, path, file, false)?;
    Ok(Parts { identity, mapping: Arc::new(mapping), object: Box::new(object) })
}

/// The parts of a segment for a caller that only looks: a private copy of the
/// file's content.
pub fn copied(
    place: &Place,
    path: PathBuf,
    file: KeptDescriptor,
    identity: Identity,
    copy: &WriteMapping,
) -> Result<Parts, SegmentError> {
    let object = SegmentFile::new(place, path, file, true)?;
    Ok(Parts { identity, mapping: copy.mapping().clone(), object: Box::new(object) })
}

/// Opens what a path leads to, if it is that file.
fn same(path: &Path, flags: OFlags, wanted: descriptor::FileId) -> io::Result<KeptDescriptor> {
    let file = KeptDescriptor::open(path, flags, Mode::empty())?;
    match file.id() == wanted {
        true => Ok(file),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

impl SegmentFile {
    fn new(
        place: &Place,
        path: PathBuf,
        file: KeptDescriptor,
        copied: bool,
    ) -> Result<SegmentFile, SegmentError> {
        let lost = || io::Error::from(io::ErrorKind::NotFound);
        let found = file.stat().ok_or_else(lost).map_err(SegmentError::io("examine", &path))?;
        Ok(SegmentFile {
            id: file.id(),
            directory: directory_of(&path),
            user: found.st_uid,
            mode: found.st_mode & 0o777,
            place: place.clone(),
            copied,
            file: ArcSwap::from_pointee(file),
            mark: Mutex::new(Mark::None),
            lineage: Lineage::current(),
            path,
        })
    }

    fn mark(&self) -> MutexGuard<'_, Mark> {
        self.mark.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The descriptor. If the host has closed it, another one is opened, which
    /// also counts this process as attached.
    fn file(&self) -> io::Result<Arc<KeptDescriptor>> {
        let file = self.file.load_full();
        if file.is_there() {
            return Ok(file);
        }
        let _alone = reopening();
        let file = self.file.load_full();
        // Another thread may have been faster.
        if file.is_there() {
            return Ok(file);
        }
        let file = Arc::new(same(&self.path, OFlags::RDONLY, self.id)?);
        // In a child the mark is the parent's.
        if self.lineage == Lineage::current() {
            if let Mark::File(byte) = &mut *self.mark() {
                *byte = lock::attach(file.get()?)?;
            }
            self.file.store(file.clone());
        }
        Ok(file)
    }

    /// Whether new processes would accept the file: neither its user, nor its
    /// mode, length or header have changed for the worse. If the file can't be
    /// read, the answer is yes.
    fn looks_sound(&self, identity: &Identity, mapping: &Mapping) -> bool {
        let Ok(file) = self.file() else { return true };
        // It was trusted when it was found, even if this process's user has
        // changed since.
        let Place { owners, allow_group_write, .. } = &self.place;
        let trusted = |user| user == self.user || Trusted::with(owners).may_have(user);
        let shut = if *allow_group_write { 0o002 } else { 0o022 };
        file.stat().is_none_or(|found| found.st_mode & shut == 0 && trusted(found.st_uid))
            && check_header(&file, &self.path).is_ok_and(|(found, geometry)| {
                (&found, &geometry) == (identity, mapping.geometry())
            })
    }
}

impl Object for SegmentFile {
    fn id(&self) -> ObjectId {
        ObjectId::File(self.id)
    }

    fn location(&self) -> Location {
        (&self.path).into()
    }

    fn mode(&self) -> u32 {
        self.mode
    }

    fn whereabouts(&self) -> Whereabouts {
        let file = self.file().unwrap_or_else(|_| self.file.load_full());
        whereabouts(&self.path, self.directory, &file)
    }

    fn head(&self, mapping: &Mapping) -> io::Result<Head> {
        match self.copied {
            true => copy::head(&*self.file()?),
            // Relaxed: no other data depends on it.
            false => Ok(Head::from_bits(mapping.head().load(Ordering::Relaxed))),
        }
    }

    fn is_sound(&self, identity: &Identity, mapping: &Mapping, _: &LockFile) -> bool {
        match self.whereabouts() {
            Whereabouts::Here => self.looks_sound(identity, mapping),
            Whereabouts::Gone => false,
            Whereabouts::Unseen => true,
        }
    }

    /// Also works for a file that has lost its name: it can still be retired,
    /// which is the only way its readers learn that nothing more will be
    /// published there.
    fn writer(&self, mapping: &Mapping) -> Result<WriteMapping, SegmentError> {
        let action = |source| SegmentError::io("open for writing", self.location())(source);
        if self.copied {
            return Err(action(io::ErrorKind::PermissionDenied.into()));
        }
        let mapped = WriteMapping::of_mapped(mapping);
        mapped
            .or_else(|_| {
                // It was mapped by a process that could only read it, or the
                // kernel lacks the call.
                let file = same(&self.path, OFlags::RDWR, self.id).or_else(|error| {
                    let gone = error.kind() == io::ErrorKind::NotFound;
                    let again = || self.file.load().opened_again(OFlags::RDWR).ok();
                    gone.then(again).flatten().ok_or(error)
                })?;
                WriteMapping::of_file(file.get()?, *mapping.geometry())
            })
            .map_err(action)
    }

    fn may_write(&self) -> bool {
        accessat(CWD, &self.path, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
    }

    fn may_remove(&self) -> bool {
        let Some(directory) = self.path.parent() else { return false };
        let own = || {
            let user = geteuid().as_raw();
            let of = |path: &Path| lstat(path).is_ok_and(|found| found.st_uid == user);
            user == 0 || of(&self.path) || of(directory)
        };
        let sticky = |mode: u32| mode & 0o1000 != 0;
        accessat(CWD, directory, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
            && (stat(directory).is_ok_and(|found| !sticky(found.st_mode)) || own())
    }

    fn unlink(&self) -> Result<(), SegmentError> {
        unlink(&self.path)
    }

    fn refresh(&self) -> io::Result<()> {
        self.file().map(drop)
    }

    fn inherit(&self) -> Option<Box<dyn Object>> {
        let file = self.file.load_full();
        let there = file.is_there();
        there.then(|| -> Box<dyn Object> {
            Box::new(SegmentFile {
                path: self.path.clone(),
                id: self.id,
                directory: self.directory,
                user: self.user,
                mode: self.mode,
                place: self.place.clone(),
                copied: self.copied,
                file: ArcSwap::new(file),
                mark: Mutex::new(Mark::LockFile(None)),
                lineage: Lineage::current(),
            })
        })
    }

    fn join(&self, lock: &LockFile) -> io::Result<()> {
        let file = self.file()?;
        let mut mark = self.mark();
        *mark = match *mark {
            Mark::LockFile(_) => Mark::LockFile(Some(lock.mark()?)),
            _ => Mark::File(lock::attach(file.get()?)?),
        };
        Ok(())
    }

    fn leave(&self, lock: &LockFile) {
        let mut mark = self.mark();
        match *mark {
            Mark::None | Mark::LockFile(None) => {}
            Mark::LockFile(Some(byte)) => {
                lock.unlock(byte);
                *mark = Mark::LockFile(None);
            }
            Mark::File(byte) => {
                if let Ok(file) = self.file.load().get() {
                    lock::detach(file, byte);
                }
                *mark = Mark::None;
            }
        }
    }

    fn attached(&self, lock: Option<&LockFile>) -> io::Result<usize> {
        let most = lock::most(self.user);
        let marks = lock.map_or(Ok(0), |lock| lock.marks(most))?;
        Ok(lock::attached(self.file()?.get()?, most)? + marks)
    }
}
