//! Distinguishes a forked child from its parent, without `getpid`.
//!
//! A page marked MADV_WIPEONFORK reads as zero in a child, so a check costs one
//! load. (A pid may be reused, and may be the same number in two pid
//! namespaces.)

use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use memmap2::{MmapOptions, MmapRaw};
use rustix::mm::{Advice, madvise};

use crate::protocol::StampCell;

/// The size of a page in bytes.
const PAGE: usize = 4096;
/// The size of a cell in bytes: one cache line.
const CELL: usize = 64;

/// Maps a page that reads as zero in a forked child. It is never unmapped.
fn wiped_page() -> Option<&'static [AtomicU64]> {
    let raw: MmapRaw = MmapOptions::new().len(PAGE).map_anon().ok()?.into();
    let base = raw.as_mut_ptr();
    // SAFETY: the page is ours alone and holds nothing yet; the advice takes
    // effect in children only.
    unsafe { madvise(base.cast(), PAGE, Advice::LinuxWipeOnFork) }.ok()?;
    std::mem::forget(raw);
    // SAFETY: the page is mapped for the life of the process (it was just
    // forgotten), aligned, and only ever accessed as these atomics.
    Some(unsafe { core::slice::from_raw_parts(base.cast(), PAGE / 8) })
}

/// A word that reads as zero in a forked child, until the child stores to it.
///
/// It folds fork detection into a comparison that is made anyway: a value kept
/// in the word and compared with something that is never zero no longer matches
/// after a fork.
#[derive(Debug)]
pub struct ForkCell {
    word: &'static AtomicU64,
    lineage: Lineage,
}

/// Unused cells. A child starts with none: it does not touch its parent's pages.
fn spare_cells() -> &'static Mutex<Vec<&'static AtomicU64>> {
    static SPARE: ForkLocal<Mutex<Vec<&'static AtomicU64>>> = ForkLocal::new();
    SPARE.get_or_init(Mutex::default)
}

impl ForkCell {
    /// A cell that holds zero.
    pub fn new() -> ForkCell {
        let lineage = Lineage::current();
        let mut spare = spare_cells().lock().unwrap_or_else(PoisonError::into_inner);
        if spare.is_empty() {
            // Without such pages (a kernel before 4.14) a fork is noticed with
            // the next publication only.
            let fallback = || &*Vec::leak((0..PAGE / 8).map(|_| AtomicU64::new(0)).collect());
            let page = wiped_page().unwrap_or_else(fallback);
            spare.extend(page.iter().step_by(CELL / 8));
        }
        let word = spare.pop().expect("a page has cells");
        word.store(0, Ordering::Relaxed);
        ForkCell { word, lineage }
    }

    /// The current value.
    #[inline(always)]
    pub fn get(&self) -> u64 {
        // Relaxed: only its owner stores to it.
        self.word.load(Ordering::Relaxed)
    }

    /// Stores a value.
    pub fn set(&self, value: u64) {
        self.word.store(value, Ordering::Relaxed);
    }
}

impl StampCell for ForkCell {
    #[inline(always)]
    fn get(&self) -> u64 {
        ForkCell::get(self)
    }

    fn set(&self, bits: u64) {
        ForkCell::set(self, bits);
    }
}

impl Default for ForkCell {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for ForkCell {
    fn drop(&mut self) {
        if self.lineage == Lineage::current() {
            spare_cells().lock().unwrap_or_else(PoisonError::into_inner).push(self.word);
        }
    }
}

/// Identifies a process in a line of forks. The value of a process differs from
/// those of all its ancestors; siblings may share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lineage(u64);

/// Counts up along a line of forks: a child starts from its parent's value.
static NEXT: AtomicU64 = AtomicU64::new(1);

/// Stands in for the page if there is none: a word that stays zero.
static NO_PAGE: AtomicU64 = AtomicU64::new(0);

/// The word that reads as zero in a child. It is never locked: a fork may
/// happen while another thread is in this function, and the child would wait
/// for that thread in vain.
fn page() -> Option<&'static AtomicU64> {
    static PAGE: AtomicPtr<AtomicU64> = AtomicPtr::new(core::ptr::null_mut());
    // Acquire: pairs with the Release below.
    let mut found = PAGE.load(Ordering::Acquire);
    if found.is_null() {
        let fresh = wiped_page().map_or(&NO_PAGE, |words| &words[0]);
        let fresh = core::ptr::from_ref(fresh).cast_mut();
        // A thread that loses the race leaks its page, which stays unused.
        found = PAGE
            .compare_exchange(found, fresh, Ordering::Release, Ordering::Acquire)
            .map_or_else(|faster| faster, |_| fresh);
    }
    if core::ptr::eq(found, &NO_PAGE) {
        return None;
    }
    // SAFETY: the pointer stored above is never unmapped, and only ever
    // accessed as an atomic.
    unsafe { found.as_ref() }
}

impl Lineage {
    /// The calling process.
    pub fn current() -> Lineage {
        Lineage::of(page())
    }

    /// By that word, which a child finds to be zero; without one by the pid.
    fn of(word: Option<&AtomicU64>) -> Lineage {
        let Some(word) = word else {
            // A kernel without MADV_WIPEONFORK (before 4.14): fall back to the pid.
            return Lineage(u64::from(std::process::id()) << 32);
        };
        // Relaxed: no other data depends on the value.
        let found = word.load(Ordering::Relaxed);
        if found != 0 {
            return Lineage(found);
        }
        let fresh = NEXT.fetch_add(1, Ordering::Relaxed);
        match word.compare_exchange(0, fresh, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Lineage(fresh),
            Err(other) => Lineage(other),
        }
    }
}

/// A separate value for each process of a line of forks: a child gets a new
/// one.
///
/// The parent's value is leaked in the child, never dropped: a lock in it may
/// be held by a thread that does not exist there.
#[derive(Debug)]
pub struct ForkLocal<T: 'static> {
    current: AtomicPtr<(Lineage, T)>,
}

impl<T: Send + Sync + 'static> ForkLocal<T> {
    /// A value that is not initialised yet.
    pub const fn new() -> ForkLocal<T> {
        ForkLocal { current: AtomicPtr::new(core::ptr::null_mut()) }
    }

    /// This process's value, initialised by `make` on first use.
    pub fn get_or_init(&self, make: impl Fn() -> T) -> &'static T {
        self.get_or_inherit(|_| make())
    }

    /// Like [`get_or_init`](Self::get_or_init), but `make` receives the
    /// parent's value if this is a forked child. A lock in it may be held for
    /// ever.
    pub fn get_or_inherit(&self, make: impl Fn(Option<&T>) -> T) -> &'static T {
        let lineage = Lineage::current();
        // Acquire: pairs with the Release below.
        let mut found = self.current.load(Ordering::Acquire);
        loop {
            // SAFETY: only pointers from `Box::leak` below are stored, and they
            // are never freed.
            let known = unsafe { found.as_ref() };
            if let Some((owner, value)) = known {
                if *owner == lineage {
                    return value;
                }
            }
            let value = make(known.map(|(_, value)| value));
            let fresh: *mut (Lineage, T) = Box::leak(Box::new((lineage, value)));
            // Release: a thread that loads the pointer sees the value. Acquire:
            // pairs with it in the thread that won the race.
            let result =
                self.current.compare_exchange(found, fresh, Ordering::Release, Ordering::Acquire);
            match result {
                // SAFETY: just leaked, shared from here on, never freed.
                Ok(_) => return unsafe { &(*fresh).1 },
                Err(now) => {
                    // SAFETY: no other thread has seen `fresh`.
                    drop(unsafe { Box::from_raw(fresh) });
                    found = now;
                }
            }
        }
    }
}

impl<T: Send + Sync + 'static> Default for ForkLocal<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use tendmap_testkit::forked::forked;

    use super::*;

    /// Whether the kernel has the advice at all: an emulator may have none of it.
    fn offered() -> bool {
        let memory: MmapRaw = MmapOptions::new().len(PAGE).map_anon().unwrap().into();
        // SAFETY: the page is ours alone and is not used.
        let offered = unsafe { madvise(memory.as_mut_ptr().cast(), PAGE, Advice::LinuxWipeOnFork) };
        if let Err(error) = offered {
            tendmap_testkit::skipped(&format!("the kernel wipes no page on a fork: {error}"));
        }
        offered.is_ok()
    }

    /// In a child, where no other thread takes or returns a cell.
    fn alone(test: impl FnOnce()) {
        forked(|_| test(), |_| {});
    }

    #[test]
    #[cfg_attr(miri, ignore = "it forks")]
    fn a_child_finds_a_page_of_zeros_and_its_parent_what_it_has_stored() {
        if !offered() {
            return;
        }
        let words = wiped_page().expect("a kernel since 4.14");
        assert_eq!(words.len(), PAGE / 8);
        words.iter().for_each(|word| word.store(7, Ordering::Relaxed));
        let all = |value| words.iter().all(|word| word.load(Ordering::Relaxed) == value);
        forked(|_| assert!(all(0)), |_| {});
        assert!(all(7));
    }

    #[test]
    #[cfg_attr(miri, ignore = "it forks")]
    fn a_cell_holds_what_was_stored_until_a_fork() {
        if !offered() {
            return;
        }
        let cell = ForkCell::new();
        assert_eq!(StampCell::get(&cell), 0);
        StampCell::set(&cell, 5);
        assert_eq!((StampCell::get(&cell), cell.get()), (5, 5));
        forked(
            |_| {
                assert_eq!((StampCell::get(&cell), cell.get()), (0, 0));
                cell.set(6);
                assert_eq!(cell.get(), 6);
            },
            |_| {},
        );
        assert_eq!(cell.get(), 5);
    }

    #[test]
    #[cfg_attr(miri, ignore = "it forks")]
    fn cells_have_a_line_each_and_are_used_again_by_the_process_that_made_them() {
        if !offered() {
            return;
        }
        let of_parent = ForkCell::new();
        alone(move || {
            let place = |cell: &ForkCell| core::ptr::from_ref(cell.word) as usize;
            let inherited = place(&of_parent);
            drop(of_parent);
            // More than a page of them.
            let cells: Vec<ForkCell> = (0..PAGE / CELL + 1).map(|_| ForkCell::new()).collect();
            let mut places: Vec<usize> = cells.iter().map(place).collect();
            assert!(!places.contains(&inherited), "the parent's page is used");
            let last = *places.last().unwrap();
            places.sort_unstable();
            assert!(places.windows(2).all(|two| two[1] - two[0] >= CELL), "{places:?}");
            cells.last().unwrap().set(9);
            drop(cells.into_iter().next_back());
            let again = ForkCell::new();
            assert!(places.contains(&place(&again)), "{last:#x} is not used again");
            assert_eq!(again.get(), 0);
        });
    }

    #[test]
    #[cfg_attr(miri, ignore = "it forks")]
    fn a_process_differs_from_those_that_it_descends_from() {
        if !offered() {
            return;
        }
        assert!(page().is_some(), "a kernel since 4.14");
        // By the word, and by the pid where there is none.
        for current in [Lineage::current, || Lineage::of(None)] {
            let parent = current();
            assert_eq!(current(), parent);
            alone(|| {
                let child = current();
                assert_eq!(current(), child);
                assert_ne!(child, parent);
                alone(|| assert!(![parent, child].contains(&current())));
            });
            assert_eq!(current(), parent);
        }
        assert_ne!(Lineage::current(), Lineage::of(None));
    }

    #[test]
    #[cfg_attr(miri, ignore = "it forks")]
    fn a_child_makes_a_value_of_its_own_once() {
        if !offered() {
            return;
        }
        static VALUE: ForkLocal<u64> = ForkLocal::new();
        let parent = VALUE.get_or_init(|| 1);
        assert!(core::ptr::eq(VALUE.get_or_init(|| 2), parent));
        alone(|| {
            let child = VALUE.get_or_inherit(|of_parent| 10 + of_parent.unwrap());
            assert_eq!(*child, 11);
            assert!(core::ptr::eq(VALUE.get_or_init(|| 3), child));
        });
        assert_eq!(*VALUE.get_or_init(|| 4), 1);
    }
}
