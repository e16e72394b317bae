//! A segment's memory as slices of atomics.

use core::mem::ManuallyDrop;
use core::ptr::NonNull;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use memmap2::{Advice, MmapOptions, MmapRaw};
use rustix::mm::{MprotectFlags, MremapFlags, madvise, mprotect, mremap, munmap};

use super::fork::Lineage;
use super::geometry::{Geometry, WORD, frame, notes};
use super::header::Header;
use super::system_v::{Shm, copy_header};
use super::words::{EVENT, HEAD, OwnerWord, TIMES, TIMES_KINDS, TIMES_WORDS};
use crate::sync::Ordering;

/// The memory of one segment, mapped once and never moved. Shared memory is
/// mapped read-only: a write through it faults.
#[derive(Debug)]
pub struct Mapping {
    /// The words that `memory` owns, kept here so that a lookup reaches them
    /// with one load.
    base: NonNull<AtomicU64>,
    words: usize,
    geometry: Geometry,
    /// Forgotten, not dropped, in a process where it is not mapped.
    memory: ManuallyDrop<MappedMemory>,
    /// The only process that has the mapping; `None` if children inherit it.
    only: Option<Lineage>,
}

/// The owner of the memory; dropping it unmaps the memory.
#[derive(Debug)]
enum MappedMemory {
    /// Pages of a segment's file.
    File(MmapRaw),
    /// A System V segment.
    SystemV(Shm),
    /// Private pages of this process.
    Private(MmapRaw),
    /// A second mapping of the pages of another mapping.
    Second(Second),
}

impl MappedMemory {
    fn start(&self) -> (*mut AtomicU64, usize) {
        match self {
            MappedMemory::File(raw) | MappedMemory::Private(raw) => {
                (raw.as_mut_ptr().cast(), raw.len())
            }
            MappedMemory::SystemV(shm) => {
                let (base, bytes) = shm.start();
                (base.as_ptr(), bytes)
            }
            MappedMemory::Second(second) => (second.base.as_ptr().cast(), second.bytes),
        }
    }
}

/// A second mapping of pages that are already mapped. It needs no descriptor,
/// name or permission beyond those of the first mapping.
#[derive(Debug)]
struct Second {
    base: NonNull<core::ffi::c_void>,
    bytes: usize,
}

impl Second {
    /// Maps whole pages of shared memory a second time. No child inherits the
    /// mapping, and it is writable if the first one could have been.
    fn of(base: NonNull<AtomicU64>, bytes: usize) -> io::Result<Second> {
        // SAFETY: with an old size of zero the kernel maps the shared pages a
        // second time, at an address of its choice; the first mapping is
        // unchanged.
        let moved = unsafe { mremap(base.as_ptr().cast(), 0, bytes, MremapFlags::MAYMOVE) }?;
        let base = NonNull::new(moved)
            .ok_or_else(|| io::Error::other("the kernel mapped memory at address zero"))?;
        let second = Second { base, bytes };
        // SAFETY: the pages are this mapping's own, and no other code has seen
        // them. The mapping is excluded from children before it becomes
        // writable.
        unsafe {
            madvise(base.as_ptr(), bytes, rustix::mm::Advice::LinuxDontFork)?;
            mprotect(base.as_ptr(), bytes, MprotectFlags::READ | MprotectFlags::WRITE)?;
        }
        Ok(second)
    }
}

impl Drop for Second {
    fn drop(&mut self) {
        // SAFETY: mapped by `of`; there are no references into it any more.
        let _ = unsafe { munmap(self.base.as_ptr(), self.bytes) };
    }
}

// SAFETY: the memory belongs to the mapping, wherever it is moved to, and is
// unmapped with it; every access to it is atomic.
unsafe impl Send for Mapping {}
// SAFETY: a shared reference gives access only to atomics and to plain values
// that never change.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// The byte offset of the head.
    pub const HEAD_BYTE: u64 = (HEAD * WORD) as u64;
    /// The number of bytes of the fixed words, which are the same in every
    /// geometry.
    pub const FIXED_BYTES: usize = Geometry::FRAMES;

    /// Maps a segment's file read-only. If the descriptor is open for writing, a [`WriteMapping`]
    /// can be made from the mapping later.
    ///
    /// # Errors
    /// The kernel's error, and `UnexpectedEof` if the file is too short.
    pub fn read_only(file: impl AsFd, geometry: Geometry) -> io::Result<Mapping> {
        check_len(&file, &geometry)?;
        let number = file.as_fd().as_raw_fd();
        let raw = MmapOptions::new().len(geometry.total_bytes()).map_raw_read_only(number)?;
        Self::of(MappedMemory::File(raw), geometry)
    }

    /// The memory of a System V segment.
    ///
    /// # Errors
    /// `UnexpectedEof` if it is too small.
    pub fn of_shm(shm: Shm, geometry: Geometry) -> io::Result<Mapping> {
        Self::of(MappedMemory::SystemV(shm), geometry)
    }

    fn of(memory: MappedMemory, geometry: Geometry) -> io::Result<Mapping> {
        let (start, bytes) = memory.start();
        // All accesses below rely on the mapping being at least this long.
        if bytes < geometry.total_bytes() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let base = NonNull::new(start)
            .ok_or_else(|| io::Error::other("the kernel mapped memory at address zero"))?;
        let memory = ManuallyDrop::new(memory);
        Ok(Mapping { base, words: geometry.total_bytes() / WORD, geometry, memory, only: None })
    }

    /// Marks the mapping as not inherited by children.
    fn of_this_process(self) -> Mapping {
        let mut mapping = self;
        mapping.only = Some(Lineage::current());
        mapping
    }

    /// Whether the memory is mapped in this process; it is not in a child of
    /// the process that it belongs to.
    fn is_there(&self) -> bool {
        self.only.is_none_or(|lineage| lineage == Lineage::current())
    }

    /// The geometry that it was mapped with.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// All words of the segment.
    #[inline(always)]
    pub fn words(&self) -> &[AtomicU64] {
        // SAFETY: the memory lives as long as `self` in the process that mapped
        // it. (A forked child has no writable mapping of a shared segment: a
        // program that forks, which is unsafe, must check `is_there` before it
        // uses an inherited one, as `Ownership` does.) It is page-aligned and
        // at least this many words long (checked when it was mapped; the pages
        // of a file are reserved, so no access faults). Any bits are valid
        // words, and every access by any process is atomic. Through a read-only
        // mapping only loads are made: the functions that store take a
        // `WriteMapping`.
        unsafe { core::slice::from_raw_parts(self.base.as_ptr(), self.words) }
    }

    /// A private copy of the current header.
    pub fn header(&self) -> Vec<u8> {
        copy_header(&self.words()[..size_of::<Header>() / WORD])
    }

    /// The head word.
    #[inline(always)]
    pub fn head(&self) -> &AtomicU64 {
        // SAFETY: as for `words`; every geometry has at least the fixed words,
        // which fill a page.
        unsafe { self.base.add(HEAD).as_ref() }
    }

    /// The event word, which is incremented before every wake.
    pub fn event(&self) -> &AtomicU64 {
        &self.words()[EVENT]
    }

    /// A word of the owner block.
    pub fn owner(&self, word: OwnerWord) -> &AtomicU64 {
        &self.words()[word.index()]
    }

    /// The words of a histogram; empty if there is no such histogram.
    pub fn times(&self, kind: usize) -> &[AtomicU64] {
        if kind >= TIMES_KINDS {
            return &[];
        }
        let start = TIMES + kind * TIMES_WORDS;
        &self.words()[start..start + TIMES_WORDS]
    }

    /// Every word that counts only under the head's term: the owner block and the
    /// histograms. A new owner rewrites all of them.
    pub fn owner_words(&self) -> impl Iterator<Item = &AtomicU64> {
        let block = OwnerWord::ALL.into_iter().map(|word| self.owner(word));
        block.chain((0..TIMES_KINDS).flat_map(|kind| self.times(kind)))
    }

    /// A slot's health record; empty if there is no such slot.
    pub fn node_health(&self, slot: usize) -> &[AtomicU64] {
        if slot >= self.geometry.capacity().max_nodes {
            return &[];
        }
        let start = self.geometry.node_health(slot);
        &self.words()[start..start + frame::HEALTH_WORDS]
    }

    /// The words that count the passes for which something has lasted.
    pub fn conditions(&self) -> &[AtomicU64] {
        self.notes(0, notes::CONDITIONS)
    }

    /// The record of a text that gives a reason; empty if there is no such
    /// record.
    pub fn reason(&self, index: usize) -> &[AtomicU64] {
        match index < notes::REASONS {
            true => {
                self.notes(notes::CONDITIONS + index * notes::REASON_WORDS, notes::REASON_WORDS)
            }
            false => &[],
        }
    }

    /// The record of a node that left; empty if there is no such record.
    pub fn departure(&self, index: usize) -> &[AtomicU64] {
        let first = notes::CONDITIONS + notes::REASONS * notes::REASON_WORDS;
        match index < notes::DEPARTURES {
            true => self.notes(first + index * notes::DEPARTURE_WORDS, notes::DEPARTURE_WORDS),
            false => &[],
        }
    }

    fn notes(&self, first: usize, words: usize) -> &[AtomicU64] {
        let start = self.geometry.notes() + first;
        &self.words()[start..start + words]
    }

    /// One of the two frames.
    #[inline]
    pub fn frame(&self, frame: usize) -> &[AtomicU64] {
        let start = self.geometry.frame_start(frame);
        &self.words()[start..start + self.geometry.frame_words()]
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // In a forked child the range is not mapped (MADV_DONTFORK) and may
        // have been reused.
        if self.is_there() {
            // SAFETY: this is the only place that drops it.
            unsafe { ManuallyDrop::drop(&mut self.memory) }
        }
    }
}

/// A writable mapping: the owner's second one, or private memory.
///
/// In a forked child the first kind is not mapped: code that may run in a child
/// must check [`is_there`](Self::is_there) before every use.
#[derive(Debug)]
pub struct WriteMapping(Arc<Mapping>);

impl WriteMapping {
    /// Maps a segment's file for writing. A forked child does not inherit it.
    ///
    /// # Errors
    /// As [`Mapping::read_only`].
    pub fn of_file(file: impl AsFd, geometry: Geometry) -> io::Result<WriteMapping> {
        check_len(&file, &geometry)?;
        let number = file.as_fd().as_raw_fd();
        let raw = MmapOptions::new().len(geometry.total_bytes()).map_raw(number)?;
        raw.advise(Advice::DontFork)?;
        let mapping = Mapping::of(MappedMemory::File(raw), geometry)?;
        Ok(WriteMapping(Arc::new(mapping.of_this_process())))
    }

    /// Makes a second, writable mapping of a segment that this process has mapped for reading, if
    /// it could have mapped it for writing then. It needs neither the descriptor nor the name,
    /// nor the permission now. A forked child does not inherit it.
    ///
    /// # Errors
    /// The kernel's error; `PermissionDenied` if the segment could only be read.
    pub fn of_mapped(mapping: &Mapping) -> io::Result<WriteMapping> {
        let page = rustix::param::page_size();
        let bytes = mapping.geometry.total_bytes().next_multiple_of(page);
        let second = Second::of(mapping.base, bytes)?;
        let mapping = Mapping::of(MappedMemory::Second(second), mapping.geometry)?;
        Ok(WriteMapping(Arc::new(mapping.of_this_process())))
    }

    /// The memory of a System V segment that was mapped for writing. A forked
    /// child does not inherit it.
    ///
    /// # Errors
    /// As [`Mapping::of_shm`], and `PermissionDenied` if it was mapped for
    /// reading.
    pub fn of_shm(shm: Shm, geometry: Geometry) -> io::Result<WriteMapping> {
        if !shm.is_writable() {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let mapping = Mapping::of_shm(shm, geometry)?;
        let bytes = geometry.total_bytes();
        // SAFETY: the pages are this mapping's own; the advice takes effect in
        // children only.
        unsafe { madvise(mapping.base.as_ptr().cast(), bytes, rustix::mm::Advice::LinuxDontFork) }?;
        Ok(WriteMapping(Arc::new(mapping.of_this_process())))
    }

    /// Private memory with the layout of a segment, all zero.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn private(geometry: Geometry) -> io::Result<WriteMapping> {
        let raw = MmapOptions::new().len(geometry.total_bytes()).map_anon()?.into();
        Ok(WriteMapping(Arc::new(Mapping::of(MappedMemory::Private(raw), geometry)?)))
    }

    /// Whether it can be used in this process; a forked child does not inherit
    /// the mapping of a shared segment.
    pub fn is_there(&self) -> bool {
        self.0.is_there()
    }

    /// The same mapping, for readers.
    pub fn mapping(&self) -> &Arc<Mapping> {
        &self.0
    }

    /// Stores the header.
    pub fn put_header(&self, header: &Header) {
        for (word, value) in self.words().iter().zip(header.words()).rev() {
            // Release: a process that sees the magic, which is stored last,
            // sees the rest.
            word.store(value, Ordering::Release);
        }
    }

    /// Copies another segment's words into this memory. It becomes a segment when the first word,
    /// the magic, is stored last.
    ///
    /// # Errors
    /// `InvalidInput` if the two have different geometries.
    pub fn copy(&self, from: &Mapping) -> io::Result<()> {
        if self.geometry() != from.geometry() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let pairs = self.words().iter().zip(from.words());
        for (to, from) in pairs.skip(1) {
            // Relaxed: no process reads them before it has seen the magic.
            to.store(from.load(Ordering::Relaxed), Ordering::Relaxed);
        }
        let magic = from.words()[0].load(Ordering::Relaxed);
        // Pairs with the fence in `copy_header`.
        self.words()[0].store(magic, Ordering::Release);
        Ok(())
    }
}

impl core::ops::Deref for WriteMapping {
    type Target = Mapping;
    fn deref(&self) -> &Mapping {
        &self.0
    }
}

fn check_len(file: impl AsFd, geometry: &Geometry) -> io::Result<()> {
    if (rustix::fs::fstat(file)?.st_size as u64) < geometry.total_bytes() as u64 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}

#[cfg(test)]
mod tests;
