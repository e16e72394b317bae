//! A segment's memory as slices of atomics.

use std::fs::File;
use std::io;
use std::sync::atomic::AtomicU64;

use memmap2::{Advice, MmapOptions, MmapRaw};

use super::geometry::{Geometry, WORD};
use super::words::{EVENT, HEAD, OwnerWord};

/// The memory of one segment, mapped once and never moved. Of a file it is
/// mapped read-only: whoever tries to write through it ends with a fault.
#[derive(Debug)]
pub struct Mapping {
    raw: MmapRaw,
    geometry: Geometry,
}

impl Mapping {
    /// Maps a segment's file read-only.
    ///
    /// # Errors
    /// What the kernel says, and `UnexpectedEof` if the file is too short.
    pub fn read_only(file: &File, geometry: Geometry) -> io::Result<Mapping> {
        check_len(file, &geometry)?;
        let raw = MmapOptions::new().len(geometry.total_bytes()).map_raw_read_only(file)?;
        Ok(Mapping { raw, geometry })
    }

    /// The geometry that it was mapped with.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// All words of the segment.
    #[inline(always)]
    pub fn words(&self) -> &[AtomicU64] {
        let base = self.raw.as_ptr().cast::<AtomicU64>();
        // SAFETY: the mapping lives as long as `self`, is page-aligned and at
        // least `total_bytes` long (checked against the file when it was
        // mapped; its pages are reserved, so no access faults). Any bits are
        // valid words, and every access by any process is atomic. Through a
        // read-only mapping only loads are made: the functions that store take
        // a `WriteMapping`.
        unsafe { core::slice::from_raw_parts(base, self.geometry.total_bytes() / WORD) }
    }

    /// The head word.
    #[inline(always)]
    pub fn head(&self) -> &AtomicU64 {
        &self.words()[HEAD]
    }

    /// The event word: raised before every wake.
    pub fn event(&self) -> &AtomicU64 {
        &self.words()[EVENT]
    }

    /// A word of the owner block.
    pub fn owner(&self, word: OwnerWord) -> &AtomicU64 {
        &self.words()[word.index()]
    }

    /// One of the two frames.
    pub fn frame(&self, frame: usize) -> &[AtomicU64] {
        let start = self.geometry.frame_start(frame);
        &self.words()[start..start + self.geometry.frame_words()]
    }
}

/// A writable mapping: the owner's second one, or private memory.
#[derive(Debug)]
pub struct WriteMapping(Mapping);

impl WriteMapping {
    /// Maps a segment's file for writing. A forked child does not inherit it.
    ///
    /// # Errors
    /// As [`Mapping::read_only`].
    pub fn of_file(file: &File, geometry: Geometry) -> io::Result<WriteMapping> {
        check_len(file, &geometry)?;
        let raw = MmapOptions::new().len(geometry.total_bytes()).map_raw(file)?;
        raw.advise(Advice::DontFork)?;
        Ok(WriteMapping(Mapping { raw, geometry }))
    }

    /// Private memory of a segment's shape, all zero.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn private(geometry: Geometry) -> io::Result<WriteMapping> {
        let raw = MmapOptions::new().len(geometry.total_bytes()).map_anon()?.into();
        Ok(WriteMapping(Mapping { raw, geometry }))
    }
}

impl core::ops::Deref for WriteMapping {
    type Target = Mapping;
    fn deref(&self) -> &Mapping {
        &self.0
    }
}

fn check_len(file: &File, geometry: &Geometry) -> io::Result<()> {
    if file.metadata()?.len() < geometry.total_bytes() as u64 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(())
}
