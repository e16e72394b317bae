//! The preferred racks of a process, and those that a router uses.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;

/// Preferred racks, and a count of their changes. Private to one process.
#[derive(Debug, Default)]
pub(crate) struct PreferredRacks {
    version: AtomicU64,
    /// Not behind a lock, which a forked child could inherit in locked state.
    racks: ArcSwap<Vec<i32>>,
}

impl PreferredRacks {
    /// These racks, best first.
    #[cfg(any(test, feature = "tend"))]
    pub fn new(racks: &[i32]) -> PreferredRacks {
        PreferredRacks { version: AtomicU64::new(1), racks: ArcSwap::from_pointee(racks.to_vec()) }
    }

    /// Replaces the racks.
    pub fn set(&self, racks: &[i32]) {
        self.racks.store(Arc::new(racks.to_vec()));
        // Release: pairs with the Acquire of `get`.
        self.version.fetch_add(1, Ordering::Release);
    }

    /// Whether they have changed since that version.
    #[inline]
    pub fn is_newer(&self, seen: u64) -> bool {
        // Relaxed: `get` loads it again.
        self.version.load(Ordering::Relaxed) != seen
    }

    /// The racks and their version. The racks may be newer than the version: then
    /// there is a newer one, or soon will be.
    pub fn get(&self) -> (u64, Arc<Vec<i32>>) {
        // Acquire: pairs with the Release of `set`, so that the racks are not older.
        let version = self.version.load(Ordering::Acquire);
        (version, self.racks.load_full())
    }
}

/// The racks that one router uses: those of its process, which may change, or
/// its own.
#[derive(Clone, Debug)]
pub(super) struct RouterRacks {
    racks: Vec<i32>,
    /// The racks of the process, unless the router has its own.
    followed: Option<Arc<PreferredRacks>>,
    /// The version that was last applied.
    seen: u64,
}

impl RouterRacks {
    /// No racks.
    pub fn none() -> RouterRacks {
        RouterRacks { racks: Vec::new(), followed: None, seen: 0 }
    }

    /// Uses these racks, which may change.
    pub fn follow(&mut self, preferred: Arc<PreferredRacks>) {
        self.followed = Some(preferred);
    }

    /// Whether the followed racks have changed.
    #[inline]
    pub fn are_behind(&self) -> bool {
        self.followed.as_ref().is_some_and(|racks| racks.is_newer(self.seen))
    }

    /// Applies the followed racks; returns whether that changed anything.
    #[must_use]
    pub fn catch_up(&mut self) -> bool {
        let newest = self.followed.as_ref().map(|racks| racks.get());
        newest.is_some_and(|(version, racks)| {
            self.seen = version;
            self.take(&racks)
        })
    }

    /// Uses the router's own racks from now on; returns whether that changed
    /// anything.
    #[must_use]
    pub fn prefer(&mut self, racks: &[i32]) -> bool {
        self.followed = None;
        self.take(racks)
    }

    fn take(&mut self, racks: &[i32]) -> bool {
        let changed = self.racks != racks;
        if changed {
            self.racks = racks.to_vec();
        }
        changed
    }

    /// The racks, best first.
    pub fn as_slice(&self) -> &[i32] {
        &self.racks
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use tendmap_testkit::forked::forked;

    use super::*;

    #[test]
    fn a_change_is_seen_once() {
        let preferred = PreferredRacks::new(&[1]);
        assert!(preferred.is_newer(0));
        let (seen, racks) = preferred.get();
        assert!(*racks == [1] && !preferred.is_newer(seen));
        preferred.set(&[2, 1]);
        assert!(preferred.is_newer(seen));
        assert_eq!(*preferred.get().1, [2, 1]);
    }

    /// Other threads of the parent change them at the moment of the fork.
    #[test]
    #[cfg_attr(miri, ignore = "it forks")]
    fn h97_a_child_changes_racks_that_were_being_changed() {
        struct Done<'a>(&'a AtomicBool);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }

        let (preferred, done) = (PreferredRacks::new(&[1]), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let _done = Done(&done);
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    preferred.set(&[1; 64]);
                }
            });
            for _ in 0..50 {
                forked(
                    |_| {
                        // A child that waits for a lock is ended by the alarm, which fails.
                        nix::unistd::alarm::set(20);
                        preferred.set(&[2]);
                        let (seen, racks) = preferred.get();
                        assert!(*racks == [2] && !preferred.is_newer(seen));
                    },
                    |_| {},
                );
            }
        });
    }
}
