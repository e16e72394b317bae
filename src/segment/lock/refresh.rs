//! Opening a lock file again: if the host has closed it, if its name leads to
//! another file, and if its name is no longer occupied.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::LockFile;
use super::bytes::flock;
use super::marks::MARKS;
use super::open::{LockHandle, open_existing, open_or_create};
use crate::descriptor::reopening;
use crate::layout::Lineage;
use crate::segment::registry::registry;
use crate::segment::whereabouts::Whereabouts;

impl LockFile {
    /// The open file; another one if the host has closed the descriptor, and
    /// all locks with it.
    pub(super) fn handle(&self) -> io::Result<Arc<LockHandle>> {
        if self.lineage != Lineage::current() {
            // The child's own, so that it never closes a second one.
            if let Some(own) = self.of_this_process() {
                return own.handle();
            }
        }
        let handle = self.file.load_full();
        if !handle.is_lost() {
            return Ok(handle);
        }
        let _alone = reopening();
        // Another thread may have been faster.
        let handle = self.file.load_full();
        match handle.is_lost() {
            false => Ok(handle),
            true => self.another(),
        }
    }

    /// A forked child's own lock file, if this one is its parent's.
    pub(super) fn of_this_process(&self) -> Option<Arc<LockFile>> {
        let own = registry().lock(&self.path);
        own.filter(|own| own.lineage == Lineage::current())
    }

    /// Opens what the name leads to, and locks there the bytes that this
    /// process held, as far as they are free. One thread at a time.
    fn another(&self) -> io::Result<Arc<LockHandle>> {
        let opened = open_or_create(&self.path, self.mode, &self.trusted())?;
        self.occupied.store(opened.occupied, Ordering::Relaxed);
        let handle = self.file.load_full();
        if opened.occupied && handle.file.is_some() && !handle.is_lost() {
            // Other processes that have it open meet there as before.
            return Ok(handle);
        }
        let fresh = LockHandle::new(opened, &self.path);
        self.use_instead(&fresh)?;
        Ok(fresh)
    }

    /// Switches to another open file, and locks there the bytes that this
    /// process held.
    fn use_instead(&self, fresh: &Arc<LockHandle>) -> io::Result<()> {
        if self.lineage != Lineage::current() {
            return Ok(());
        }
        if !fresh.is_alone() {
            let file = fresh.file()?;
            self.with_own(|own| {
                own.retain(|&byte| {
                    let kind = if byte < MARKS { libc::F_WRLCK } else { libc::F_RDLCK };
                    fcntl(file, FcntlArg::F_SETLK(&flock(kind, byte, 1))).is_ok()
                });
            });
        }
        self.file.store(fresh.clone());
        Ok(())
    }

    /// Opens what the name leads to now, if that is another file or the host has closed the
    /// descriptor. Locks held so far are also taken there, as far as they are free. A file that
    /// is merely invisible from here stays in use.
    ///
    /// # Errors
    /// The error of the system call.
    pub fn refresh(&self) -> io::Result<bool> {
        if let Some(marks) = &self.marks {
            // If a mark is lost, the last but one to close may retire a segment
            // that is in use: the others then start again in a new one, nothing
            // worse.
            let _ = marks.refresh();
        }
        if !self.is_open() {
            // Another thread may have opened it.
            let _alone = reopening();
            return Ok(self.opened_by_now().is_some_and(|alone| alone));
        }
        let here = || !self.file.load().is_lost() && self.whereabouts() != Whereabouts::Gone;
        let stays = || here() || self.lineage != Lineage::current();
        if stays() {
            if here() {
                self.occupied.store(false, Ordering::Relaxed);
            }
            return Ok(false);
        }
        let _alone = reopening();
        let stays = stays();
        if !stays {
            self.another()?;
        }
        Ok(!stays && !self.is_occupied())
    }

    /// Opens a file that could not be opened before, if that is possible now;
    /// returns whether this process had none until then. One thread at a time.
    fn opened_by_now(&self) -> Option<bool> {
        let without = self.file.load_full();
        if without.file.is_some() || self.lineage != Lineage::current() {
            return None;
        }
        let opened = match without.writable {
            true => open_or_create(&self.path, self.mode, &self.trusted()),
            false => open_existing(&self.path, &self.trusted()),
        };
        let opened = opened.ok()?;
        self.occupied.store(opened.occupied, Ordering::Relaxed);
        opened.file.as_ref()?;
        self.use_instead(&LockHandle::new(opened, &self.path)).ok()?;
        Some(without.writable)
    }
}
