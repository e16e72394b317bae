//! Making a segment: whole, or not at all.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{AtFlags, CWD, FallocateFlags, OFlags, fallocate, linkat, statvfs};
use rustix::io::Errno;

use super::error::SegmentError;
use super::lock::LockFile;
use super::name::{Place, lock_path};
use super::segment::{Segment, flags, open};
use super::tenure::Tenure;
use crate::layout::{Capacity, Geometry, Header, Identity, WriteMapping};
use crate::map::{ClusterMap, Image};
use crate::protocol::{Head, Publisher, Term};
use crate::sync::Ordering;

/// What came of making a segment.
#[derive(Debug)]
pub enum Created {
    /// It is there, and this process owns it.
    Owner(Box<Tenure>),
    /// Another process was first.
    Exists,
}

/// What a new segment continues from.
#[derive(Clone, Copy, Debug)]
pub struct Inherited<'a> {
    /// The last sequence of the segment before.
    pub sequence: u64,
    /// The table generation there.
    pub table_generation: u64,
    /// The map published there.
    pub map: &'a ClusterMap,
}

/// Makes the segment of that place and generation, its creator being its owner
/// in the first term.
///
/// # Errors
/// [`SegmentError`]; nothing is left behind then.
pub fn create(
    place: &Place,
    generation: u64,
    capacity: Capacity,
    inherited: Option<Inherited<'_>>,
) -> Result<Created, SegmentError> {
    Prepared::build(place, generation, capacity, inherited)?.link()
}

/// A segment that is whole but has no name yet: nobody sees it.
///
/// Dropped, it is gone; a process that dies leaves at most a lock file that
/// nobody holds.
#[derive(Debug)]
pub struct Prepared {
    path: PathBuf,
    unnamed: Unnamed,
    /// `None` once it belongs to the segment.
    lock: Option<LockFile>,
}

impl Prepared {
    /// Builds the segment.
    ///
    /// # Errors
    /// [`SegmentError`]; nothing is left behind then.
    pub fn build(
        place: &Place,
        generation: u64,
        capacity: Capacity,
        inherited: Option<Inherited<'_>>,
    ) -> Result<Prepared, SegmentError> {
        capacity.check()?;
        let geometry = Geometry::new(capacity)?;
        let identity = identity(place.key, generation);
        let path = place.segment(generation);
        let lock = lock_path(&place.directory, place.key, identity.segment_id);
        let lock = LockFile::create(lock.clone(), place.mode).map_err(|source| {
            match source.raw_os_error() {
                Some(code) if code == Errno::NOSPC.raw_os_error() => no_space(place, &geometry),
                _ => SegmentError::Io { action: "make the lock file", path: lock, source },
            }
        })?;
        // From here on the lock file is taken away if something fails.
        let unnamed = match Unnamed::open(place, identity.segment_id) {
            Ok(unnamed) => unnamed,
            Err(error) => {
                let _ = std::fs::remove_file(lock.path());
                return Err(error);
            }
        };
        let prepared = Prepared { path, unnamed, lock: Some(lock) };
        prepared.fill(place, identity, &geometry, inherited.as_ref())?;
        Ok(prepared)
    }

    fn fill(
        &self,
        place: &Place,
        identity: Identity,
        geometry: &Geometry,
        inherited: Option<&Inherited<'_>>,
    ) -> Result<(), SegmentError> {
        let io = |action| SegmentError::io(action, &self.path);
        let file = self.unnamed.file.as_ref().expect("open");
        match fallocate(file, FallocateFlags::empty(), 0, geometry.total_bytes() as u64) {
            Ok(()) => {}
            Err(Errno::NOSPC | Errno::DQUOT) => return Err(no_space(place, geometry)),
            // A file system that can't reserve would let a later access fault.
            Err(error) => return Err(io("reserve the pages of")(error.into())),
        }
        file.write_all_at(Header::new(identity, geometry).bytes(), 0).map_err(io("fill"))?;
        fill(file, geometry, inherited).map_err(io("fill"))?;
        file.set_permissions(std::fs::Permissions::from_mode(place.mode))
            .map_err(io("set the mode of"))
    }

    /// Gives it its name, unless another segment has it.
    ///
    /// # Errors
    /// [`SegmentError`].
    pub fn link(mut self) -> Result<Created, SegmentError> {
        match self.unnamed.link(&self.path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Ok(Created::Exists);
            }
            Err(error) => return Err(SegmentError::io("link", &self.path)(error)),
        }
        let Some(file) = self.unnamed.named(&self.path)? else { return Ok(Created::Exists) };
        let lock = self.lock.take().expect("taken only here");
        let segment = Segment::created(self.path.clone(), file, lock)?;
        Ok(Created::Owner(Box::new(Tenure::first(segment)?)))
    }
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if let Some(lock) = &self.lock {
            let _ = std::fs::remove_file(lock.path());
        }
    }
}

/// A segment in this process's own memory, and its tenure. Publications go on
/// from `sequence`, which is 0 for the first such segment.
///
/// # Errors
/// [`SegmentError`].
pub fn private(capacity: Capacity, sequence: u64) -> Result<Tenure, SegmentError> {
    capacity.check()?;
    let geometry = Geometry::new(capacity)?;
    let memory = WriteMapping::private(geometry)
        .map_err(SegmentError::io("reserve memory for", "the private map"))?;
    // Relaxed: nobody else has seen this memory yet.
    memory.head().store(Head::new(Term::FIRST, sequence).bits(), Ordering::Relaxed);
    Tenure::first(Arc::new(Segment::of_memory(identity(0, 1), memory)))
}

fn identity(key: u32, generation: u64) -> Identity {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Identity {
        key,
        generation,
        segment_id: fastrand::u64(..),
        created_ns: since.as_nanos() as u64,
        creator_pid: std::process::id(),
    }
}

/// Writes the head, and the map that the segment begins with, through a
/// mapping of the file that nobody else has seen.
fn fill(file: &File, geometry: &Geometry, inherited: Option<&Inherited<'_>>) -> io::Result<()> {
    let mapping = WriteMapping::of_file(file, *geometry)?;
    let Some(inherited) = inherited else {
        // Relaxed: the link that follows is what makes it visible.
        mapping.head().store(Head::new(Term::FIRST, 0).bits(), Ordering::Relaxed);
        return Ok(());
    };
    // No publisher gets half-way to the last sequence: one beyond was damaged.
    // The generation is newer, so that the sequence may begin anew.
    let damaged = inherited.sequence > Head::LAST_SEQUENCE / 2;
    let sequence = if damaged { 1 } else { inherited.sequence };
    let head = Head::new(Term::FIRST, sequence.saturating_sub(1));
    mapping.head().store(head.bits(), Ordering::Relaxed);
    let image = Image::of(inherited.map, geometry).map_err(io::Error::other)?;
    let mut publisher = Publisher::new(Term::FIRST, head);
    image.put(inherited.map, geometry, &mut publisher);
    // One checksum is cheap, and whoever checks them misses no publication.
    image.seal(inherited.table_generation + 1, true, &mut publisher);
    let frame = mapping.frame(publisher.next_frame());
    publisher
        .publish(mapping.head(), frame, image.spans())
        .map_err(|error| io::Error::other(format!("a fresh segment was disturbed: {error:?}")))?;
    Ok(())
}

fn no_space(place: &Place, geometry: &Geometry) -> SegmentError {
    let free = statvfs(&place.directory).map_or(0, |found| found.f_bavail * found.f_frsize);
    let (directory, wanted) = (place.directory.clone(), geometry.total_bytes() as u64);
    SegmentError::NoSpace { directory, wanted, free }
}

/// A file without its name: truly without one where the file system can do
/// that, else under a temporary one that is taken away when this is dropped.
#[derive(Debug)]
struct Unnamed {
    file: Option<File>,
    temporary: Option<PathBuf>,
}

impl Unnamed {
    fn open(place: &Place, segment_id: u64) -> Result<Unnamed, SegmentError> {
        let directory = &place.directory;
        let mut options = OpenOptions::new();
        options.read(true).write(true).mode(0o600);
        let bits = OFlags::TMPFILE | OFlags::CLOEXEC;
        match options.clone().custom_flags(bits.bits() as i32).open(directory) {
            Ok(file) => return Ok(Unnamed { file: Some(file), temporary: None }),
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
        Ok(Unnamed { file: Some(file), temporary: Some(path) })
    }

    /// The file by its new name and for reading only: what this process keeps
    /// open and mapped is then what operators see in `/proc`. `None` if the
    /// name leads to another file by now.
    fn named(&mut self, path: &Path) -> Result<Option<File>, SegmentError> {
        let io = || SegmentError::io("open", path);
        let unnamed = self.file.take().expect("open");
        let named = match open(path) {
            Err(error) if error.is_absent() => return Ok(None),
            other => other?,
        };
        let id = |file: &File| file.metadata().map(|found| (found.dev(), found.ino()));
        let same = id(&named).map_err(io())? == id(&unnamed).map_err(io())?;
        Ok(same.then_some(named))
    }

    fn link(&self, path: &Path) -> io::Result<()> {
        use std::os::fd::AsRawFd;
        let result = match &self.temporary {
            Some(temporary) => linkat(CWD, temporary, CWD, path, AtFlags::empty()),
            None => {
                let held =
                    format!("/proc/self/fd/{}", self.file.as_ref().expect("open").as_raw_fd());
                linkat(CWD, held, CWD, path, AtFlags::SYMLINK_FOLLOW)
            }
        };
        result.map_err(Into::into)
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _ = std::fs::remove_file(temporary);
        }
    }
}
