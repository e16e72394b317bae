//! Telling a forked child from its parent, without `getpid`.
//!
//! A page marked MADV_WIPEONFORK reads as zero in a child: the kernel tells,
//! at the cost of a load. (A pid may come again, and is the same number in two
//! pid namespaces.)

use std::sync::OnceLock;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

use memmap2::{MmapOptions, MmapRaw};
use rustix::mm::{Advice, madvise};

/// Which process in a line of forks this is. Two values are equal only within
/// one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lineage(u64);

/// Counts up along a line of forks: a child starts from its parent's value.
static NEXT: AtomicU64 = AtomicU64::new(1);

fn page() -> Option<&'static AtomicU64> {
    static PAGE: OnceLock<Option<MmapRaw>> = OnceLock::new();
    let map = || {
        let raw: MmapRaw = MmapOptions::new().len(4096).map_anon().ok()?.into();
        let base = raw.as_mut_ptr().cast();
        // SAFETY: the page is ours alone and holds nothing yet; the advice
        // takes effect in children only.
        unsafe { madvise(base, 4096, Advice::LinuxWipeOnFork) }.ok()?;
        Some(raw)
    };
    let raw = PAGE.get_or_init(map).as_ref()?;
    // SAFETY: the page is mapped for the life of the process, aligned, and only
    // ever accessed as this atomic.
    Some(unsafe { &*raw.as_ptr().cast::<AtomicU64>() })
}

impl Lineage {
    /// The process that calls.
    pub fn current() -> Lineage {
        let Some(word) = page() else {
            // A kernel without MADV_WIPEONFORK (before 4.14): the pid must do.
            return Lineage(u64::from(std::process::id()) << 32);
        };
        // Relaxed: the value stands for itself.
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

/// A value for each process of a line of forks: a child finds a new one.
///
/// The parent's value is left where it is, never dropped in the child: a lock
/// in it may be held by a thread that does not exist here.
#[derive(Debug)]
pub struct ForkLocal<T: 'static> {
    current: AtomicPtr<(Lineage, T)>,
}

impl<T: Send + Sync + 'static> ForkLocal<T> {
    /// No value yet.
    pub const fn new() -> ForkLocal<T> {
        ForkLocal { current: AtomicPtr::new(core::ptr::null_mut()) }
    }

    /// This process's value, made by `make` if there is none.
    pub fn get_or_init(&self, make: impl Fn() -> T) -> &'static T {
        let lineage = Lineage::current();
        // Acquire: pairs with the Release below.
        let mut found = self.current.load(Ordering::Acquire);
        loop {
            // SAFETY: only pointers from `Box::leak` below are stored, and they
            // are never freed.
            if let Some((owner, value)) = unsafe { found.as_ref() } {
                if *owner == lineage {
                    return value;
                }
            }
            let fresh: *mut (Lineage, T) = Box::leak(Box::new((lineage, make())));
            // Release: whoever loads the pointer sees the value. Acquire: pairs
            // with it in the thread that was faster.
            let result =
                self.current.compare_exchange(found, fresh, Ordering::Release, Ordering::Acquire);
            match result {
                // SAFETY: just leaked, shared from here on, never freed.
                Ok(_) => return unsafe { &(*fresh).1 },
                Err(now) => {
                    // SAFETY: nobody else has seen `fresh`.
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
