//! A System V segment whose layout another program defines.
//!
//! Other programs load and store it, some of them without atomics. Here every
//! access is one aligned atomic access, checked against the size of the
//! mapping; what the bytes mean, and in which order they are stored, is the
//! caller's business.

use core::mem::ManuallyDrop;
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};
use std::io;

use rustix::mm::{Advice, madvise};

use super::fork::Lineage;
use super::system_v::{Shm, ShmStat};
use crate::sync::Ordering;

/// A mapped segment of another program. A forked child does not inherit the
/// mapping, and so does not count as attached.
#[derive(Debug)]
pub struct ForeignSegment {
    /// Forgotten, not dropped, in a process where it is not mapped.
    shm: ManuallyDrop<Shm>,
    lineage: Lineage,
    id: i32,
}

// SAFETY: the memory belongs to the mapping, wherever it is moved to; every
// access to it is atomic.
unsafe impl Send for ForeignSegment {}
// SAFETY: a shared reference gives access only to atomics and to plain values
// that never change.
unsafe impl Sync for ForeignSegment {}

impl ForeignSegment {
    /// Maps the segment of that id, read-only unless `writable`.
    ///
    /// # Errors
    /// The kernel's error.
    pub fn attach(id: i32, writable: bool) -> io::Result<ForeignSegment> {
        let shm = Shm::attach(id, writable)?;
        let (base, bytes) = shm.start();
        let bytes = bytes.next_multiple_of(rustix::param::page_size());
        // SAFETY: the pages are this mapping's own; the advice takes effect in
        // children only.
        unsafe { madvise(base.as_ptr().cast(), bytes, Advice::LinuxDontFork) }?;
        Ok(ForeignSegment { shm: ManuallyDrop::new(shm), lineage: Lineage::current(), id })
    }

    /// The kernel's id of the segment; it is not used for another segment while
    /// this one is mapped.
    pub fn id(&self) -> i32 {
        self.id
    }

    /// What the kernel reported when it was mapped.
    pub fn stat(&self) -> ShmStat {
        self.shm.stat()
    }

    /// The size in bytes.
    pub fn bytes(&self) -> usize {
        self.shm.start().1
    }

    /// The address of an aligned item of `T` at that offset.
    fn at<T>(&self, offset: usize, stores: bool) -> *mut T {
        let end = offset.checked_add(size_of::<T>());
        let fits = end.is_some_and(|end| end <= self.bytes());
        assert!(fits, "offset {offset} is outside of a segment of {} bytes", self.bytes());
        assert!(offset % align_of::<T>() == 0, "offset {offset} is not aligned");
        assert!(self.lineage == Lineage::current(), "a forked child has no such mapping");
        assert!(!stores || self.shm.is_writable(), "the segment is mapped for reading");
        // The offset was checked.
        self.shm.start().0.as_ptr().cast::<u8>().wrapping_add(offset).cast()
    }

    fn byte(&self, offset: usize, stores: bool) -> &AtomicU8 {
        // SAFETY: `at` checked that the byte is mapped in this process, and
        // writable if it is to be stored; a page-aligned mapping lives as long
        // as `self`.
        unsafe { AtomicU8::from_ptr(self.at(offset, stores)) }
    }

    fn half(&self, offset: usize, stores: bool) -> &AtomicU32 {
        // SAFETY: as for `byte`; `at` checked the alignment, too.
        unsafe { AtomicU32::from_ptr(self.at(offset, stores)) }
    }

    fn word(&self, offset: usize, stores: bool) -> &AtomicU64 {
        // SAFETY: as for `half`.
        unsafe { AtomicU64::from_ptr(self.at(offset, stores)) }
    }

    /// Loads a byte.
    pub fn load_u8(&self, offset: usize) -> u8 {
        // Acquire: pairs with the stores of other programs, for which a byte
        // publishes what was stored before it.
        self.byte(offset, false).load(Ordering::Acquire)
    }

    /// Loads four bytes.
    pub fn load_u32(&self, offset: usize) -> u32 {
        // Acquire: as for `load_u8`.
        self.half(offset, false).load(Ordering::Acquire)
    }

    /// Loads eight bytes.
    pub fn load_u64(&self, offset: usize) -> u64 {
        // Acquire: as for `load_u8`.
        self.word(offset, false).load(Ordering::Acquire)
    }

    /// Stores a byte.
    pub fn store_u8(&self, offset: usize, value: u8) {
        // Release: a program that sees it sees what was stored before.
        self.byte(offset, true).store(value, Ordering::Release);
    }

    /// Stores four bytes.
    pub fn store_u32(&self, offset: usize, value: u32) {
        // Release: as for `store_u8`.
        self.half(offset, true).store(value, Ordering::Release);
    }

    /// Stores eight bytes.
    pub fn store_u64(&self, offset: usize, value: u64) {
        // Release: as for `store_u8`.
        self.word(offset, true).store(value, Ordering::Release);
    }

    /// Stores words, in any order.
    pub fn fill(&self, offset: usize, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks();
        assert!(rest.is_empty(), "{} bytes are not a number of words", bytes.len());
        for (index, word) in words.iter().enumerate() {
            // Relaxed: what is stored after them publishes them.
            let half = self.half(offset + 4 * index, true);
            half.store(u32::from_ne_bytes(*word), Ordering::Relaxed);
        }
    }

    /// Replaces a byte if it has the value `from`; returns whether it did.
    pub fn replace_u8(&self, offset: usize, from: u8, to: u8) -> bool {
        let byte = self.byte(offset, true);
        // AcqRel: pairs with the same exchange of other programs.
        byte.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Replaces four bytes if they have the value `from`; returns whether it
    /// did.
    pub fn replace_u32(&self, offset: usize, from: u32, to: u32) -> bool {
        let half = self.half(offset, true);
        // AcqRel: as for `replace_u8`.
        half.compare_exchange(from, to, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// Clears bits of four bytes; returns those that were set.
    pub fn clear_u32(&self, offset: usize, bits: u32) -> u32 {
        // AcqRel: as for `replace_u8`.
        self.half(offset, true).fetch_and(!bits, Ordering::AcqRel) & bits
    }

    /// A private copy of the first `bytes` bytes, rounded down to a multiple of
    /// four, at most all of them. Each four bytes are of one moment.
    pub fn copy(&self, bytes: usize, into: &mut Vec<u8>) {
        into.clear();
        let count = bytes.min(self.bytes()) / 4;
        if count == 0 {
            return;
        }
        // The last one is inside, so that all are.
        self.half(4 * (count - 1), false);
        // SAFETY: that many words are mapped in this process, from a
        // page-aligned start, and live as long as `self`.
        let halves = unsafe { core::slice::from_raw_parts(self.at::<AtomicU32>(0, false), count) };
        into.resize(4 * count, 0);
        for (copied, half) in into.as_chunks_mut().0.iter_mut().zip(halves) {
            // Relaxed: the caller checks whatever it needs to be consistent.
            *copied = half.load(Ordering::Relaxed).to_ne_bytes();
        }
    }
}

impl Drop for ForeignSegment {
    fn drop(&mut self) {
        // In a forked child the range is not mapped and may have been reused.
        if self.lineage == Lineage::current() {
            // SAFETY: this is the only place that drops it.
            unsafe { ManuallyDrop::drop(&mut self.shm) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{shm_create, shm_remove, shm_stat};

    /// A new segment without a key.
    fn segment(bytes: usize) -> ForeignSegment {
        let id = shm_create(0, bytes, 0o600).unwrap();
        let segment = ForeignSegment::attach(id, true).unwrap();
        shm_remove(id).unwrap();
        segment
    }

    #[test]
    fn what_is_stored_is_loaded_and_copied() {
        let segment = segment(64);
        segment.store_u64(0, 0x0102_0304_0506_0708);
        segment.store_u32(8, 9);
        segment.store_u8(13, 7);
        assert_eq!(segment.load_u64(0), 0x0102_0304_0506_0708);
        assert_eq!((segment.load_u32(8), segment.load_u8(13)), (9, 7));
        let mut copy = Vec::new();
        segment.copy(usize::MAX, &mut copy);
        assert_eq!(copy.len(), 64);
        assert_eq!(copy[..8], 0x0102_0304_0506_0708u64.to_ne_bytes());
        assert_eq!((copy[8], copy[13]), (9, 7));
    }

    #[test]
    fn exchanges_report_whether_they_took_place() {
        let segment = segment(64);
        assert!(segment.replace_u8(1, 0, 5) && !segment.replace_u8(1, 0, 6));
        assert_eq!(segment.load_u8(1), 5);
        assert!(segment.replace_u32(4, 0, 0xf0) && !segment.replace_u32(4, 1, 0));
        assert_eq!(segment.clear_u32(4, 0x30), 0x30);
        assert_eq!(segment.clear_u32(4, 0x30), 0);
        assert_eq!(segment.load_u32(4), 0xc0);
    }

    #[test]
    fn an_access_outside_of_the_segment_panics() {
        let segment = segment(64);
        for offset in [61, 64, usize::MAX] {
            let load = || segment.load_u32(offset);
            assert!(std::panic::catch_unwind(core::panic::AssertUnwindSafe(load)).is_err());
        }
    }

    #[test]
    fn a_read_only_mapping_refuses_stores() {
        let id = shm_create(0, 64, 0o600).unwrap();
        let segment = ForeignSegment::attach(id, false).unwrap();
        assert_eq!(shm_stat(id).unwrap().mappings, 1);
        shm_remove(id).unwrap();
        let store = || segment.store_u8(0, 1);
        assert!(std::panic::catch_unwind(core::panic::AssertUnwindSafe(store)).is_err());
        assert_eq!(segment.load_u8(0), 0);
    }
}
