//! A segment as one process holds it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use nix::libc;

use super::error::SegmentError;
use super::lock::{self, LockFile};
use super::name::{Place, SegmentName, lock_path};
use super::registry::{FileId, Registry, registry};
use crate::layout::{Geometry, Header, Identity, Lineage, Mapping, WriteMapping};
use crate::protocol::Head;
use crate::sync::Ordering;

/// A mapped segment. It is never remapped or moved: whoever holds an `Arc` of
/// it can read it, also after its file is gone.
#[derive(Debug)]
pub struct Segment {
    identity: Identity,
    store: Store,
}

#[derive(Debug)]
enum Store {
    File(Box<FileStore>),
    Private(WriteMapping),
}

#[derive(Debug)]
struct FileStore {
    path: PathBuf,
    file: File,
    file_id: FileId,
    mode: u32,
    mapping: Mapping,
    /// `None` only while it is dropped.
    lock: Option<Arc<LockFile>>,
    /// How many handles of this process hold it, and the byte by which the
    /// process counts as attached.
    attached: Mutex<(usize, u64)>,
    lineage: Lineage,
}

impl Segment {
    /// Attaches to the segment at `path`, sharing this process's attachment if
    /// there is one.
    ///
    /// The file's kind, owner, mode, length and header are checked first; one
    /// that fails is not touched.
    ///
    /// # Errors
    /// [`SegmentError`], one for each thing that can be wrong.
    pub fn attach(place: &Place, generation: u64) -> Result<Arc<Segment>, SegmentError> {
        let path = place.segment(generation);
        let file = open(&path)?;
        let file_id = check_file(&file, &path, place.owner)?;
        let mut registry = registry();
        if let Some(segment) = registry.segment(file_id) {
            return Ok(segment);
        }
        let (identity, geometry) = check_header(&file, &path)?;
        check_name(&identity, place, generation, &path)?;
        let lock = match registry.lock(file_id) {
            Some(lock) => lock,
            None => {
                let lock = lock_path(&place.directory, identity.key, identity.segment_id);
                let action = SegmentError::io("open the lock file", lock.clone());
                Arc::new(LockFile::open(lock, file_mode(&file, &path)?).map_err(action)?)
            }
        };
        let segment = Self::assemble(path, file, (identity, geometry), lock, &mut registry)?;
        // It may have been removed meanwhile, and its lock file made anew here.
        if let Some(lock) = segment.lock().filter(|_| segment.head().retired()) {
            if !segment.is_at_name() {
                let _ = std::fs::remove_file(lock.path());
            }
        }
        Ok(segment)
    }

    /// The segment that was just created, its lock file being held.
    pub(super) fn created(
        path: PathBuf,
        file: File,
        lock: LockFile,
    ) -> Result<Arc<Segment>, SegmentError> {
        let checked = check_header(&file, &path)?;
        Self::assemble(path, file, checked, Arc::new(lock), &mut registry())
    }

    fn assemble(
        path: PathBuf,
        file: File,
        (identity, geometry): (Identity, Geometry),
        lock: Arc<LockFile>,
        registry: &mut Registry,
    ) -> Result<Arc<Segment>, SegmentError> {
        let mapping =
            Mapping::read_only(&file, geometry).map_err(SegmentError::io("map", &path))?;
        let mode = file_mode(&file, &path)?;
        let file_id = id_of(&file).map_err(SegmentError::io("examine", &path))?;
        let segment = Arc::new(Segment {
            identity,
            store: Store::File(Box::new(FileStore {
                path,
                file,
                file_id,
                mode,
                mapping,
                lock: Some(lock.clone()),
                attached: Mutex::new((0, 0)),
                lineage: Lineage::current(),
            })),
        });
        registry.add(file_id, &segment, &lock);
        Ok(segment)
    }

    /// A segment in memory of this process alone.
    pub(super) fn of_memory(identity: Identity, memory: WriteMapping) -> Segment {
        Segment { identity, store: Store::Private(memory) }
    }

    /// Its memory, for reading.
    #[inline(always)]
    pub fn mapping(&self) -> &Mapping {
        match &self.store {
            Store::File(store) => &store.mapping,
            Store::Private(memory) => memory,
        }
    }

    /// Its private memory, for writing; `None` of a shared segment, for which
    /// the owner makes a mapping of its own.
    pub(super) fn memory(&self) -> Option<&WriteMapping> {
        match &self.store {
            Store::File(_) => None,
            Store::Private(memory) => Some(memory),
        }
    }

    /// Who it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// Its geometry.
    pub fn geometry(&self) -> &Geometry {
        self.mapping().geometry()
    }

    /// Its head as it is now.
    pub fn head(&self) -> Head {
        // Relaxed: who reads more than the head uses `protocol::read`.
        Head::from_bits(self.mapping().head().load(Ordering::Relaxed))
    }

    fn file(&self) -> Option<&FileStore> {
        match &self.store {
            Store::File(store) => Some(store),
            Store::Private(_) => None,
        }
    }

    /// Its path; `None` in private mode.
    pub fn path(&self) -> Option<&Path> {
        self.file().map(|store| store.path.as_path())
    }

    /// The mode of its file, and of its lock file.
    pub fn mode(&self) -> u32 {
        self.file().map_or(Place::MODE, |store| store.mode)
    }

    /// Its lock file; `None` in private mode.
    pub fn lock(&self) -> Option<&LockFile> {
        self.file()?.lock.as_deref()
    }

    /// Opens the lock file anew if its name has come to lead to another one.
    ///
    /// One of a segment that is retired stays gone: retirement comes before its
    /// removal, so that looking once more after it was made is enough.
    ///
    /// # Errors
    /// [`SegmentError::Io`].
    pub fn refresh_lock(&self) -> Result<(), SegmentError> {
        let Some(lock) = self.lock().filter(|_| !self.head().retired()) else { return Ok(()) };
        let opened = lock.reopen_if_moved(self.mode());
        let opened = opened.map_err(SegmentError::io("open the lock file", lock.path()))?;
        if opened && self.head().retired() {
            let _ = std::fs::remove_file(lock.path());
        }
        Ok(())
    }

    /// Whether its name still leads to its file.
    pub fn is_at_name(&self) -> bool {
        let Some(store) = self.file() else { return true };
        std::fs::symlink_metadata(&store.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == store.file_id)
    }

    /// Whether its name still leads to its file, and whoever comes would be let
    /// in: neither its mode, its length nor its header has changed for the worse.
    #[cfg(feature = "tend")]
    pub(crate) fn is_sound(&self) -> bool {
        let Some(store) = self.file() else { return true };
        let trusted = |found: std::fs::Metadata| found.mode() & 0o002 == 0;
        self.is_at_name()
            && store.file.metadata().is_ok_and(trusted)
            && check_header(&store.file, &store.path).is_ok_and(|(identity, geometry)| {
                (identity, &geometry) == (self.identity, self.geometry())
            })
    }

    /// A second, writable mapping of its file.
    ///
    /// # Errors
    /// [`SegmentError::Io`], also if the name leads to another file by now.
    pub(super) fn open_writer(&self) -> Result<WriteMapping, SegmentError> {
        let store = self.file().expect("a segment with a file");
        let action = |source| SegmentError::Io {
            action: "open for writing",
            path: store.path.clone(),
            source,
        };
        let file =
            flags(OpenOptions::new().read(true).write(true)).open(&store.path).map_err(action)?;
        if id_of(&file).map_err(action)? != store.file_id {
            return Err(action(io::ErrorKind::NotFound.into()));
        }
        WriteMapping::of_file(&file, *self.geometry()).map_err(action)
    }

    /// Counts this process as attached until the guard is dropped.
    ///
    /// # Errors
    /// [`SegmentError::Io`].
    pub fn hold(self: &Arc<Segment>) -> Result<Attachment, SegmentError> {
        if let Some(store) = self.file() {
            let mut held = store.attached.lock().unwrap_or_else(PoisonError::into_inner);
            if held.0 == 0 {
                let action = SegmentError::io("mark as attached", &store.path);
                held.1 = lock::attach(&store.file).map_err(action)?;
            }
            held.0 += 1;
        }
        Ok(Attachment(self.clone()))
    }

    /// How many processes are attached, this one included if it is.
    ///
    /// # Errors
    /// [`SegmentError::Io`].
    pub fn attached(&self) -> Result<usize, SegmentError> {
        let Some(store) = self.file() else { return Ok(1) };
        lock::attached(&store.file)
            .map_err(SegmentError::io("count who is attached to", &store.path))
    }
}

/// While it lives, this process counts as attached to the segment.
#[derive(Debug)]
pub struct Attachment(Arc<Segment>);

impl Drop for Attachment {
    fn drop(&mut self) {
        let Some(store) = self.0.file() else { return };
        // A forked child shares its parent's mark and leaves it alone.
        if store.lineage != Lineage::current() {
            return;
        }
        let mut held = store.attached.lock().unwrap_or_else(PoisonError::into_inner);
        held.0 -= 1;
        if held.0 == 0 {
            lock::detach(&store.file, held.1);
        }
    }
}

impl Drop for FileStore {
    fn drop(&mut self) {
        let Some(lock) = self.lock.take() else { return };
        if self.lineage == Lineage::current() {
            registry().close(lock);
        }
    }
}

pub(super) fn flags(options: &mut OpenOptions) -> &mut OpenOptions {
    options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
}

pub(super) fn open(path: &Path) -> Result<File, SegmentError> {
    flags(OpenOptions::new().read(true)).open(path).map_err(|source| {
        if source.raw_os_error() == Some(libc::ELOOP) {
            return SegmentError::Kind { path: path.into(), found: "a symbolic link" };
        }
        SegmentError::Io { action: "open", path: path.into(), source }
    })
}

fn id_of(file: &File) -> io::Result<FileId> {
    file.metadata().map(|found| (found.dev(), found.ino()))
}

fn file_mode(file: &File, path: &Path) -> Result<u32, SegmentError> {
    let found = file.metadata().map_err(SegmentError::io("examine", path))?;
    Ok(found.mode() & 0o777)
}

/// Checks what kind of file it is, whose, and who may write it.
pub(super) fn check_file(
    file: &File,
    path: &Path,
    also: Option<u32>,
) -> Result<FileId, SegmentError> {
    let found = file.metadata().map_err(SegmentError::io("examine", path))?;
    let path = || path.to_path_buf();
    let kind = found.file_type();
    if !kind.is_file() {
        let found = match () {
            () if kind.is_dir() => "a directory",
            () if kind.is_fifo() => "a pipe",
            () if kind.is_socket() => "a socket",
            () => "a device",
        };
        return Err(SegmentError::Kind { path: path(), found });
    }
    let mut wanted = vec![rustix::process::geteuid().as_raw(), 0];
    wanted.extend(also);
    wanted.dedup();
    if !wanted.contains(&found.uid()) {
        return Err(SegmentError::Owner { path: path(), found: found.uid(), wanted });
    }
    if found.mode() & 0o002 != 0 {
        return Err(SegmentError::Mode { path: path(), found: found.mode() & 0o7777 });
    }
    Ok((found.dev(), found.ino()))
}

/// Validates one private copy of the header.
pub(super) fn check_header(file: &File, path: &Path) -> Result<(Identity, Geometry), SegmentError> {
    let length = file.metadata().map_err(SegmentError::io("examine", path))?.len();
    let mut copy = vec![0; size_of::<Header>().min(usize::try_from(length).unwrap_or(usize::MAX))];
    file.read_exact_at(&mut copy, 0).map_err(SegmentError::io("read", path))?;
    Header::validate(&copy, length)
        .map_err(|source| SegmentError::Header { path: path.into(), source })
}

fn check_name(
    identity: &Identity,
    place: &Place,
    generation: u64,
    path: &Path,
) -> Result<(), SegmentError> {
    let misnamed = |what, found, wanted| {
        Err(SegmentError::Misnamed { path: path.into(), what, found, wanted })
    };
    if identity.key != place.key {
        return misnamed("key", identity.key.into(), place.key.into());
    }
    if identity.generation != generation {
        return misnamed("generation", identity.generation, generation);
    }
    Ok(())
}

/// The name under which a path's file would be a segment.
pub(super) fn name_of(path: &Path) -> Option<SegmentName> {
    SegmentName::parse(path.file_name()?.to_str()?)
}
